"""DashScope: which path is asked, with what headers, and what its errors come to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from adapters.dashscope import MULTIMODAL, TEXT, DashScope
from adapters.dashscope_options import DashScopeOptions
from proxy import DONE, Exchange, Remedy, Send, TextDelta, UpstreamError
from tests.adapters.dashscope_answers import frame, opened, said
from tests.adapters.dialect import JSON, SSE, hear, three_ways

URL_ERROR = {"code": "InvalidParameter", "message": "url error, please check url！", "request_id": "r-1"}
SEEN: Any = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]}]


def sent(exchange: Exchange) -> Send:
    send = exchange.next()
    assert isinstance(send, Send)
    return send


# ── where ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("region", "host"),
    [("cn", "dashscope"), ("intl", "dashscope-intl"), ("us", "dashscope-us")],
)
def test_a_key_is_of_one_platform(region: Any, host: str) -> None:
    adapter, options = DashScope(), DashScopeOptions(region=region)
    assert adapter.place(options) == f"https://{host}.aliyuncs.com/api/v1"
    assert adapter.signed_by(options) == "bearer"


@pytest.mark.parametrize(
    ("model", "fields", "path"),
    [
        ("qwen-plus", {}, TEXT),
        ("qwen3-32b", {}, TEXT),
        ("deepseek-v4", {}, TEXT),
        ("qwen3-vl-plus", {}, MULTIMODAL),
        ("qvq-max", {}, MULTIMODAL),
        ("qwen3-omni-flash", {}, MULTIMODAL),
        ("qwen3.8-max", {}, MULTIMODAL),
        ("kimi-k2.6", {"messages": SEEN}, MULTIMODAL),
    ],
)
def test_the_name_of_a_model_or_a_picture_tells_the_path(model: str, fields: Any, path: str) -> None:
    assert sent(opened(model, **fields)).path == path


@pytest.mark.parametrize(("generation", "path"), [("text", TEXT), ("multimodal", MULTIMODAL)])
def test_or_the_file_does(generation: Any, path: str) -> None:
    exchange = opened(options=DashScopeOptions(generation=generation))
    assert sent(exchange).path == path
    fault = hear(exchange, [json.dumps(URL_ERROR).encode()], status=400, headers=JSON).fault
    assert fault is not None
    assert (fault.code, fault.remedy) == ("upstream_model_unavailable", Remedy.NEXT_ROUTE)


@pytest.mark.parametrize(
    ("body", "status", "headers"),
    [
        (json.dumps(URL_ERROR).encode(), 400, JSON),
        (json.dumps(URL_ERROR).encode(), 200, JSON),
        (frame(URL_ERROR, 400), 200, SSE),
    ],
)
def test_a_model_at_the_other_path_is_asked_there_and_found_there_the_next_time(
    body: bytes, status: int, headers: Mapping[str, str]
) -> None:
    adapter = DashScope()
    exchange = opened("kimi-k2.6", adapter=adapter)
    first = sent(exchange)
    told = hear(exchange, [body], status=status, headers=headers)
    assert (told.events, told.fault) == ([], None)
    second = sent(exchange)
    assert (first.path, second.path, second.body) == (TEXT, MULTIMODAL, first.body)
    assert not exchange.complete
    assert sent(opened("kimi-k2.6", adapter=adapter)).path == TEXT  # nothing is learned before it answers
    answer = json.dumps(said({"content": [{"text": "hi"}]}, "stop")).encode()
    assert TextDelta("hi") in hear(exchange, [answer], headers=JSON).events
    assert exchange.next() is DONE
    assert sent(opened("kimi-k2.6", adapter=adapter)).path == MULTIMODAL
    assert sent(opened("qwen-plus", adapter=adapter)).path == TEXT


def test_a_model_at_neither_path_is_none() -> None:
    exchange = opened()
    for _ in range(2):
        sent(exchange)
        told = hear(exchange, [json.dumps(URL_ERROR).encode()], status=400, headers=JSON)
    assert told.fault is not None
    assert told.fault.code == "upstream_model_unavailable"


def test_an_answer_that_has_begun_is_not_begun_again() -> None:
    exchange = opened(stream=True)
    sent(exchange)
    told = hear(exchange, [frame(said({"content": "hi"})) + frame(URL_ERROR, 400)])
    assert told.fault is not None
    with pytest.raises(UpstreamError):
        exchange.next()


def test_headers_of_streams_workspaces_and_the_vendors_store() -> None:
    assert sent(opened()).headers == {"accept": "application/json"}
    picture = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "oss://a/b.png"}}]}]
    send = sent(opened(options=DashScopeOptions(workspace="llm-1"), messages=picture, stream=True))
    assert send.stream
    assert send.headers == {
        "accept": "text/event-stream",
        "x-dashscope-sse": "enable",
        "x-dashscope-workspace": "llm-1",
        "x-dashscope-ossresourceresolve": "enable",
    }


# ── errors ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("status", "code", "words", "ours"),
    [
        (400, "Arrearage", "", "upstream_quota_exhausted"),
        (429, "insufficient_quota", "", "upstream_quota_exhausted"),
        (429, "Throttling.BurstRate", "", "upstream_rate_limited"),
        (400, "DataInspectionFailed", "", "content_filter"),
        (400, "InvalidParameter", "Range of input length should be [1, 129024]", "context_length_exceeded"),
        (400, "InvalidParameter", "temperature", "upstream_invalid_request"),
        (403, "AccessDenied", "", "upstream_auth_failed"),
        (503, "ServiceUnavailable", "", "upstream_error"),
        (413, "SomethingNew", "", "upstream_invalid_request"),
    ],
)
def test_an_error_is_the_same_by_its_status_and_in_an_event(status: int, code: str, words: str, ours: str) -> None:
    error = {"code": code, "message": words, "request_id": "r-9"}
    answered = hear(opened(), [json.dumps(error).encode()], status=status, headers=JSON).fault
    streamed = three_ways(lambda: opened(stream=True), frame(error, status)).fault
    for fault in (answered, streamed):
        assert fault is not None
        assert (fault.code, fault.upstream) == (ours, {"status": status, "code": code, "request_id": "r-9"})
