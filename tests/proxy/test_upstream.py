"""aiohttp's client errors in our words, and what really comes off a socket."""

import asyncio
import inspect
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from aiohttp.connector import Connection

from proxy import upstreamresponse
from proxy.adapter import Send
from proxy.connections import Pool
from proxy.context import Timeouts
from proxy.errors import (
    Progress,
    StreamTruncated,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from proxy.secret import Secret
from proxy.snapshot import Provider
from proxy.upstream import AiohttpTransport
from proxy.upstreamfaults import translate
from tests.fakes import ScriptedUpstream, eventually
from tests.fakes.scripted import FIN, READ, RST, STALL, Do
from tests.plugins.targets import TARGET

Start = Callable[..., Awaitable[ScriptedUpstream]]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


class Keyed:
    signer = "bearer"


@pytest.fixture
async def transport() -> AsyncIterator[AiohttpTransport]:
    transport = AiohttpTransport("paifang/test")
    yield transport
    await transport.close()


async def ask(
    transport: AiohttpTransport,
    url: str,
    *,
    within_s: float = 5,
    pause_s: float = 0,
    body: bytes = b"{}",
    heard: list[bytes] | None = None,
    on_quiet: Callable[[], None] | None = None,
    **timeouts: float,
) -> bytes:
    """pause_s: between two reads. heard: gets what each of them came to."""
    heard = [] if heard is None else heard
    provider = Provider(
        name="p",
        adapter=Keyed(),  # type: ignore[arg-type]
        base_url=url,
        credential=Secret("sk-provider"),
        active=True,
    )
    target = replace(TARGET, timeouts=Timeouts(**timeouts))
    deadline_s = asyncio.get_running_loop().time() + within_s
    response = await transport.send(provider, target, Send(path="/x", body=body, stream=True), deadline_s)
    response.on_quiet = on_quiet
    try:
        while data := await response.read():
            heard.append(data)
            await asyncio.sleep(pause_s)
        return b"".join(heard)
    finally:
        await response.close()


async def test_what_is_sent_is_ours_alone(transport: AiohttpTransport, scripted: Start) -> None:
    upstream = await scripted([READ, HEAD + b"Content-Length: 2\r\nSet-Cookie: a=b\r\n\r\nok"])
    assert await ask(transport, upstream.url) == b"ok"
    head = upstream.requests[0].split(b"\r\n\r\n")[0].decode().lower().split("\r\n")
    names = {line.split(":")[0] for line in head[1:]}
    assert names == {"host", "user-agent", "accept-encoding", "content-type", "authorization", "content-length"}
    assert "authorization: bearer sk-provider" in head
    assert "accept-encoding: identity" in head


async def test_a_redirect_is_not_followed(transport: AiohttpTransport, scripted: Start) -> None:
    upstream = await scripted([READ, b"HTTP/1.1 307 X\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"])
    assert await ask(transport, upstream.url) == b""
    assert upstream.connections == 1


@pytest.mark.parametrize(
    ("script", "error", "progress"),
    [
        ([READ, FIN], UpstreamUnreachable, Progress.AMBIGUOUS),
        ([READ, RST], UpstreamUnreachable, Progress.AMBIGUOUS),
        ([READ, b"SSH-2.0-OpenSSH_9\r\n", FIN], UpstreamProtocolError, Progress.HEADERS_ONLY),
        ([READ, HEAD + b"Content-Length: 9\r\n\r\nhalf", FIN], StreamTruncated, Progress.HEADERS_ONLY),
        ([READ, HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", FIN], StreamTruncated, Progress.HEADERS_ONLY),
        ([READ, HEAD + b"Content-Length: 9\r\n\r\nhalf", RST], StreamTruncated, Progress.HEADERS_ONLY),
        ([READ, STALL], UpstreamTimeout, Progress.AMBIGUOUS),
        ([READ, HEAD + b"Content-Length: 9\r\n\r\nhalf", STALL], UpstreamTimeout, Progress.HEADERS_ONLY),
    ],
)
async def test_faults_on_the_wire(
    transport: AiohttpTransport, scripted: Start, script: list[Any], error: type[UpstreamError], progress: Progress
) -> None:
    upstream = await scripted(script)
    with pytest.raises(error) as caught:
        await ask(transport, upstream.url, first_byte_s=0.3, idle_s=0.3)
    assert caught.value.progress is progress


WHOLE = HEAD + b"Content-Length: %d\r\n\r\n%b"


async def test_bytes_that_nobody_asked_for_are_nobodys_answer(transport: AiohttpTransport, scripted: Start) -> None:
    unasked = asyncio.Event()
    first = [READ, WHOLE % (3, b"one"), unasked, WHOLE % (6, b"poison"), STALL]
    upstream = await scripted(first, [READ, WHOLE % (3, b"two"), STALL])
    assert await ask(transport, upstream.url) == b"one"
    unasked.set()
    await asyncio.sleep(0.05)
    assert await ask(transport, upstream.url) == b"two"
    assert upstream.connections == 2


async def test_bytes_that_the_loop_has_not_seen_yet_are_nobodys_answer(transport: AiohttpTransport) -> None:
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        while await reader.read(1000):
            writer.write(WHOLE % (3, b"own"))
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        assert [await ask(transport, url) for _ in range(2)] == [b"own", b"own"]
        writers[0].write(WHOLE % (6, b"poison"))
        assert await ask(transport, url) == b"own"
        await transport.close()
    assert len(writers) == 2


async def test_what_came_before_a_fault_is_heard(transport: AiohttpTransport, scripted: Start) -> None:
    chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n"
    upstream = await scripted([READ, chunked, 0.05, b"1\r\nb\r\nzz\r\n", STALL])
    heard: list[bytes] = []
    with pytest.raises(UpstreamProtocolError):
        await ask(transport, upstream.url, pause_s=0.1, heard=heard)
    assert heard == [b"a", b"b"]


async def test_silence_is_told_again_and_again_until_it_is_too_long(
    transport: AiohttpTransport, scripted: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstreamresponse, "QUIET_S", 0.2)
    upstream = await scripted([READ, HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n", STALL])
    told: list[None] = []
    with pytest.raises(UpstreamTimeout):
        await ask(transport, upstream.url, idle_s=1, on_quiet=lambda: told.append(None))
    assert 2 <= len(told) <= 4


async def test_a_kept_connection_that_was_closed_costs_no_request(transport: AiohttpTransport, scripted: Start) -> None:
    upstream = await scripted([READ, WHOLE % (3, b"one"), READ, RST], [READ, WHOLE % (3, b"two"), READ, RST])
    assert await ask(transport, upstream.url) == b"one"
    assert await ask(transport, upstream.url) == b"two"
    assert (upstream.connections, len(upstream.requests)) == (2, 3)
    assert transport.stale == {"p": 1}


@pytest.mark.parametrize(
    "then",
    [
        [0.5, FIN],
        [0.5, RST],
        [b"HTTP/1.1 20", 0.05, FIN],
        [b"HTTP/1.1 20", 0.05, RST],
        [b"HTTP/1.1 100 Continue\r\n\r\n", 0.05, RST],
    ],
)
async def test_what_a_kept_connection_may_have_served_is_not_sent_again(
    transport: AiohttpTransport, scripted: Start, then: list[Any]
) -> None:
    upstream = await scripted([READ, WHOLE % (3, b"one"), READ, *then], [READ, WHOLE % (3, b"two")])
    assert await ask(transport, upstream.url) == b"one"
    with pytest.raises(UpstreamUnreachable) as caught:
        await ask(transport, upstream.url)
    assert caught.value.progress is Progress.AMBIGUOUS
    assert (len(upstream.requests), transport.stale) == (2, {})


async def test_what_broke_off_on_a_new_connection_is_not_sent_again(transport: AiohttpTransport, scripted: Start) -> None:
    upstream = await scripted([READ, RST], [READ, WHOLE % (3, b"two")])
    with pytest.raises(UpstreamUnreachable):
        await ask(transport, upstream.url)
    assert upstream.connections == 1


async def test_a_provider_that_never_pauses_is_stopped_at_the_deadline(transport: AiohttpTransport, scripted: Start) -> None:
    upstream = await scripted([READ, HEAD + b"\r\n", *[b"x" * 100_000] * 1000, STALL])
    with pytest.raises(UpstreamTimeout) as caught:
        await ask(transport, upstream.url, within_s=0.3, pause_s=0.01)
    assert caught.value.progress is Progress.HEADERS_ONLY


async def test_nothing_listens(transport: AiohttpTransport) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    with pytest.raises(UpstreamUnreachable) as caught:
        await ask(transport, f"http://127.0.0.1:{port}")
    assert caught.value.progress is Progress.NEVER_SENT


async def test_a_certificate_nobody_vouches_for(transport: AiohttpTransport, scripted: Start) -> None:
    upstream = await scripted([b"this is no TLS server\r\n", FIN])
    with pytest.raises(UpstreamUnreachable, match="TLS") as caught:
        await ask(transport, upstream.url.replace("http:", "https:"))
    assert caught.value.progress is Progress.NEVER_SENT


async def test_what_is_lost_before_it_is_written_was_never_sent(
    transport: AiohttpTransport, scripted: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = Pool.connect

    async def and_lose_it(pool: Pool) -> Connection:
        connection = await connect(pool)
        assert connection.protocol is not None and connection.protocol.transport is not None
        connection.protocol.transport.close()
        return connection

    monkeypatch.setattr(Pool, "connect", and_lose_it)
    upstream = await scripted([READ, WHOLE % (3, b"one")])
    with pytest.raises(UpstreamUnreachable) as caught:
        await ask(transport, upstream.url)
    assert caught.value.progress is Progress.NEVER_SENT and upstream.requests == []


@pytest.mark.parametrize("end", [STALL, RST, FIN])
async def test_an_error_is_told_by_its_status_whatever_becomes_of_its_body(
    transport: AiohttpTransport, scripted: Start, monkeypatch: pytest.MonkeyPatch, end: Do
) -> None:
    monkeypatch.setattr(upstreamresponse, "ERROR_BODY_S", 0.2)
    upstream = await scripted([READ, b"HTTP/1.1 503 X\r\nContent-Length: 9\r\n\r\nhalf", 0.05, end])
    assert await ask(transport, upstream.url) == b"half"


async def test_an_error_that_never_ends_is_not_heard_out(transport: AiohttpTransport, scripted: Start) -> None:
    upstream = await scripted([READ, b"HTTP/1.1 500 X\r\n\r\n", *[b"x" * 100_000] * 100, STALL])
    assert len(await ask(transport, upstream.url)) < 1_000_000
    await eventually(lambda: upstream.ended == 1)


async def test_a_head_alone_is_no_first_byte(transport: AiohttpTransport, scripted: Start) -> None:
    upstream = await scripted([READ, HEAD + b"\r\n", STALL])
    with pytest.raises(UpstreamTimeout) as caught:
        await ask(transport, upstream.url, first_byte_s=0.2, idle_s=60)
    assert caught.value.progress is Progress.HEADERS_ONLY


async def test_comments_are_life_within_the_total(transport: AiohttpTransport, scripted: Start) -> None:
    upstream = await scripted([READ, HEAD + b"\r\n", *[b": keep-alive\n\n", 0.1] * 8, FIN])
    assert await ask(transport, upstream.url, first_byte_s=0.3, idle_s=0.3) == b": keep-alive\n\n" * 8
    with pytest.raises(UpstreamTimeout):
        await ask(transport, upstream.url, within_s=0.3, first_byte_s=0.3, idle_s=0.3)


async def test_a_routes_own_connect_timeout_rules(transport: AiohttpTransport) -> None:
    with socket.socket() as full:  # its backlog is, so that no further connection is accepted
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        with socket.create_connection(full.getsockname()):
            began_s = asyncio.get_running_loop().time()
            with pytest.raises(UpstreamTimeout) as caught:
                await ask(transport, "http://{}:{}".format(*full.getsockname()), connect_s=0.2)
    assert caught.value.progress is Progress.NEVER_SENT
    assert asyncio.get_running_loop().time() - began_s < 1


async def test_closing_ends_what_a_reload_had_left_open(scripted: Start) -> None:
    transport = AiohttpTransport("paifang/test")
    upstream = await scripted([READ, HEAD + b"Content-Length: 9\r\n\r\nhalf", STALL])
    asking = asyncio.create_task(ask(transport, upstream.url))
    await eventually(lambda: len(upstream.requests) == 1)
    await asyncio.sleep(0.05)
    await transport.keep({})
    assert upstream.ended == 0
    await transport.close()
    await eventually(lambda: upstream.ended == 1)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)


def client_errors() -> list[type[Exception]]:
    """Every error class that aiohttp's client module exports."""
    return [
        member
        for _, member in inspect.getmembers(aiohttp.client_exceptions, inspect.isclass)
        if issubclass(member, aiohttp.ClientError)
    ]


@pytest.mark.parametrize("error", client_errors())
def test_every_client_error_of_aiohttp_is_one_of_ours(error: type[Exception]) -> None:
    bare = type(error.__name__, (error,), {"__init__": lambda self: None, "__str__": lambda self: "said"})
    translated = translate(bare())
    assert isinstance(translated, UpstreamError)
    assert translated.status in (502, 504)
