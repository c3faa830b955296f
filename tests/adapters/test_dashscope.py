"""DashScope: which path is asked, with what headers, and what its answers and errors come to."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from adapters.dashscope import MULTIMODAL, TEXT, DashScope
from adapters.dashscope_options import DashScopeOptions
from proxy import (
    DONE,
    ChatEvent,
    Exchange,
    Extra,
    Finish,
    ReasoningDelta,
    Remedy,
    Send,
    Started,
    StreamTruncated,
    TextDelta,
    ToolCallDelta,
    UpstreamError,
    UpstreamProtocolError,
    Usage,
)
from tests.adapters import dialect
from tests.adapters.dialect import JSON, SSE, hear, three_ways, usages

OPTIONS = DashScopeOptions()
URL_ERROR = {"code": "InvalidParameter", "message": "url error, please check url！", "request_id": "r-1"}
SEEN: Any = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]}]


def opened(
    model: str = "qwen-plus", options: DashScopeOptions = OPTIONS, adapter: DashScope | None = None, **fields: Any
) -> Exchange:
    chat = dialect.chat(fields, stream=fields.get("stream", False))
    return (adapter or DashScope()).open(chat, dialect.target(options, upstream_model=model))


def sent(exchange: Exchange) -> Send:
    send = exchange.next()
    assert isinstance(send, Send)
    return send


def frame(values: Mapping[str, Any], status: int = 200) -> bytes:
    name = "result" if status == 200 else "error"
    return f"id:1\nevent:{name}\n:HTTP_STATUS/{status}\ndata:{json.dumps(values)}\n\n".encode()


def said(message: Mapping[str, Any], finish: str = "null", output_tokens: int = 1) -> dict[str, Any]:
    usage = {"input_tokens": 9, "output_tokens": output_tokens}
    return {"output": {"choices": [{"message": message, "finish_reason": finish}]}, "usage": usage, "request_id": "r-1"}


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


# ── the answer ─────────────────────────────────────────────────────────────────────────────────────────────────────


def call(**function: str) -> dict[str, Any]:
    return {"content": "", "tool_calls": [{"index": 0, "id": function.pop("id"), "type": "function", "function": function}]}


STREAM = (
    said({"role": "assistant", "content": "", "reasoning_content": "so "}),
    said({"content": "One "}, output_tokens=2),
    said({"content": [{"text": "mo"}, {"text": "ment"}]}, output_tokens=3),
    said(call(id="call_1", name="now", arguments=""), output_tokens=4),
    said(call(id="", name="", arguments='{"zone":'), output_tokens=5),
    said(call(id="", name="", arguments="1}"), output_tokens=6),
    said({"content": ""}, "tool_calls", 7),
    said(call(id="call_1", name="now", arguments='{"zone":1}'), "tool_calls", 8),
)
STREAMED: Sequence[ChatEvent] = (
    Started(id="r-1"),
    ReasoningDelta("so "),
    TextDelta("One "),
    TextDelta("moment"),
    ToolCallDelta(position=0, id="call_1", name="now"),
    ToolCallDelta(position=0, arguments='{"zone":'),
    ToolCallDelta(position=0, arguments="1}"),
    Finish("tool_calls"),
)


def test_a_stream_of_pieces_and_of_counts_that_grow() -> None:
    told = three_ways(lambda: opened(stream=True), b"".join(map(frame, STREAM)))
    *events, usage = told.events
    assert (tuple(events), told.fault) == (STREAMED, None)
    assert isinstance(usage, Usage)
    assert (usage.input_tokens, usage.output_tokens) == (9, 8)


def test_events_leave_as_they_come() -> None:
    exchange = opened(stream=True)
    exchange.feed_head(200, SSE)
    arrived = [list(exchange.feed_data(frame(values))) for values in STREAM]
    assert arrived[1] == [TextDelta("One ")]
    assert arrived[-2:] == [[Finish("tool_calls")], []]


def test_a_stream_that_ends_before_its_reason_is_broken() -> None:
    told = three_ways(lambda: opened(stream=True), b"".join(map(frame, STREAM[:4])))
    assert isinstance(told.fault, StreamTruncated)
    assert not usages(told)


@pytest.mark.parametrize(
    ("message", "finish", "events"),
    [
        ({"content": "ok"}, "stop", [TextDelta("ok"), Finish("stop")]),
        ({"content": "ok"}, "null", [TextDelta("ok"), Finish("stop")]),
        ({"content": "ok"}, None, [TextDelta("ok"), Finish("stop")]),
        ({"content": "ok"}, "news", [TextDelta("ok"), Finish("stop")]),
        ({"content": [7, {"image": "x"}, {"text": None}, {"text": "ok"}]}, "length", [TextDelta("ok"), Finish("length")]),
        ({"tool_calls": "x"}, "stop", [Finish("stop")]),
        (
            {"tool_calls": [7, {"id": "c", "function": {"name": "f", "arguments": "{}"}}]},
            "null",
            [ToolCallDelta(position=0, id="c", name="f", arguments="{}"), Finish("tool_calls")],
        ),
    ],
)
def test_a_json_answer(message: Any, finish: Any, events: list[ChatEvent]) -> None:
    told = three_ways(opened, json.dumps(said(message, finish)).encode(), headers=JSON)
    assert told.events[1:-1] == events


def test_what_has_no_event_of_its_own_passes() -> None:
    values = said({"content": "ok"}, "stop")
    values["output"]["choices"][0]["logprobs"] = {"content": []}
    assert Extra(choice={"logprobs": {"content": []}}) in hear(opened(), [json.dumps(values).encode()], headers=JSON).events


@pytest.mark.parametrize("output", [{}, {"choices": []}, {"text": "hi", "finish_reason": "stop"}])
def test_json_without_a_choice_is_no_answer(output: Any) -> None:
    told = hear(opened(), [json.dumps({"output": output}).encode()], headers=JSON)
    assert isinstance(told.fault, UpstreamProtocolError)


def test_counts_and_what_they_are_made_of() -> None:
    usage = {
        "input_tokens": 40,
        "output_tokens": 5,
        "input_tokens_details": {"image_tokens": 30},
        "prompt_tokens_details": {"cached_tokens": 8, "cache_creation_input_tokens": 2},
        "output_tokens_details": {"reasoning_tokens": 3},
    }
    values = {**said({"content": "ok"}, "stop"), "usage": usage}
    assert usages(hear(opened(), [json.dumps(values).encode()], headers=JSON)) == [
        Usage(
            input_tokens=40,
            output_tokens=5,
            cached_input_tokens=8,
            cache_write_tokens=2,
            reasoning_tokens=3,
            reported={
                "prompt_tokens": 40,
                "completion_tokens": 5,
                "total_tokens": 45,
                "prompt_tokens_details": {"image_tokens": 30, "cached_tokens": 8, "cache_creation_input_tokens": 2},
                "completion_tokens_details": {"reasoning_tokens": 3},
            },
        )
    ]


def test_counts_that_fall_are_a_fault_and_the_higher_ones_stand() -> None:
    body = frame(said({"content": "a"}, output_tokens=5)) + frame(said({"content": "b"}, "stop", 3))
    [usage] = usages(three_ways(lambda: opened(stream=True), body))
    assert usage.output_tokens == 5


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
