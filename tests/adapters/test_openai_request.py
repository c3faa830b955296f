from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import orjson
import pytest

from adapters.openai_chat import OpenAIChat, OpenAIChatOptions, post
from proxy import (
    DONE,
    BadRequest,
    Send,
)
from proxy.money import Price
from tests.adapters.dialect import (
    chat,
    target,
)


def sent(
    body: dict[str, Any], *, stream: bool = False, options: OpenAIChatOptions | None = None, price: Price | None = None
) -> dict[str, Any]:
    """The body that goes out for a client's body, without what every request has."""
    opened = OpenAIChat().open(chat(body, stream=stream), target(options or OpenAIChatOptions(), price=price))
    send = opened.next()
    assert isinstance(send, Send)
    out: dict[str, Any] = orjson.loads(send.body)
    assert out.pop("model") == "up-1"
    assert out.pop("messages") == [{"role": "user", "content": "hi"}]
    return out


def test_request_is_one_post() -> None:
    opened = OpenAIChat().open(chat(stream=True), target(OpenAIChatOptions(path="/v1/x")))
    send = opened.next()
    assert isinstance(send, Send)
    assert (send.method, send.path, send.stream) == ("POST", "/v1/x", True)
    assert opened.next() is DONE


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, {"max_tokens": 1000}),
        ({"max_tokens": 5000}, {"max_tokens": 1000}),
        ({"max_completion_tokens": 5000}, {"max_completion_tokens": 1000}),
        ({"max_tokens": 10, "max_completion_tokens": 20}, {"max_tokens": 1000, "max_completion_tokens": 1000}),
    ],
)
def test_cap_goes_into_the_clients_own_field(body: dict[str, Any], expected: dict[str, Any]) -> None:
    assert sent(body) == expected


def test_cap_goes_into_the_configured_field_when_the_client_has_none() -> None:
    options = OpenAIChatOptions(cap_field="max_completion_tokens")
    assert sent({}, options=options) == {"max_completion_tokens": 1000}


def test_other_fields_are_forwarded_untouched() -> None:
    body = {"n": 2, "seed": 1, "enable_thinking": False, "thinking": {"type": "auto"}, "new": {"x": [None]}}
    assert sent(body) == {**body, "max_tokens": 1000}


def test_lone_surrogates_survive() -> None:
    assert json.loads(post("/x", {"user": "\ud800"}, stream=False).body) == {"user": "\ud800"}


@pytest.mark.parametrize(
    ("options", "asked", "expected"),
    [
        (OpenAIChatOptions(), None, {"include_usage": True}),
        (OpenAIChatOptions(), {"include_usage": False, "x": 1}, {"include_usage": True, "x": 1}),
        (OpenAIChatOptions(usage_in_stream=False), {"include_usage": True}, None),
        (OpenAIChatOptions(usage_in_stream=False), {"include_usage": True, "x": 1}, {"x": 1}),
    ],
)
def test_usage_is_asked_for_in_streams(options: OpenAIChatOptions, asked: Any, expected: Any) -> None:
    body = {"stream": True} | ({"stream_options": asked} if asked else {})
    out = sent(body, stream=True, options=options)
    assert out["stream"] is True
    assert out.get("stream_options") == expected


def test_fields_that_redirect_are_dropped_and_named() -> None:
    body = {"api_base": "http://evil", "fallbacks": ["x"], "extra_headers": {}, "best_of": 9, "seed": 1}
    opened = OpenAIChat().open(chat(body), target(OpenAIChatOptions()))
    send = opened.next()
    assert isinstance(send, Send)
    assert set(opened.dropped) == {"api_base", "fallbacks", "extra_headers", "best_of"}
    assert not set(opened.dropped) & set(orjson.loads(send.body))


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"service_tier": "priority"}, "service_tier"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"modalities": ["text", "audio"]}, "modalities"),
    ],
)
def test_what_changes_the_price_without_having_one_is_refused(body: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        sent(body)
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", param)


@pytest.mark.parametrize("body", [{"tools": [{"type": "web_search"}]}, {"enable_search": True}, {"search_options": {}}])
def test_a_search_that_is_billed_by_the_call_is_refused_as_no_answer_counts_it(body: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match="don't count them"):
        sent(body, price=Price(tools={"web_search": 10}))


def test_what_has_a_price_or_costs_nothing_passes() -> None:
    price = Price(service_tiers={"priority": Fraction(2)}, tools={"web_search": 0})
    tools = [{"type": "function", "function": {"name": "f"}}, {"type": "custom"}, {"type": "web_search"}]
    body = {"service_tier": "priority", "tools": tools, "web_search_options": {}}
    assert sent(body, price=price) == {**body, "max_tokens": 1000}
    plain = {"service_tier": "auto", "modalities": ["text"], "enable_search": False, "store": True}
    assert sent(plain) == {**plain, "max_tokens": 1000}
