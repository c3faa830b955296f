from __future__ import annotations

from typing import Any

import pytest

from proxy import Answer, Finish, Part, ReasoningDelta, Started, TextDelta, ToolCallDelta, Usage, Verbatim
from proxy.testkit import Call
from proxy.testkit.door import MODEL
from proxy.testkit.meaning import Said, said_by, shown_by

USAGE = Usage(input_tokens=1, output_tokens=1)


def test_parts_are_put_together() -> None:
    parts = (
        Started(id="a"),
        ReasoningDelta("so"),
        TextDelta("H"),
        TextDelta("i"),
        ToolCallDelta(position=0, id="c", name="f", arguments="{"),
        ToolCallDelta(position=0, arguments="}"),
        Finish("tool_calls"),
    )
    assert said_by(parts) == Said("Hi", "so", {0: Call("c", "f", "{}")}, "tool_calls")


@pytest.mark.parametrize(
    "parts",
    [
        (TextDelta("a"), Started(id="a")),
        (Finish("stop"), TextDelta("a")),
        (Finish("stop"), Finish("stop")),
        (TextDelta("a"), ReasoningDelta("b")),
        (TextDelta("a", 1),),
        (ToolCallDelta(position=0, arguments="{}"),),
        (ToolCallDelta(position=1, id="c", name="f"),),
        (Finish("end_turn"),),
    ],
)
def test_parts_in_a_wrong_order(parts: tuple[Part, ...]) -> None:
    with pytest.raises(AssertionError):
        said_by(parts)


def chunk(delta: str, finish: str = "null", index: int = 0) -> bytes:
    choice = f'{{"index":{index},"delta":{delta},"finish_reason":{finish}}}'
    return f'data: {{"model":"{MODEL}","choices":[{choice}]}}\n\n'.encode()


def test_what_clients_read_in_a_stream() -> None:
    call = '{"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":"{}"}}]}'
    raws = (b": hello\n\n", chunk('{"reasoning_content":"so","content":"Hi"}'), chunk(call), chunk("{}", '"tool_calls"'))
    assert shown_by([Verbatim(raw) for raw in raws]) == Said("Hi", "so", {0: Call("c", "f", "{}")}, "tool_calls")


def test_what_clients_read_in_an_answer() -> None:
    choice = {"index": 0, "message": {"content": "Hi"}, "finish_reason": "stop"}
    assert shown_by([Answer({"model": MODEL, "choices": [choice]}), USAGE]) == Said("Hi", finish="stop")
    assert shown_by([TextDelta("Hi"), USAGE]) is None


@pytest.mark.parametrize(
    "raw",
    [
        chunk("{}", index=1),
        chunk("{}").replace(MODEL.encode(), b"theirs"),
        chunk("{}").replace(b'"finish_reason":null', b'"a":1'),
        chunk("{}").removesuffix(b"\n"),
        b'data: {"error":{"message":"a"}}\n\n',
        b'data: {"choices":[],"usage":{"prompt_tokens":1}}\n\n',
    ],
)
def test_what_clients_could_not_read(raw: Any) -> None:
    with pytest.raises(AssertionError):
        shown_by([Verbatim(raw)])
