"""AnthropicMessages: what any vendor with Anthropic's shape takes, and nothing more."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.anthropic_messages import AnthropicMessages, AnthropicMessagesOptions
from proxy import BadRequest, Send, UpstreamBusy, UpstreamFailed, UpstreamRefused, UpstreamRejectedUs, Usage
from tests.adapters import dialect
from tests.adapters.dialect import JSON, hear, three_ways, usages

FUNCTION = {"name": "now", "strict": True}
OPTIONS = AnthropicMessagesOptions()


def opened(options: AnthropicMessagesOptions = OPTIONS, **fields: Any) -> tuple[Any, dict[str, Any]]:
    exchange = AnthropicMessages().open(
        dialect.chat(fields, stream=fields.get("stream", False)), dialect.target(options, output_cap=300)
    )
    send = exchange.next()
    assert isinstance(send, Send)
    return exchange, json.loads(send.body)


def test_the_address_and_the_headers_are_anthropics() -> None:
    send = AnthropicMessages().open(dialect.chat(), dialect.target(OPTIONS)).next()
    assert isinstance(send, Send)
    assert (send.path, send.headers) == (
        "/v1/messages",
        {"accept": "application/json", "anthropic-version": "2023-06-01"},
    )


@pytest.mark.parametrize("auth", ["x-api-key", "bearer"])
def test_the_key_goes_where_the_file_says(auth: Any) -> None:
    assert AnthropicMessages().signed_by(AnthropicMessagesOptions(auth=auth)) == auth


@pytest.mark.parametrize(
    ("fields", "written", "dropped"),
    [
        ({}, None, []),
        ({"enable_thinking": True}, {"type": "enabled", "budget_tokens": 150}, []),
        ({"thinking": {"type": "enabled", "budget_tokens": 99}}, {"type": "enabled", "budget_tokens": 99}, []),
        ({"thinking": {"type": "enabled", "budget_tokens": 9999}}, {"type": "enabled", "budget_tokens": 299}, []),
        ({"thinking": {"type": "enabled", "budget_tokens": "x"}}, {"type": "enabled", "budget_tokens": 150}, []),
        ({"reasoning_effort": "high"}, {"type": "enabled", "budget_tokens": 150}, []),
        ({"reasoning_effort": "none"}, {"type": "disabled"}, []),
        ({"enable_thinking": False}, {"type": "disabled"}, []),
        ({"thinking": {"type": "auto"}}, None, ["thinking"]),
        ({"thinking": {"type": "disabled", "keep": "all"}}, {"type": "disabled"}, ["thinking.keep"]),
    ],
)
def test_thinking_has_a_budget_within_the_cap(fields: Any, written: Any, dropped: list[str]) -> None:
    exchange, body = opened(**fields)
    assert (body.get("thinking"), list(exchange.dropped)) == (written, dropped)
    assert body["max_tokens"] == 300


def test_what_its_first_version_lacked_is_left_out_and_named() -> None:
    exchange, body = opened(
        tools=[{"type": "function", "function": FUNCTION}, {"type": "function", "function": FUNCTION}],
        response_format={"type": "json_object"},
        service_tier="auto",
    )
    assert body.keys() == {"model", "max_tokens", "messages", "stream", "tools", "tool_choice"}
    assert body["tools"][0] == {"name": "now", "input_schema": {"type": "object"}}
    assert list(exchange.dropped) == ["tools[].function.strict", "response_format"]
    assert not opened(response_format={"type": "text"})[0].dropped


def test_what_a_system_says_later_is_said_by_the_user() -> None:
    said = [{"role": role, "content": role} for role in ("system", "user", "system", "assistant", "developer")]
    body = opened(messages=said)[1]
    assert body["system"] == "system"
    texts = [(turn["role"], [block["text"] for block in turn["content"]]) for turn in body["messages"]]
    assert texts == [("user", ["user", "system"]), ("assistant", ["assistant"]), ("user", ["developer"])]
    assert opened(messages=said[:1])[1]["messages"][0]["role"] == "user"


def test_numbers_out_of_bounds_are_moved() -> None:
    body = opened(temperature=1.7, top_p=0.5, stop="END")[1]
    assert (body["temperature"], body["top_p"], body["stop_sequences"]) == (1, 0.5, ["END"])


def test_or_refused_if_the_operator_says_so() -> None:
    with pytest.raises(BadRequest) as refused:
        opened(AnthropicMessagesOptions(unknown_fields="reject"), seed=7)
    assert refused.value.param == "seed"


def test_the_prompt_is_what_is_new_what_was_read_and_what_was_written() -> None:
    usage = {"input_tokens": 8, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 1, "output_tokens": 5}
    message = {"type": "message", "content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn", "usage": usage}
    told = three_ways(lambda: opened()[0], json.dumps(message).encode(), headers=JSON)
    assert usages(told) == [
        Usage(
            input_tokens=12,
            output_tokens=5,
            cached_input_tokens=3,
            cache_write_tokens=1,
            reported={
                "prompt_tokens": 12,
                "completion_tokens": 5,
                "total_tokens": 17,
                "prompt_tokens_details": {"cached_tokens": 3},
            },
        )
    ]


@pytest.mark.parametrize(
    ("status", "kind", "words", "error", "code"),
    [
        (402, "billing_error", "", UpstreamRejectedUs, "upstream_quota_exhausted"),
        (200, "billing_error", "", UpstreamRejectedUs, "upstream_quota_exhausted"),
        (413, "request_too_large", "", UpstreamRefused, "upstream_invalid_request"),
        (200, "request_too_large", "", UpstreamRefused, "upstream_invalid_request"),
        (400, "invalid_request_error", "prompt is too long: 9 > 8", UpstreamRefused, "context_length_exceeded"),
        (200, "overloaded_error", "", UpstreamFailed, "upstream_error"),
        (429, "rate_limit_error", "", UpstreamBusy, "upstream_rate_limited"),
    ],
)
def test_errors_by_their_type(status: int, kind: str, words: str, error: Any, code: str) -> None:
    body = {"type": "error", "error": {"type": kind, "message": words}, "request_id": "req_9"}
    fault = hear(opened()[0], [json.dumps(body).encode()], status=status, headers=JSON).fault
    assert isinstance(fault, error)
    assert (fault.code, fault.upstream["request_id"]) == (code, "req_9")
