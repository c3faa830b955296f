"""Events → one JSON object, over a real connection."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from proxy import jsonreply
from proxy.chat import Answer, ChatEvent, Extra, Finish, Part, ReasoningDelta, Started, TextDelta, ToolCallDelta, Verbatim
from proxy.errors import UpstreamProtocolError
from proxy.jsonreply import JsonReply
from tests.proxy.test_streaming import USAGE, WHOLE, answer, asked, chunks, stream, tell


def whole(request: web.Request) -> JsonReply:
    return JsonReply(request, asked(), "req_1", 1_000_000_000)


async def test_json_from_events() -> None:
    response, body, complete = await answer(whole, tell(WHOLE[:5], WHOLE[5:]))
    assert complete
    assert response.headers["x-paifang-route"] == "a"
    assert json.loads(body) == {
        "id": "c1",
        "object": "chat.completion",
        "created": 7,
        "model": "doubao",
        "service_tier": "default",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Hello",
                    "reasoning_content": "hm",
                    "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}],
                    "annotations": [1, 2],
                },
                "logprobs": {"content": [1, 2]},
                "finish_reason": "tool_calls",
            },
            {"index": 1, "message": {"role": "assistant", "content": "second"}, "logprobs": None, "finish_reason": "stop"},
        ],
        "usage": USAGE,
    }


async def test_json_from_a_json_answer_changes_usage_alone() -> None:
    given = {"id": "x", "choices": [], "usage": {"prompt_tokens": 1}, "vendor": {"kept": 1.50}}
    _, body, _ = await answer(whole, tell([Answer(given)]))
    assert json.loads(body) == {**given, "usage": USAGE}


LONG = "x" * 6000


@pytest.mark.parametrize(
    "event",
    [
        Verbatim(LONG.encode(), (TextDelta(LONG),)),
        TextDelta(LONG),
        TextDelta("牌" * 3000),
        ReasoningDelta(LONG),
        ToolCallDelta(position=0, arguments=LONG),
        ToolCallDelta(position=0, name=LONG),
        ToolCallDelta(position=0, id=LONG),
        Extra(delta={"encrypted_content": LONG}),
        Extra(choice={"logprobs": {"content": [LONG]}}),
    ],
)
async def test_what_is_collected_has_a_bound(monkeypatch: pytest.MonkeyPatch, event: ChatEvent) -> None:
    monkeypatch.setattr(jsonreply, "MOST_COLLECTED_BYTES", 10_000)
    reply = whole(make_mocked_request("POST", "/"))
    reply.write([event], dict)
    with pytest.raises(UpstreamProtocolError, match="more than"):
        reply.write([event], dict)


@pytest.mark.parametrize("verbatim", [False, True])
@pytest.mark.parametrize(
    "piece",
    [
        lambda number: TextDelta("", index=number),
        lambda number: TextDelta("x"),
        lambda number: Finish("stop", index=number),
        lambda number: ToolCallDelta(position=number),
        lambda number: ToolCallDelta(position=0, arguments="x"),
        lambda number: Extra(delta={"annotations": [number]}),
        lambda number: Extra(index=number),
    ],
)
async def test_many_small_pieces_have_a_bound_in_memory(
    monkeypatch: pytest.MonkeyPatch, piece: Callable[[int], Part], verbatim: bool
) -> None:
    monkeypatch.setattr(jsonreply, "MOST_COLLECTED_BYTES", 1_000_000)
    reply = whole(make_mocked_request("POST", "/"))
    tracemalloc.start()
    try:
        with pytest.raises(UpstreamProtocolError, match="more than"):
            for number in range(1_000_000):
                part = piece(number)
                reply.write([Verbatim(b"", (part,)) if verbatim else part], dict)
        kept_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept_bytes < 1_500_000


async def test_what_an_adapter_said_stays_as_it_was() -> None:
    said = {"annotations": [1], "audio": {"parts": [1], "transcript": "a"}}
    reply = whole(make_mocked_request("POST", "/"))
    reply.write([Extra(delta=said), Extra(delta=said), Extra(delta={"audio": {"transcript": None}})], dict)
    assert said == {"annotations": [1], "audio": {"parts": [1], "transcript": "a"}}
    [choice] = reply._assembled()["choices"]
    assert choice["message"]["annotations"] == [1, 1]
    assert choice["message"]["audio"] == {"parts": [1, 1], "transcript": None}


async def test_json_asked_for_but_a_stream_came_and_the_other_way_round() -> None:
    _, body, _ = await answer(whole, tell([Verbatim(b"", tuple(WHOLE[:4])), Verbatim(b"", (Finish("stop"),))]))
    assert json.loads(body)["choices"][0]["message"]["content"] == "Hello"
    _, body, _ = await answer(stream, tell([Answer({}, (Started(id="j"), TextDelta("all"), Finish("stop")))]))
    assert [chunk["choices"][0]["delta"].get("content") for chunk in chunks(body)] == ["all", None]
