"""Coze's exchange: streams, errors and polling."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import (
    DONE,
    Finish,
    Progress,
    ReasoningDelta,
    Remedy,
    StreamTruncated,
    TextDelta,
    UpstreamProtocolError,
)
from tests.adapters import coze_answers as coze
from tests.adapters.coze_answers import (
    CREATED,
    HELLO,
    QUERY,
    STARTED,
    ask,
    chat,
    completed,
    data,
    delta,
    events,
    fault_of,
    message,
    opened,
    play,
    polled,
    streamed,
    texts,
    usage,
)
from tests.adapters.dialect import SSE, hear, three_ways

TOLD = [
    STARTED,
    ReasoningDelta("Hm."),
    TextDelta("Hel"),
    TextDelta("lo, 你好"),
    usage(10, 2),
    Finish("stop"),
]


# ── streams ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_stream() -> None:
    told = three_ways(streamed, HELLO, after=b'event:error\ndata:{"code":5000}\n\n')
    assert told.events == TOLD and told.fault is None


@pytest.mark.parametrize("end", [b"\r\n", b"\r"])
def test_other_line_ends(end: bytes) -> None:
    assert three_ways(streamed, HELLO.replace(b"\n", end)).events == TOLD


def test_spaces_comments_and_a_byte_order_mark() -> None:
    spaced = re.sub(rb"(?m)^(event|data):", rb"\1: ", HELLO)
    assert three_ways(streamed, b"\xef\xbb\xbf: hello\n\n" + spaced).events == TOLD


@given(cuts=st.lists(st.integers(0, len(HELLO)), max_size=12).map(sorted))
def test_any_chunks_are_the_same_stream(cuts: list[int]) -> None:
    edges = [0, *cuts, len(HELLO)]
    chunks = [HELLO[start:end] for start, end in pairwise(edges)]
    assert hear(streamed(), [chunk for chunk in chunks if chunk]).events == TOLD


def test_the_answer_is_whole_before_the_connection_ends() -> None:
    exchange = streamed()
    exchange.feed_head(200, SSE)
    exchange.feed_data(HELLO)
    assert exchange.complete and exchange.next() is DONE


def test_several_answers_and_one_without_deltas() -> None:
    body = events(
        CREATED,
        delta("One."),
        completed("One."),
        completed("Two.", number=2),
        completed("search()", kind="function_call", number=3),
        completed("found", kind="tool_response", number=4),
        completed("hi", kind="question", number=5, role="user"),
        ("chat.completed", chat("completed", (1, 2))),
        coze.DONE,
    )
    assert texts(three_ways(streamed, body).events) == "One.Two."


def test_nothing_is_told_before_the_answer_begins() -> None:
    exchange = streamed()
    assert hear(exchange, [events(CREATED, coze.IN_PROGRESS)]).events == []


@pytest.mark.parametrize("end", range(1, 10))
def test_a_cut_is_never_an_end(end: int) -> None:
    pieces = HELLO.split(b"\n\n")
    told = three_ways(streamed, b"\n\n".join(pieces[:end]) + b"\n\n")
    assert isinstance(told.fault, StreamTruncated)
    assert not any(isinstance(event, Finish) for event in told.events)


def test_what_a_chat_took_counts_even_if_its_stream_is_cut_after() -> None:
    told = three_ways(streamed, HELLO.partition(b"event:done")[0])
    assert told.events[-1] == usage(10, 2) and isinstance(told.fault, StreamTruncated)


def test_a_done_before_the_chats_end_is_a_cut() -> None:
    assert isinstance(three_ways(streamed, events(CREATED, delta("Hel"), coze.DONE)).fault, StreamTruncated)


def test_a_chat_that_does_not_say_what_it_took() -> None:
    body = events(CREATED, delta("Hi"), ("chat.completed", {**coze.IDS, "status": "completed"}), coze.DONE)
    assert three_ways(streamed, body).events == [STARTED, TextDelta("Hi"), Finish("stop")]


@pytest.mark.parametrize("odd", [None, [], {}, 7])
def test_members_of_another_type_than_coze_writes_are_passed_over(odd: Any) -> None:
    body = events(
        CREATED,
        ("message.delta", {"id": odd, "type": "answer", "content": odd, "reasoning_content": odd}),
        ("message.completed", {"id": "m1", "type": odd, "content": "x"}),
        ("chat.in_progress", odd if isinstance(odd, dict) else {}),
        delta("Hi", number=2),
        ("chat.completed", chat("completed") | {"usage": odd, "created_at": odd, "last_error": odd, "required_action": odd}),
        coze.DONE,
    )
    told = three_ways(streamed, body)
    assert texts(told.events) == "Hi" and told.fault is None


def test_a_chat_without_ids_is_no_chat() -> None:
    assert isinstance(three_ways(streamed, events(("chat.created", {"id": "../x"}))).fault, UpstreamProtocolError)


# ── errors ─────────────────────────────────────────────────────────────────────────────────────────────────────────

LOGGED = {"x-tt-logid": "20261120ABC"}


def test_an_error_instead_of_a_stream() -> None:
    body = json.dumps({"code": 4011, "msg": "余额不足", "detail": {"logid": "x"}}).encode()
    error = fault_of(opened(ask(stream=True)), body, headers=LOGGED)
    assert error.code == "upstream_quota_exhausted"
    assert error.upstream == {"status": 402, "code": "4011", "request_id": "20261120ABC"}
    assert error.progress is Progress.HEADERS_ONLY


@pytest.mark.parametrize("more", [{}, {"detail": {"logid": "x"}}])
def test_an_error_status(more: dict[str, Any]) -> None:
    body = json.dumps({"code": 700012006, "msg": "access token invalid", **more}).encode()
    error = fault_of(opened(ask(stream=True)), body, status=401, headers=LOGGED)
    assert error.code == "upstream_auth_failed"
    assert error.upstream == {"status": 401, "code": "700012006", "request_id": "20261120ABC"}


def test_an_error_event() -> None:
    told = three_ways(streamed, events(CREATED, delta("Hel"), ("error", {"code": 4009, "msg": "busy"})))
    assert told.events == [STARTED, TextDelta("Hel")]
    assert told.fault is not None
    assert told.fault.code == "upstream_rate_limited"
    assert told.fault.upstream == {"status": 429, "code": "4009", "request_id": ""}


@pytest.mark.parametrize("last", [(), (coze.DONE,)])
def test_a_chat_that_failed_is_an_error_and_may_be_answered_elsewhere(last: tuple[Any, ...]) -> None:
    failed = chat("failed", last_error={"code": 4013, "msg": "model error"})
    told = three_ways(streamed, events(CREATED, ("chat.failed", failed), *last))
    assert told.events == [] and told.fault is not None
    assert (told.fault.code, told.fault.remedy) == ("upstream_error", Remedy.RETRY)
    assert told.fault.upstream["code"] == "4013" and told.fault.progress is Progress.HEADERS_ONLY


def test_what_a_failed_chat_took_counts() -> None:
    failed = chat("failed", (10, 1), last_error={"code": 4105, "msg": ""})
    told = three_ways(streamed, events(CREATED, delta("Hel"), ("chat.failed", failed), coze.DONE))
    assert told.events == [STARTED, TextDelta("Hel"), usage(10, 1)]
    assert told.fault is not None and told.fault.code == "content_filter"


def test_a_chat_that_somebody_canceled_is_no_answer() -> None:
    told = three_ways(streamed, events(CREATED, ("chat.canceled", chat("canceled")), coze.DONE))
    assert told.fault is not None and told.fault.code == "upstream_error"


# ── polling ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_polling() -> None:
    listed = [message("{}", kind="verbose", number=10), message("lo.", number=9), message("Hel", reasoning_content="Hm.")]
    answers = (chat("created"), chat("in_progress"), chat("completed", (10, 2), created_at=1766000000), listed)
    played = play(polled(), *map(data, answers))
    assert played.asked == [
        "POST /v3/chat",
        "wait 0.5",
        f"POST /v3/chat/retrieve{QUERY}",
        "wait 0.5",
        f"POST /v3/chat/retrieve{QUERY}",
        f"GET /v3/chat/message/list{QUERY}",
    ]
    assert played.events == [usage(10, 2), STARTED, ReasoningDelta("Hm."), TextDelta("Hel"), TextDelta("lo."), Finish("stop")]


def test_a_chat_that_came_where_a_stream_was_asked_for_is_polled() -> None:
    answers = (chat("in_progress"), chat("completed", (1, 1)), [message("Hello.")])
    assert texts(play(opened(ask(stream=True)), *map(data, answers)).events) == "Hello."


@pytest.mark.parametrize("at", [1, 2])
def test_who_has_set_a_bot_to_work_does_not_do_so_again(at: int) -> None:
    answers = [data(chat("in_progress")), data(chat("completed")), data([])]
    error = fault_of(polled(), *answers[:at], b'{"code":5000,"msg":"internal"}')
    assert error.remedy is Remedy.RETRY and error.progress is Progress.AMBIGUOUS


def test_a_polled_chat_that_failed() -> None:
    failed = chat("failed", last_error={"code": 4010, "msg": "too long"})
    error = fault_of(polled(), data(chat("in_progress")), data(failed))
    assert (error.code, error.progress) == ("context_length_exceeded", Progress.HEADERS_ONLY)


@pytest.mark.parametrize("body", [b'{"code":0,"msg":""}', b'{"code":0,"data":[]}', b'{"code":0,"data":{}}', b"{}"])
def test_what_is_no_chat(body: bytes) -> None:
    assert isinstance(fault_of(polled(), body), UpstreamProtocolError)


def test_what_is_no_list_of_messages() -> None:
    error = fault_of(polled(), data(chat("completed")), events(CREATED))
    assert isinstance(error, UpstreamProtocolError)
