from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.ark import ARK
from adapters.openai_chat import exchange, post
from adapters.openai_stream import OPENAI, Dialect
from adapters.repeated_chunk import RepeatedChunk
from proxy import ReasoningDelta, TextDelta, Verbatim
from tests.adapters.dialect import chat, hear, raws

IN = b'data: {"model":"up","choices":[{"delta":{"content":"%b"}}]}\n\n'
OUT = b'data: {"model":"us","choices":[{"delta":{"content":"%b"}}]}\n\n'


def learned(text: bytes = b"one", raw: bytes = IN, passed: bytes = OUT) -> RepeatedChunk:
    known = RepeatedChunk()
    known.learn(raw % text, passed % text, TextDelta(text.decode()))
    return known


def test_another_text_in_the_same_place() -> None:
    data = IN % "二 ".encode() + IN % b"3"
    first, at = learned().find(data, 0) or (None, 0)
    assert first == Verbatim(OUT % "二 ".encode(), (TextDelta("二 "),))
    assert learned().find(data, at) == (Verbatim(OUT % b"3", (TextDelta("3"),)), len(data))


def test_reasoning_and_its_choice() -> None:
    known = RepeatedChunk()
    known.learn(IN % b"a", IN % b"a", ReasoningDelta("a", 2))
    assert known.find(IN % b"b", 0) == (Verbatim(IN % b"b", (ReasoningDelta("b", 2),)), len(IN % b"b"))


@pytest.mark.parametrize(
    "other",
    [
        IN % b"",
        IN % rb"a\n",
        IN % rb"\"",
        IN % b"a\n\ndata: b",
        IN % b"a\tb",
        IN % b"\xff",
        IN % b'a","role":"assistant',
        IN[:-1] % b"a",
        b" " + IN % b"a",
        OUT % b"a",
        b"",
    ],
)
def test_whatever_else_differs_is_to_be_read(other: bytes) -> None:
    assert learned().find(other, 0) is None


@pytest.mark.parametrize(
    "raw",
    [
        b'data: {"content":"%b","id":"%b"}\n\n',
        b'data: {"content":"%b","id":"\\u0061"}\n\n',
        b'data: {"content":"%b"}\r\n\r\n',
    ],
)
def test_a_chunk_whose_text_may_stand_elsewhere_is_not_learned(raw: bytes) -> None:
    known = RepeatedChunk()
    raw = raw.replace(b"%b", b"a")
    known.learn(raw, raw, TextDelta("a"))
    assert known.find(raw, 0) is None


DELTAS = st.fixed_dictionaries(
    {"content": st.text(max_size=6) | st.sampled_from(["up", "content", 'a"b', "\n\n", "\\", "　"])},
    optional={"role": st.just("assistant"), "reasoning_content": st.text(max_size=3)},
)


@given(st.lists(DELTAS, max_size=12), st.booleans(), st.sampled_from([OPENAI, ARK]), st.sampled_from(["up", "a"]))
def test_chunks_come_to_the_same_known_or_read(
    deltas: list[dict[str, str]], ascii_only: bool, dialect: Dialect, model: str
) -> None:
    chunks = [{"model": model, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append({"model": model, "choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}]})
    texts = [json.dumps(chunk, ensure_ascii=ascii_only) for chunk in chunks]
    body = "".join(f"data: {text}\n\n" for text in texts).encode("utf-8", "replace")

    def heard(pieces: list[bytes]) -> list[bytes]:
        told = hear(exchange(post("/chat/completions", {}, stream=True), chat(), dialect), pieces)
        assert told.fault is None
        return raws(told)

    by_event = re.split(rb"(?<=\n\n)", body)
    # What is read piece by piece is never known beforehand.
    assert heard(by_event) == heard([body[at : at + 1] for at in range(len(body))])
