"""Events → the client's bytes, over a real connection."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from proxy import streaming
from proxy.chat import (
    ChatEvent,
    ChatRequest,
    Extra,
    Finish,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    Usage,
    Verbatim,
)
from proxy.errors import UpstreamTimeout
from proxy.streaming import ClientGone, Headers, Reply, StreamReply

USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5, "cost": 0.1}
WHOLE: list[ChatEvent] = [
    Started(id="c1", created=7, fields={"service_tier": "default"}),
    ReasoningDelta("hm"),
    TextDelta("He"),
    TextDelta("llo"),
    ToolCallDelta(position=0, id="call_1", name="f"),
    ToolCallDelta(position=0, arguments='{"a":'),
    ToolCallDelta(position=0, arguments="1}"),
    Extra(delta={"annotations": [1]}, choice={"logprobs": {"content": [1]}}),
    Extra(delta={"annotations": [2]}, choice={"logprobs": {"content": [2]}}),
    TextDelta("second", index=1),
    Finish("tool_calls"),
    Finish("stop", index=1),
    Usage(input_tokens=3, output_tokens=2),
]


def asked(**more: Any) -> ChatRequest:
    return ChatRequest(body={}, body_bytes=2, model="doubao", **more)


async def answer(make: Callable[[web.Request], Reply], tell: Callable[[Reply], Awaitable[None]]) -> tuple[Any, bytes, bool]:
    """(response, body, whether it ended as it should) of one reply."""

    async def handler(request: web.Request) -> web.StreamResponse:
        reply = make(request)
        await tell(reply)
        assert reply.response is not None
        return reply.response

    app = web.Application()
    app.router.add_post("/", handler)
    async with TestServer(app) as server, aiohttp.ClientSession() as client, client.post(server.make_url("/")) as response:
        body = b""
        try:
            async for piece in response.content.iter_any():
                body += piece
        except aiohttp.ClientPayloadError:
            return response, body, False
        return response, body, True


def stream(request: web.Request, **more: Any) -> StreamReply:
    return StreamReply(request, asked(stream=True, **more), "req_1", 1_000_000_000)


async def written(reply: Reply, events: Sequence[ChatEvent], headers: Headers) -> None:
    if (writing := reply.write(events, headers)) is not None:
        await writing


def tell(*batches: Sequence[ChatEvent]) -> Callable[[Reply], Awaitable[None]]:
    async def run(reply: Reply) -> None:
        for batch in batches:
            await written(reply, batch, lambda: {"x-paifang-route": "a"})
        await reply.end(USAGE, {"x-paifang-route": "a"})

    return run


def chunks(body: bytes) -> list[Any]:
    lines = body.decode().split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]


async def test_a_stream_from_events() -> None:
    response, body, complete = await answer(stream, tell(WHOLE))
    assert complete
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    made = chunks(body)
    assert {(chunk["id"], chunk["model"], chunk["created"], chunk["service_tier"]) for chunk in made} == {
        ("c1", "doubao", 7, "default")
    }
    deltas = [chunk["choices"][0]["delta"] for chunk in made]
    assert deltas[0] == {"role": "assistant", "reasoning_content": "hm"}
    assert deltas[3] == {
        "tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}]
    }
    assert deltas[8] == {"role": "assistant", "content": "second"}
    assert [chunk["choices"][0]["finish_reason"] for chunk in made[-2:]] == ["tool_calls", "stop"]
    assert not any("usage" in chunk for chunk in made)


async def test_usage_comes_last_for_who_asks() -> None:
    _, body, _ = await answer(lambda request: stream(request, include_usage=True), tell(WHOLE))
    made = chunks(body)
    assert (made[-1]["choices"], made[-1]["usage"], made[-1]["id"]) == ([], USAGE, "c1")
    assert all(chunk["usage"] is None for chunk in made[:-1])


async def test_verbatim_events_pass_byte_for_byte_and_usage_is_told_under_their_id() -> None:
    raw = [b'data:{"id": "up",  "odd":1.50}\r\n\r\n', b": ping\n\n"]
    events = [Verbatim(raw[0], (Started(id="up", created=9), TextDelta("x"))), Verbatim(raw[1])]
    _, body, _ = await answer(lambda request: stream(request, include_usage=True), tell(events))
    assert body.startswith(b"".join(raw))
    assert json.loads(body.split(b"data: ")[1])["id"] == "up"


async def test_an_error_before_the_first_byte_is_a_status() -> None:
    response, body, _ = await answer(stream, lambda reply: reply.fail(UpstreamTimeout("slow"), {"x-request-id": "r"}))
    assert (response.status, response.headers["x-request-id"]) == (504, "r")
    assert json.loads(body)["error"]["code"] == "upstream_timeout"


@pytest.mark.parametrize("begun", [[TextDelta("He")], [Verbatim(b"data: {}\n\n")]])
async def test_an_error_after_it_is_an_event_and_the_answer_never_looks_complete(begun: list[ChatEvent]) -> None:
    async def run(reply: Reply) -> None:
        await written(reply, begun, dict)
        await reply.fail(UpstreamTimeout("slow"), {})

    response, body, complete = await answer(stream, run)
    assert (response.status, complete) == (200, False)
    assert json.loads(body.split(b"data: ")[-1])["error"]["code"] == "upstream_timeout"
    assert b"[DONE]" not in body


async def test_a_client_that_does_not_read_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "STALL_S", 0.05)
    gone = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        reply = stream(request)
        try:
            while True:
                await written(reply, [Verbatim(b"data: " + b"x" * 100_000 + b"\n\n")], dict)
        except ClientGone:
            gone.set()
        assert reply.response is not None
        return reply.response

    app = web.Application()
    app.router.add_post("/", handler)
    async with TestServer(app) as server:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        async with asyncio.timeout(5):
            await gone.wait()
        writer.close()
