"""Bytes of Ark's Responses door in, events of our answer out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from adapters.ark_responses import ArkResponses
from adapters.responses_request import ArkResponsesOptions
from proxy import (
    ChatEvent,
    Exchange,
    Extra,
    Finish,
    ReasoningDelta,
    Started,
    StreamTruncated,
    TextDelta,
    ToolCallDelta,
    UpstreamBusy,
    UpstreamError,
    UpstreamFailed,
    UpstreamProtocolError,
    UpstreamRefused,
    UpstreamRejectedUs,
    Usage,
)
from tests.adapters import dialect
from tests.adapters.dialect import JSON, SSE, hear, three_ways

MODEL = "doubao-seed-2-0-lite-260428"
HEAD = {"id": "resp_021", "created_at": 1775418249, "model": MODEL, "object": "response", "service_tier": "default"}
COUNTED = {
    "input_tokens": 40,
    "output_tokens": 11,
    "total_tokens": 51,
    "input_tokens_details": {"cached_tokens": 32},
    "output_tokens_details": {"reasoning_tokens": 7},
}
THOUGHT = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "a clock"}], "encrypted_content": "c2ln"}
SAID = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Let me see."}]}
CALLED = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "now", "arguments": '{"zone": "UTC"}'}
RESPONSE: dict[str, Any] = {**HEAD, "status": "completed", "output": [THOUGHT, SAID, CALLED], "usage": COUNTED}


def at(index: int, kind: str, **members: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", "output_index": index, **members}


CREATED: dict[str, Any] = {"type": "response.created", "response": HEAD}
COMPLETED: dict[str, Any] = {"type": "response.completed", "response": RESPONSE}
EVENTS: list[dict[str, Any]] = [
    CREATED,
    {"type": "response.in_progress", "response": {**HEAD, "status": "in_progress"}},
    at(0, "output_item.added", item={"type": "reasoning", "id": "rs_1"}),
    at(0, "reasoning_summary_part.added", part={"type": "summary_text", "text": ""}),
    at(0, "reasoning_summary_text.delta", delta="a "),
    at(0, "reasoning_summary_text.delta", delta="clock"),
    at(0, "reasoning_summary_text.done", text="a clock"),
    at(0, "reasoning_summary_part.done", part={"type": "summary_text", "text": "a clock"}),
    at(0, "output_item.done", item=THOUGHT),
    at(1, "output_item.added", item={"type": "message", "id": "msg_1", "content": []}),
    at(1, "content_part.added", part={"type": "output_text", "text": ""}),
    at(1, "output_text.delta", delta="Let me "),
    at(1, "output_text.delta", delta="see."),
    at(1, "output_text.done", text="Let me see."),
    at(1, "content_part.done", part={"type": "output_text", "text": "Let me see."}),
    at(1, "output_item.done", item=SAID),
    at(2, "output_item.added", item={**CALLED, "arguments": ""}),
    at(2, "function_call_arguments.delta", delta='{"zone"'),
    at(2, "function_call_arguments.delta", delta=': "UTC"}'),
    at(2, "function_call_arguments.done", arguments='{"zone": "UTC"}'),
    at(2, "output_item.done", item=CALLED),
    {"type": "response.surprise.delta", "output_index": 2, "delta": "?"},
    COMPLETED,
]  # fmt: skip
STARTED = Started(id="resp_021", created=1775418249, model=MODEL, fields={"service_tier": "default"})
SEAL = Extra(delta={"encrypted_content": "c2ln"})
CALL = ToolCallDelta(position=0, id="call_1", name="now")
USAGE = Usage(
    input_tokens=40,
    output_tokens=11,
    cached_input_tokens=32,
    reasoning_tokens=7,
    service_tier="default",
    reported={
        "prompt_tokens": 40,
        "completion_tokens": 11,
        "total_tokens": 51,
        "prompt_tokens_details": {"cached_tokens": 32},
        "completion_tokens_details": {"reasoning_tokens": 7},
    },
)
STREAMED: list[ChatEvent] = [
    STARTED,
    ReasoningDelta("a "),
    ReasoningDelta("clock"),
    SEAL,
    TextDelta("Let me "),
    TextDelta("see."),
    CALL,
    ToolCallDelta(position=0, arguments='{"zone"'),
    ToolCallDelta(position=0, arguments=': "UTC"}'),
    Finish("tool_calls"),
    USAGE,
]
WHOLE: list[ChatEvent] = [
    STARTED,
    ReasoningDelta("a clock"),
    SEAL,
    TextDelta("Let me see."),
    CALL,
    ToolCallDelta(position=0, arguments='{"zone": "UTC"}'),
    Finish("tool_calls"),
    USAGE,
]
AFTER = b'data: {"type": "response.output_text.delta", "delta": "more"}\n\ndata: [DONE]\n\n:x'


def dumped(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def framed(events: Iterable[dict[str, Any]], *, named: bool = True, end: bytes = b"\n") -> bytes:
    frames = [
        (f"event: {event['type']}\n".encode() if named else b"") + b"data: " + dumped({**event, "sequence_number": number})
        for number, event in enumerate(events)
    ]
    return b"".join(frame.replace(b"\n", end) + end * 2 for frame in frames)


def opened(*, stream: bool = True) -> Exchange:
    target = dialect.target(ArkResponsesOptions(), upstream_model=MODEL)
    exchange = ArkResponses().open(dialect.chat(stream=stream), target)
    exchange.next()
    return exchange


def answered(data: bytes, headers: Mapping[str, str] = SSE, after: bytes = b"") -> list[ChatEvent]:
    told = three_ways(lambda: opened(stream=headers is SSE), data, headers=headers, after=after)
    assert told.fault is None
    return told.events


def heard(*events: dict[str, Any], response: dict[str, Any] | None = None) -> list[ChatEvent]:
    """What these events come to between the start and the end of a stream, which has no usage."""
    ended = {"type": "response.completed", "response": {**HEAD, **(response or {})}}
    first, *rest = answered(framed([CREATED, *events, ended]))
    assert first == STARTED
    return rest


def failed(data: bytes, headers: Mapping[str, str] = JSON, status: int = 200) -> UpstreamError:
    fault = hear(opened(), [data], status=status, headers={**headers, "x-request-id": "req-1"}).fault
    assert fault is not None
    return fault


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_stream(named: bool, end: bytes) -> None:
    assert answered(framed(EVENTS, named=named, end=end), after=AFTER) == STREAMED


@given(st.lists(st.integers(1, 400)), st.sampled_from([b"\n", b"\r\n", b"\r"]), st.integers(0, len(EVENTS)))
def test_cuts_never_show(sizes: list[int], end: bytes, length: int) -> None:
    rest = framed(EVENTS[:length], end=end)
    whole, chunks = hear(opened(), [rest]), []
    for size in sizes:
        chunks.append(rest[:size])
        rest = rest[size:]
    cut = hear(opened(), [*chunks, rest])
    assert cut.events == whole.events
    assert repr(cut.fault) == repr(whole.fault)


def test_events_leave_as_they_come() -> None:
    exchange = opened()
    exchange.feed_head(200, CIMultiDict(SSE))
    arrived = [list(exchange.feed_data(framed([event]))) for event in EVENTS]
    assert [event for events in arrived for event in events] == STREAMED
    assert (arrived[4], arrived[8], arrived[11]) == ([ReasoningDelta("a ")], [SEAL], [TextDelta("Let me ")])
    assert exchange.complete


def test_a_json_answer_whatever_was_asked_for() -> None:
    for stream in (True, False):
        assert hear(opened(stream=stream), [dumped(RESPONSE)], headers=JSON).events == WHOLE
    assert answered(dumped({**RESPONSE, "error": None}), JSON) == WHOLE


def test_a_stream_where_json_was_asked_for() -> None:
    assert hear(opened(stream=False), [framed(EVENTS)], headers=JSON).events == STREAMED


def test_what_was_told_in_no_delta_is_told_with_its_item() -> None:
    assert heard(
        *(event for event in EVENTS[2:-1] if not event["type"].endswith(("delta", "_text.done", "arguments.done")))
    ) == [
        ReasoningDelta("a clock"),
        SEAL,
        TextDelta("Let me see."),
        CALL,
        ToolCallDelta(position=0, arguments='{"zone": "UTC"}'),
        Finish("tool_calls"),
    ]


@pytest.mark.parametrize("kind", ["reasoning_text", "reasoning_raw_text", "reasoning_summary_text"])
def test_reasoning_by_any_name(kind: str) -> None:
    assert heard(at(0, f"{kind}.delta", delta="hm"), at(0, f"{kind}.done", text="hm")) == [ReasoningDelta("hm"), Finish("stop")]


def test_reasoning_that_is_told_twice_is_passed_on_once() -> None:
    assert heard(
        at(0, "reasoning_text.delta", delta="all "),
        at(0, "reasoning_summary_text.delta", delta="short"),
        at(0, "reasoning_text.delta", delta="of it"),
        at(0, "output_item.done", item={**THOUGHT, "content": [{"type": "reasoning_text", "text": "all of it"}]}),
    ) == [ReasoningDelta("all "), ReasoningDelta("of it"), SEAL, Finish("stop")]


def test_reasoning_without_a_summary_is_told_in_full() -> None:
    item = {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "all of it"}]}
    assert ReasoningDelta("all of it") in answered(dumped({**RESPONSE, "output": [item]}), JSON)


def test_two_seals_are_not_joined() -> None:
    events = answered(dumped({**RESPONSE, "output": [THOUGHT, THOUGHT]}), JSON)
    assert [event for event in events if isinstance(event, Extra)] == [SEAL]


def test_two_calls_at_once() -> None:
    second = {**CALLED, "call_id": "call_2", "arguments": ""}
    assert heard(
        at(0, "output_item.added", item={**CALLED, "arguments": ""}),
        at(1, "output_item.added", item=second),
        at(1, "function_call_arguments.delta", delta="{ }"),
        at(0, "function_call_arguments.delta", delta="{}"),
    ) == [
        CALL,
        ToolCallDelta(position=1, id="call_2", name="now"),
        ToolCallDelta(position=1, arguments="{ }"),
        ToolCallDelta(position=0, arguments="{}"),
        Finish("tool_calls"),
    ]


@pytest.mark.parametrize("done", [True, False])
def test_a_call_without_arguments_has_an_empty_object(done: bool) -> None:
    bare = {**CALLED, "arguments": ""}
    events = [at(0, "output_item.added", item=bare), at(0, "output_item.done", item=bare)]
    expected = [CALL, ToolCallDelta(position=0, arguments="{}"), Finish("tool_calls")]
    assert heard(*events[: 2 if done else 1]) == expected


def test_citations_of_a_search_stand_where_openais_clients_look() -> None:
    cited = {"type": "url_citation", "title": "T", "url": "https://example.com", "site_name": "E"}
    extra = Extra(
        delta={
            "annotations": [
                {"type": "url_citation", "url_citation": {"title": "T", "url": "https://example.com", "site_name": "E"}}
            ]
        }
    )
    message = {**SAID, "content": [{"type": "output_text", "text": "Rain.", "annotations": [cited]}]}
    assert heard(
        at(0, "output_item.added", item={"type": "web_search_call", "id": "ws_1"}),
        at(0, "web_search_call.searching"),
        at(0, "output_item.done", item={"type": "web_search_call", "id": "ws_1"}),
        at(1, "output_text.delta", delta="Rain."),
        at(1, "output_text.annotation.added", annotation=cited),
        at(1, "output_text.annotation.added", annotation={"type": "doc_citation"}),
        at(1, "output_item.done", item=message),
    ) == [TextDelta("Rain."), extra, Finish("stop")]
    told = answered(dumped({**RESPONSE, "output": [message], "usage": {**COUNTED, "tool_usage": {"web_search": 2}}}), JSON)
    assert told[1:3] == [TextDelta("Rain."), extra]
    usage = told[-1]
    assert isinstance(usage, Usage) and usage.reported
    assert usage.tool_calls == usage.reported["tool_usage"] == {"web_search": 2}


@pytest.mark.parametrize(
    ("details", "finish"),
    [
        ({"reason": "length"}, "length"),
        ({"reason": "max_output_tokens"}, "length"),
        (None, "length"),
        ({"reason": "content_filter"}, "content_filter"),
        ({"reason": "news", "content_filter": {"type": "violence", "details": ""}}, "content_filter"),
    ],
)
def test_incomplete_answers(details: Any, finish: str) -> None:
    cut = {**RESPONSE, "status": "incomplete", "incomplete_details": details}
    assert answered(dumped(cut), JSON)[-2:] == [Finish(finish), USAGE]
    begun = at(0, "output_item.added", item={**CALLED, "arguments": ""})
    ended = {"type": "response.incomplete", "response": {**cut, "output": []}}
    assert answered(framed([CREATED, begun, ended])) == [STARTED, CALL, Finish(finish), USAGE]


def test_a_start_that_was_missed_is_made_up_for_at_the_end() -> None:
    assert answered(framed([COMPLETED])) == [STARTED, Finish("stop"), USAGE]


@pytest.mark.parametrize(
    "usage",
    [None, {}, {"input_tokens": 4}, {"input_tokens": 4, "output_tokens": -1}, {"input_tokens": True, "output_tokens": 10**18}],
)
def test_without_a_sound_count_there_is_no_usage(usage: Any) -> None:
    assert heard(response={"usage": usage}) == [Finish("stop")]


# ── faults ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_end_without_the_terminal_event_is_a_truncation() -> None:
    for count in range(len(EVENTS)):
        for rest in (b"", b"data: [DONE]\n\n"):
            assert isinstance(failed(framed(EVENTS[:count]) + rest, SSE), StreamTruncated)


LIMITED = {"code": "ModelAccountRpmRateLimitExceeded", "message": "m", "param": ""}
FAILED = {**HEAD, "status": "failed", "error": LIMITED}


@pytest.mark.parametrize(
    ("data", "headers", "status", "request_id"),
    [
        (dumped({"error": {**LIMITED, "type": "TooManyRequests"}}), JSON, 429, "req-1"),
        (dumped({"error": LIMITED}), JSON, 200, "req-1"),
        (dumped(FAILED), JSON, 200, "req-1"),
        (framed([CREATED, {"type": "error", **LIMITED}]), SSE, 200, "req-1"),
        (framed([{"type": "error", "error": LIMITED}]), SSE, 200, "req-1"),
        (framed([CREATED, {"type": "response.failed", "response": FAILED}]), SSE, 200, "resp_021"),
    ],
)
def test_errors_wherever_they_stand(data: bytes, headers: Any, status: int, request_id: str) -> None:
    error = failed(data, headers, status)
    assert isinstance(error, UpstreamBusy)
    assert (error.upstream["code"], error.upstream["request_id"]) == ("ModelAccountRpmRateLimitExceeded", request_id)
    assert error.message != "m" and error.detail == "m"


def test_an_error_in_the_middle_follows_what_came_before_it() -> None:
    exchange = opened()
    exchange.feed_head(200, CIMultiDict(SSE))
    events = exchange.feed_data(framed([*EVENTS[:13], {"type": "response.failed", "response": FAILED}]))
    assert list(events) == STREAMED[:6]
    with pytest.raises(UpstreamBusy):
        exchange.feed_eof()


@pytest.mark.parametrize("error", [None, {}, {"code": "InternalServiceError", "message": "m"}])
def test_a_response_that_failed_without_much_ado(error: Any) -> None:
    response = {**HEAD, "status": "failed", "error": error}
    assert isinstance(failed(framed([CREATED, {"type": "response.failed", "response": response}]), SSE), UpstreamFailed)
    assert isinstance(failed(dumped(response)), UpstreamFailed)


@pytest.mark.parametrize(
    ("status", "code", "kind", "ours"),
    [
        (401, "AuthenticationError", UpstreamRejectedUs, "upstream_auth_failed"),
        (403, "AccountOverdueError", UpstreamRejectedUs, "upstream_quota_exhausted"),
        (404, "ModelNotOpen", UpstreamRejectedUs, "upstream_model_unavailable"),
        (400, "InputTextSensitiveContentDetected", UpstreamRefused, "content_filter"),
        (400, "OutofContextError", UpstreamRefused, "context_length_exceeded"),
        (400, "InvalidParameter", UpstreamRefused, "upstream_invalid_request"),
        (500, "InternalServiceError", UpstreamFailed, "upstream_error"),
    ],
)
def test_statuses_map_by_arks_codes(status: int, code: str, kind: type[UpstreamError], ours: str) -> None:
    error = failed(dumped({"error": {"code": code, "message": "", "param": "", "type": ""}}), status=status)
    assert isinstance(error, kind) and error.code == ours


@pytest.mark.parametrize(
    ("status", "headers", "data"),
    [
        (302, {"content-type": "text/plain", "location": "http://evil/"}, b""),
        (200, {"content-type": "text/html"}, b"<html>"),
        (200, JSON, b'{"choices": []}'),
        (200, JSON, b'{"output": [], "status": "in_progress"}'),
        (200, JSON, b'{"output": [}'),
        (200, SSE, b"data: nonsense\n\n"),
        (200, SSE, b""),
    ],
)
def test_what_is_no_answer_is_a_protocol_error(status: int, headers: Mapping[str, str], data: bytes) -> None:
    error = failed(data, headers, status)
    assert isinstance(error, UpstreamProtocolError) and error.status == 502


@pytest.mark.parametrize("junk", [None, 7, "x", [], {}, [None], {"type": 7}, {"type": "message", "content": "x"}])
def test_junk_in_any_place_is_passed_over(junk: Any) -> None:
    kinds = {event["type"] for event in EVENTS} - {"response.completed"}
    places = ("output_index", "item", "delta", "text", "annotation", "arguments", "response")
    events = [{"type": kind, **dict.fromkeys(places, junk)} for kind in sorted(kinds)]
    exchange = opened()
    exchange.feed_head(200, CIMultiDict(SSE))
    for event in [*events, {"type": "x"}, {"type": "response.completed", "response": junk}]:
        exchange.feed_data(framed([event]))
    assert exchange.complete
