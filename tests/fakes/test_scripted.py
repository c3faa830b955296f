"""The scripted upstream, seen through plain sockets and through aiohttp's client."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from tests.fakes import FIN, READ, RST, STALL, ScriptedUpstream, chunk, eventually, http_head
from tests.fakes.scripted import Step

HEAD = http_head(transfer_encoding="chunked")


async def fetch(url: str, data: bytes | AsyncIterator[bytes] = b"") -> bytes:
    async with aiohttp.ClientSession() as session, session.post(url, data=data) as response:
        return await response.read()


async def test_bytes_are_sent_as_written_and_requests_kept() -> None:
    async with ScriptedUpstream([READ, http_head(content_length="2"), b"ok"]) as upstream:
        assert await fetch(upstream.url + "/x", b"body") == b"ok"
    assert upstream.requests[0].startswith(b"POST /x HTTP/1.1\r\n")
    assert upstream.requests[0].endswith(b"\r\n\r\nbody")


async def test_chunked_requests_are_read_to_their_end() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    async with ScriptedUpstream([READ, http_head(content_length="0")]) as upstream:
        await fetch(upstream.url, body())
    assert upstream.requests[0].endswith(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")


async def test_each_connection_has_its_script_and_the_last_repeats() -> None:
    scripts: list[list[Step]] = [[READ, http_head("500 No")], [READ, http_head("200 OK")]]
    async with ScriptedUpstream(*scripts) as upstream, aiohttp.ClientSession() as session:
        statuses = []
        for _ in range(3):
            async with session.get(upstream.url, headers={"Connection": "close"}) as response:
                statuses.append(response.status)
    assert statuses == [500, 200, 200]
    assert upstream.connections == 3


async def test_a_second_request_on_one_connection_can_meet_a_closed_door() -> None:
    script: list[Step] = [READ, http_head(content_length="0"), READ, FIN]
    async with ScriptedUpstream(script) as upstream, aiohttp.ClientSession() as session:
        async with session.post(upstream.url) as response:
            assert response.status == 200
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await session.post(upstream.url)
    assert (upstream.connections, len(upstream.requests)) == (1, 2)


async def test_fin_inside_a_chunked_body() -> None:
    async with ScriptedUpstream([READ, HEAD, chunk(b"half"), FIN]) as upstream:
        with pytest.raises(aiohttp.ClientPayloadError):
            await fetch(upstream.url)


async def test_rst_before_any_byte() -> None:
    async with ScriptedUpstream([READ, RST]) as upstream:
        with pytest.raises(aiohttp.ClientOSError):
            await fetch(upstream.url)


async def test_rst_inside_the_body() -> None:
    async with ScriptedUpstream([READ, HEAD, chunk(b"half"), 0.05, RST]) as upstream:
        with pytest.raises(aiohttp.ClientPayloadError):
            await fetch(upstream.url)


async def test_an_event_holds_the_script_until_it_is_set() -> None:
    gate = asyncio.Event()
    script: list[Step] = [READ, HEAD, chunk(b"first"), gate, chunk(b"second"), chunk(b"")]
    async with (
        ScriptedUpstream(script) as upstream,
        aiohttp.ClientSession() as session,
        session.get(upstream.url) as response,
    ):
        assert await response.content.read(5) == b"first"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(response.content.read(1), 0.05)
        gate.set()
        assert await response.content.read() == b"second"


async def test_a_number_sleeps() -> None:
    async with ScriptedUpstream([READ, 0.1, http_head(content_length="0")]) as upstream:
        began = time.monotonic()
        await fetch(upstream.url)
    assert time.monotonic() - began >= 0.1


async def test_a_stall_lasts_until_the_client_leaves() -> None:
    async with ScriptedUpstream([READ, STALL]) as upstream:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(fetch(upstream.url), 0.05)
        await eventually(lambda: upstream.ended == 1)


async def test_a_client_that_leaves_early_ends_the_script_quietly() -> None:
    async with ScriptedUpstream([READ]) as upstream:
        _, writer = await asyncio.open_connection("127.0.0.1", int(upstream.url.rpartition(":")[2]))
        writer.write(b"GET / HT")
        writer.close()
        await writer.wait_closed()
        await eventually(lambda: upstream.ended == 1)
    assert upstream.requests == []


async def test_a_mistake_in_a_script_fails_the_test() -> None:
    mistake: Any = ["not a step"]
    with pytest.raises(TypeError):
        async with ScriptedUpstream(mistake) as upstream:
            with pytest.raises(aiohttp.ClientConnectionError):
                await fetch(upstream.url)


async def test_the_fixture_starts_as_many_as_wanted(
    scripted: Callable[..., Awaitable[ScriptedUpstream]],
) -> None:
    one = await scripted([READ, http_head("200 One")])
    two = await scripted([READ, http_head("200 Two")])
    assert (await fetch(one.url), await fetch(two.url)) == (b"", b"")
    assert one.url != two.url
