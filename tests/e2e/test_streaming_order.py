"""A stream, event by event: when each leaves, which bytes it has, and how a stream ends that doesn't end well."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from tests.e2e import files
from tests.e2e.conftest import Serve, Served
from tests.fakes import READ, STALL, FakeArk, FakeOpenAI, Pacer, ScriptedUpstream, chunk, eventually, http_head

Scripted = Callable[..., Awaitable[ScriptedUpstream]]
STREAM = {"messages": files.HI, "stream": True}
SSE_HEAD = http_head(content_type="text/event-stream", transfer_encoding="chunked")


async def next_event(response: aiohttp.ClientResponse) -> bytes:
    """The next event with its blank line; b"" at the end. Raises: TimeoutError after 2 s."""
    event = b""
    async with asyncio.timeout(2):
        while not event.endswith(b"\n\n"):
            line = await response.content.readline()
            if not line:
                break
            event += line
    return event


def delta(text: str, **more: Any) -> bytes:
    """An event in OpenAI's dialect, with spaces and an order of members that no encoder of ours would choose."""
    choice = {"delta": {"content": text}, "finish_reason": None, "index": 0}
    return b"data: " + json.dumps({"choices": [choice], "id": "1", **more}, separators=(" , ", " : ")).encode() + b"\n\n"


END = b'data: {"choices":[{"delta":{},"finish_reason":"stop","index":0}],"id":"1"}\n\n'
DONE = b"data: [DONE]\n\n"


async def relaying(serve: Serve, upstream: ScriptedUpstream, **provider: Any) -> Served:
    """A gateway before a scripted upstream."""
    door = {"adapter": "openai_chat", "base_url": upstream.url, "api_key": "sk-upstream", **provider}
    return await serve(
        providers={"relay": door},
        models={"doubao-seed": files.model(files.route("relay", "relay"))},
        keys=[files.key("all", files.KEY)],
    )


def says_something(frame: bytes) -> bool:
    """Whether a provider's event has a part of the answer, which the client must get at once."""
    return any(sign in frame for sign in (b"content_block_delta", b'_text.delta"', b'"choices":[{'))


@pytest.mark.parametrize("model", ["doubao-seed", "messages", "responses", "relayed"])
async def test_each_event_leaves_before_the_next_arrives(
    gateway: Served, fake_ark: FakeArk, fake_openai: FakeOpenAI, model: str
) -> None:
    fake: Any = fake_openai if model == "relayed" else fake_ark
    pacer = fake.stepwise()
    asking = asyncio.ensure_future(gateway.open({"model": model, **STREAM}))
    seen: list[bytes] = []
    # Until the client has read what one event says, the provider is not allowed to send the next.
    while frame := await pacer.step():
        if says_something(frame):
            seen.append(await next_event(await asyncio.wait_for(asking, 2)))
    rest = await (await asking).read()
    assert len(seen) >= 7 and all(event.startswith(b"data: {") for event in seen)
    assert rest.endswith(DONE)


async def test_events_pass_byte_for_byte(serve: Serve, scripted: Scripted) -> None:
    events = [
        delta("one", model="doubao-seed"),
        b": a comment\n\n",
        delta('two "model": "x", "usage": 3', model="doubao-seed", extra={"model": "inner", "usage": {"a": 1}}),
        delta("三 \\u00e9", model="doubao-seed"),
        b"event: x\r\nid: 7\r\ndata: " + delta("four").removeprefix(b"data: ").strip() + b"\r\n\r\n",
        END,
    ]
    whole = b"".join(events)
    # Cut where no event ends.
    pieces = [chunk(whole[start : start + 37]) for start in range(0, len(whole), 37)]
    upstream = await scripted([READ, SSE_HEAD, *pieces, chunk(DONE), chunk(b"")])
    served = await relaying(serve, upstream)
    answered = await served.chat(stream=True)
    assert answered.raw == whole + DONE


async def test_only_the_models_name_changes(serve: Serve, scripted: Scripted) -> None:
    given = delta("hi", model="vendor/doubao-0715", note={"model": "vendor/doubao-0715"})
    upstream = await scripted([READ, SSE_HEAD, chunk(given + END + DONE), chunk(b"")])
    answered = await (await relaying(serve, upstream)).chat(stream=True)
    outer, renamed = b'"model" : "vendor/doubao-0715" , "note"', b'"model" : "doubao-seed" , "note"'
    assert answered.raw == given.replace(outer, renamed) + END + DONE


async def test_usage_that_nobody_asked_for_is_taken_out(serve: Serve, scripted: Scripted) -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
    last = b'data: {"choices":[],"id":"1","usage":' + json.dumps(usage).encode() + b"}\n\n"
    script = [READ, SSE_HEAD, chunk(delta("hi", usage=usage) + END + last + DONE), chunk(b"")]
    upstream = await scripted(script)
    served = await relaying(serve, upstream)
    answered = await served.chat(stream=True)
    assert b"usage" not in answered.raw and b"total_tokens" not in answered.raw
    assert answered.raw.endswith(END + DONE)
    assert await served.metric("paifang_tokens_total", kind="input") == 3
    assert await served.metric("paifang_tokens_total", kind="output") == 1


async def test_the_end_does_not_wait_for_a_provider_that_keeps_its_connection(serve: Serve, scripted: Scripted) -> None:
    upstream = await scripted([READ, SSE_HEAD, chunk(delta("hi") + END + DONE), STALL])
    served = await relaying(serve, upstream)
    answered = await asyncio.wait_for(served.chat(stream=True), 2)
    assert answered.raw.endswith(DONE)


@pytest.mark.parametrize("model", ["doubao-seed", "messages", "responses", "relayed"])
async def test_an_error_in_the_middle(gateway: Served, fake_ark: FakeArk, fake_openai: FakeOpenAI, model: str) -> None:
    fake: Any = fake_openai if model == "relayed" else fake_ark
    fake.error_midstream(after=6, message="words of the provider")
    text = await broken(gateway, model)
    assert json.loads(text[-1].removeprefix(b"data: "))["error"]["code"] == "upstream_error"
    assert len(text) > 1 and b"[DONE]" not in b"".join(text) and b"words of" not in b"".join(text)


@pytest.mark.parametrize("how", ["fin", "rst", "eof"])
@pytest.mark.parametrize("model", ["doubao-seed", "messages", "responses", "relayed"])
async def test_a_provider_that_goes_away(
    gateway: Served, fake_ark: FakeArk, fake_openai: FakeOpenAI, model: str, how: Any
) -> None:
    fake: Any = fake_openai if model == "relayed" else fake_ark
    fake.cut_stream(after=6, how=how)
    text = await broken(gateway, model)
    error = json.loads(text[-1].removeprefix(b"data: "))["error"]
    assert (error["type"], error["code"]) == ("upstream_error", "upstream_error")
    assert b"[DONE]" not in b"".join(text)
    assert await gateway.metric("paifang_ledger_unsettled") == 0
    assert await gateway.metric("paifang_cost_usd_total") > 0


async def broken(gateway: Served, model: str) -> list[bytes]:
    """The events of a stream that must break off: the connection ends inside the chunked body."""
    events = []
    async with gateway.open({"model": model, **STREAM}) as response:
        assert response.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            while event := await next_event(response):
                events.append(event)
    return events


@pytest.mark.parametrize("model", ["doubao-seed", "messages", "responses", "relayed"])
async def test_a_client_that_hangs_up_ends_the_providers_work(
    gateway: Served, fake_ark: FakeArk, fake_openai: FakeOpenAI, model: str
) -> None:
    fake: Any = fake_openai if model == "relayed" else fake_ark
    await leave_after(fake.stepwise(), gateway, model)
    left = time.monotonic()
    await eventually(lambda: fake.requests[-1].hung_up)
    assert time.monotonic() - left < 1
    await eventually(lambda: not gateway.gateway.pipeline.unfinished() and gateway.gateway.store.ledger.unsettled == 0)
    assert await gateway.metric("paifang_cost_usd_total") > 0
    assert await gateway.metric("paifang_requests_total", status="499") == 1


async def test_a_client_that_does_not_wait_for_its_json(gateway: Served, fake_openai: FakeOpenAI) -> None:
    fake_openai.delay(before_s=30)
    asking = asyncio.ensure_future(gateway.chat("relayed"))
    await eventually(lambda: len(fake_openai.requests) == 1)
    asking.cancel()
    await eventually(lambda: fake_openai.requests[0].hung_up)
    await eventually(lambda: not gateway.gateway.pipeline.unfinished() and gateway.gateway.store.ledger.unsettled == 0)
    assert await gateway.metric("paifang_requests_total", status="499") == 1


async def leave_after(pacer: Pacer, served: Served, model: str) -> None:
    """Hang up in the middle of a stream."""
    asking = asyncio.ensure_future(served.open({"model": model, **STREAM}))
    for _ in range(5):
        await pacer.step()
    response = await asyncio.wait_for(asking, 2)
    await next_event(response)
    response.close()


async def test_a_provider_that_is_heard_to_the_end(serve: Serve, fake_openai: FakeOpenAI) -> None:
    served = await serve(
        providers={"relay": files.relay(fake_openai, on_disconnect="finish")},
        models={"doubao-seed": files.model(files.route("relay", "relay"))},
        keys=[files.key("all", files.KEY)],
    )
    pacer = fake_openai.stepwise()
    await leave_after(pacer, served, "doubao-seed")
    while await pacer.step():
        pass
    await eventually(lambda: not served.gateway.pipeline.running)
    assert not fake_openai.requests[-1].hung_up
    assert await served.metric("paifang_tokens_total", kind="output") == 6
