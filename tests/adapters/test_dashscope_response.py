"""What DashScope answers, as JSON and as a stream: pieces, cumulative counts, and the text "null"."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from proxy import (
    ChatEvent,
    Extra,
    Finish,
    ReasoningDelta,
    Started,
    StreamTruncated,
    TextDelta,
    ToolCallDelta,
    UpstreamProtocolError,
    Usage,
)
from tests.adapters.dashscope_answers import frame, opened, said
from tests.adapters.dialect import JSON, SSE, hear, three_ways, usages


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
    exchange = opened(stream=True)
    hear(exchange, [body])
    assert exchange.anomalies == ("falling",)


@pytest.mark.parametrize(
    "wrong", [None, 7, {}, {"input_tokens": -1, "output_tokens": 1}, {"input_tokens": True, "output_tokens": 1}]
)
def test_counts_that_are_none_are_left_to_the_gateway(wrong: Any) -> None:
    exchange = opened()
    told = hear(exchange, [json.dumps({**said({"content": "a"}, "stop"), "usage": wrong}).encode()], headers=JSON)
    assert (usages(told), told.fault) == ([], None)
    assert exchange.anomalies == (() if wrong is None else ("unusable",))


def test_what_was_counted_before_a_stream_broke_stands() -> None:
    exchange = opened(stream=True)
    assert exchange.reported is None
    assert isinstance(hear(exchange, [*map(frame, STREAM[:3])]).fault, StreamTruncated)
    assert exchange.reported is not None
    assert (exchange.reported.input_tokens, exchange.reported.output_tokens) == (9, 3)
