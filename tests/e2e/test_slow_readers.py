"""Clients that read slowly, or not at all: the provider is not read either, and nothing piles up."""

from __future__ import annotations

import asyncio
import resource
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from proxy import streaming
from tests.e2e.conftest import Serve
from tests.e2e.rawclient import BODY, chat, connected
from tests.e2e.test_client_faults import STREAM, Scripted, before
from tests.e2e.unharmed import unharmed
from tests.fakes import READ, eventually, http_head

EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"' + b"x" * 4000 + b'"}}]}\n\n'


@asynccontextmanager
async def endless() -> AsyncIterator[tuple[str, list[int]]]:
    """A provider whose streams never end; what it has got rid of so far, in bytes."""
    sent = [0]
    writers: list[asyncio.StreamWriter] = []

    async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(http_head(content_type="text/event-stream"))
            while True:
                writer.write(EVENT)
                await writer.drain()
                sent[0] += len(EVENT)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(stream, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", sent
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()


@asynccontextmanager
async def slow_readers(url: str, count: int, body: bytes = STREAM) -> AsyncIterator[list[socket.socket]]:
    """Clients that ask and never read."""
    readers = []
    try:
        for _ in range(count):
            reader = socket.socket()
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.setblocking(False)
            await asyncio.get_running_loop().sock_connect(reader, ("127.0.0.1", int(url.rpartition(":")[2])))
            await asyncio.get_running_loop().sock_sendall(reader, chat(body=body))
            readers.append(reader)
        yield readers
    finally:
        for reader in readers:
            reader.close()


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


async def at_rest(sent: list[int]) -> int:
    """Wait until nothing more is sent, and say how much was."""
    async with asyncio.timeout(100):
        while True:
            before_it = sent[0]
            await asyncio.sleep(0.5)
            if before_it == sent[0] > 0:
                return sent[0]


@pytest.mark.parametrize("count", [50, pytest.param(500, marks=pytest.mark.long)])
async def test_slow_readers_stop_what_is_read_upstream(serve: Serve, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "STALL_S", 600)
    async with endless() as (url, sent):
        served, before_bytes = await before(serve, url), resident_bytes()
        async with slow_readers(served.url, count):
            read = await at_rest(sent)
            assert len(served.gateway.pipeline.running) == count
            assert read < count * 20 * 2**20, "the kernel's buffers on both ways and some KiB, not what the provider has to say"
            transports = [story.reply.request.transport for story in served.gateway.pipeline.running]
            assert all(transport and transport.get_write_buffer_size() < 512 * 1024 for transport in transports)
            assert (await served.chat("simulated")).status == 200
            assert resident_bytes() - before_bytes < 50 * 2**20 + count * 512 * 1024
        await eventually(lambda: not served.gateway.pipeline.running, timeout_s=30)
        await unharmed(served)


LONG = b"x" * 32 * 2**20
LONG_ANSWER = b'{"id":"1","choices":[{"index":0,"message":{"content":"' + LONG + b'"},"finish_reason":"stop"}]}'
SCRIPT = [READ, http_head(content_type="application/json", content_length=str(len(LONG_ANSWER))), LONG_ANSWER]


async def test_a_steady_reader_gets_all_of_a_large_answer(
    serve: Serve, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "STALL_S", 0.5)
    served = await before(serve, (await scripted(SCRIPT)).url)
    heard = bytearray()
    async with connected(served.url) as (reader, writer):
        began_s = time.monotonic()
        writer.write(chat("Connection: close"))
        while data := await reader.read(2**20):
            heard += data
            await asyncio.sleep(0.02)
        assert time.monotonic() - began_s > 1
    assert LONG in heard
    assert await served.metric("paifang_requests_total", status="200") == 1


async def test_a_large_answer_of_which_nothing_is_read_is_given_up(
    serve: Serve, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "STALL_S", 0.3)
    served = await before(serve, (await scripted(SCRIPT)).url)
    async with slow_readers(served.url, 1, BODY):
        await eventually(lambda: len(served.gateway.pipeline.running) == 1)
        await eventually(lambda: not served.gateway.pipeline.running, timeout_s=5)
    assert await served.metric("paifang_requests_total", status="499") == 1


async def test_a_client_that_reads_nothing_for_long_is_given_up(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "STALL_S", 0.3)
    async with endless() as (url, _):
        served = await before(serve, url)
        async with slow_readers(served.url, 1):
            await eventually(lambda: len(served.gateway.pipeline.running) == 1)
            await eventually(lambda: not served.gateway.pipeline.running, timeout_s=10)
        await unharmed(served)
        assert await served.metric("paifang_cost_usd_total", route="relay") > 0
