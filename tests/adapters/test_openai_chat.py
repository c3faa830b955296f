from __future__ import annotations

from typing import Any

import orjson
import pytest

from adapters.one_post import MAX_ANSWER_BYTES
from adapters.openai_chat import exchange as open_exchange
from adapters.openai_chat import post
from proxy import (
    Answer,
    Exchange,
    Finish,
    Progress,
    ReasoningDelta,
    Started,
    StreamTruncated,
    TextDelta,
    UpstreamBusy,
    UpstreamProtocolError,
    Usage,
)
from tests.adapters.dialect import (
    FINISHED,
    JSON,
    SSE,
    chat,
    hear,
    raws,
    stream,
    three_ways,
)


def exchange() -> Exchange:
    return open_exchange(post("/chat/completions", {}, stream=True), chat())


ANSWER: dict[str, Any] = {
    "id": "c1",
    "object": "chat.completion",
    "created": 7,
    "model": "up-1",
    "extra": {"model": "up-1"},
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "hi", "reasoning_content": "why", "refusal": None},
            "logprobs": None,
            "finish_reason": "length",
        }
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2},
}


def test_json_answer_passes_with_the_clients_name_for_the_model() -> None:
    told = three_ways(exchange, b"\n \n" + orjson.dumps(ANSWER) + b"\n", headers=JSON)
    answer, usage = told.events
    assert isinstance(answer, Answer)
    assert answer.body == {**{name: ANSWER[name] for name in ANSWER if name != "usage"}, "model": "doubao-seed"}
    assert answer.parts == (
        Started(id="c1", created=7, model="up-1"),
        ReasoningDelta("why"),
        TextDelta("hi"),
        Finish("length"),
    )
    assert usage == Usage(input_tokens=3, output_tokens=2, reported=ANSWER["usage"])


@pytest.mark.parametrize("headers", [JSON, {}, {"content-type": "text/plain"}, SSE])
def test_json_is_known_by_its_first_character(headers: dict[str, str]) -> None:
    told = hear(exchange(), [orjson.dumps(ANSWER)], headers=headers)
    assert isinstance(told.events[0], Answer)


@pytest.mark.parametrize("headers", [SSE, {}, {"content-type": "text/plain"}])
def test_events_are_known_by_their_first_character(headers: dict[str, str]) -> None:
    assert raws(hear(exchange(), [stream(FINISHED)], headers=headers)) == [stream(FINISHED)]


def test_json_error_under_200_is_an_error() -> None:
    told = three_ways(exchange, b'{"error":{"message":"slow down","code":"rate_limit_exceeded"}}', headers=JSON)
    assert isinstance(told.fault, UpstreamBusy)
    assert told.fault.progress is Progress.HEADERS_ONLY


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (200, {"content-type": "text/html"}, b"<html>"),
        (200, {}, b"<html>"),
        (200, JSON, b"[]"),
        (200, JSON, b'{"choices":[]}'),
        (200, JSON, b'{"ok":true}'),
        (200, JSON, b'{"choices":['),
        (200, {**JSON, "content-encoding": "gzip"}, b"\x1f\x8b"),
        (200, {**SSE, "content-encoding": "br"}, b""),
        (307, {"location": "http://evil"}, b""),
        (204, {}, b""),
        (101, {}, b""),
    ],
)
def test_answer_that_is_no_completion_breaks_the_protocol(status: int, headers: dict[str, str], body: bytes) -> None:
    fault = three_ways(exchange, body, status=status, headers=headers).fault
    assert type(fault) is UpstreamProtocolError
    assert (fault.status, fault.code) == (502, "upstream_error")
    assert "evil" not in fault.message


def test_empty_answer_is_truncated() -> None:
    assert isinstance(three_ways(exchange, b"", headers=JSON).fault, StreamTruncated)


def test_json_answer_has_a_largest_size() -> None:
    opened = exchange()
    opened.feed_head(200, JSON)
    opened.feed_data(b"{" + b" " * (MAX_ANSWER_BYTES - 1))
    with pytest.raises(UpstreamProtocolError, match="64 MiB"):
        opened.feed_data(b" ")
