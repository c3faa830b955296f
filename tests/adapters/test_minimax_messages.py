"""MiniMaxMessages: the Messages dialect with the vendor's bounds, switches and error codes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.minimax_messages import MiniMaxMessages, MiniMaxMessagesOptions
from proxy import BadRequest, Exchange, Remedy, Send
from tests.adapters import dialect
from tests.adapters.dialect import JSON, hear

M3, M2 = "MiniMax-M3", "MiniMax-M2.7"
OPTIONS = MiniMaxMessagesOptions()
PICTURE: Any = [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]


def opened(model: str = M3, **fields: Any) -> tuple[Exchange, dict[str, Any]]:
    exchange = MiniMaxMessages().open(dialect.chat(fields), dialect.target(OPTIONS, upstream_model=model))
    send = exchange.next()
    assert isinstance(send, Send)
    return exchange, json.loads(send.body)


@pytest.mark.parametrize(
    ("region", "base_url"),
    [("cn", "https://api.minimaxi.com/anthropic"), ("intl", "https://api.minimax.io/anthropic")],
)
def test_a_key_is_of_one_platform(region: Any, base_url: str) -> None:
    options = MiniMaxMessagesOptions(region=region)
    adapter = MiniMaxMessages()
    assert (adapter.place(options), adapter.signed_by(options)) == (base_url, "x-api-key")


@pytest.mark.parametrize(
    ("model", "fields", "written", "dropped"),
    [
        (M3, {"enable_thinking": True}, {"type": "adaptive"}, []),
        (M3, {"thinking": {"type": "enabled", "budget_tokens": 9}}, {"type": "adaptive"}, ["thinking.budget_tokens"]),
        (M3, {"thinking": {"type": "disabled"}}, {"type": "disabled"}, []),
        (M3, {"reasoning_effort": "low"}, {"type": "adaptive"}, []),
        (M2, {"enable_thinking": True}, None, []),
        (M2, {"enable_thinking": False}, None, ["enable_thinking"]),
    ],
)
def test_thinking(model: str, fields: Any, written: Any, dropped: list[str]) -> None:
    exchange, body = opened(model, **fields)
    assert (body.get("thinking"), list(exchange.dropped)) == (written, dropped)


def test_a_field_that_it_would_ignore_without_a_word_is_named() -> None:
    exchange, body = opened(stop=["END"])
    assert "stop_sequences" not in body
    assert list(exchange.dropped) == ["stop"]


def test_zero_is_out_of_bounds() -> None:
    body = opened(temperature=0, top_p=0)[1]
    assert (body["temperature"], body["top_p"]) == (0.01, 0.01)


def test_images_are_for_models_that_see_them() -> None:
    asked = [{"role": "user", "content": PICTURE}]
    assert opened(messages=asked)[1]["messages"][0]["content"][0]["type"] == "image"
    with pytest.raises(BadRequest) as refused:
        opened(M2, messages=asked)
    assert refused.value.param == "messages[0].content[0].type"


@pytest.mark.parametrize(
    ("status", "body", "code", "remedy"),
    [
        (429, {"error": {"type": "x", "message": "no money (1008)"}}, "upstream_quota_exhausted", Remedy.BAD_CREDENTIAL),
        (429, {"error": {"type": "x", "message": "window used up (2056)"}}, "upstream_rate_limited", Remedy.COOL_DOWN),
        (400, {"error": {"type": "x", "message": "sensitive (1026)"}}, "content_filter", None),
        (200, {"base_resp": {"status_code": 1004, "status_msg": "no"}}, "upstream_auth_failed", Remedy.BAD_CREDENTIAL),
        (500, {"error": {"type": "api_error", "message": "(no code)"}}, "upstream_error", None),
        (400, {"error": "a text (2013)"}, "upstream_invalid_request", None),
        (401, {"error": {"type": "authorized_error", "message": None}}, "upstream_auth_failed", None),
    ],
)
def test_the_vendors_code_decides(status: int, body: Any, code: str, remedy: Remedy | None) -> None:
    data = json.dumps({"type": "error", "request_id": "04ab", **body}).encode()
    fault = hear(opened()[0], [data], status=status, headers=JSON).fault
    assert fault is not None
    assert (fault.code, fault.upstream["request_id"]) == (code, "04ab")
    assert remedy is None or fault.remedy is remedy


def test_a_warning_under_code_0_is_no_error() -> None:
    message = {"content": [{"type": "text", "text": "hi"}], "base_resp": {"status_code": 0, "status_msg": "old model"}}
    assert hear(opened()[0], [json.dumps(message).encode()], headers=JSON).fault is None
