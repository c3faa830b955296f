"""Providers that no connection is made to: what was never sent goes to the next route, and costs nothing."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.e2e.conftest import Serve
from tests.e2e.test_upstream_faults import WHOLE, behind
from tests.e2e.unharmed import unharmed
from tests.fakes import READ, STALL, ScriptedUpstream

Scripted = Callable[..., Awaitable[ScriptedUpstream]]


class NameServer:
    """Knows what it is told, and what the system knows; of silent.invalid it says nothing until the end."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}
        self.over = threading.Event()
        self._ask = socket.getaddrinfo

    def answer(self, host: Any, *more: Any, **others: Any) -> Any:
        if host == "silent.invalid":
            self.over.wait()
        return self._ask(self.known.get(host, host), *more, **others)


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    server = NameServer()
    monkeypatch.setattr(socket, "getaddrinfo", server.answer)
    yield server
    server.over.set()


@asynccontextmanager
async def nobody_listens(names: NameServer) -> AsyncIterator[str]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


@asynccontextmanager
async def full_backlog(names: NameServer) -> AsyncIterator[str]:
    """A listener that accepts nobody, with as many waiting as it lets wait."""
    listener, waiting = socket.create_server(("127.0.0.1", 0), backlog=0), []
    try:
        for _ in range(4):
            waiting.append(socket.socket())
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(listener.getsockname())
        await asyncio.sleep(0.05)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        for each in (*waiting, listener):
            each.close()


@asynccontextmanager
async def no_such_name(names: NameServer) -> AsyncIterator[str]:
    yield "http://nowhere.invalid"


@asynccontextmanager
async def silent_name(names: NameServer) -> AsyncIterator[str]:
    yield "http://silent.invalid"
    names.over.set()


UNREACHABLE: dict[str, tuple[Callable[[NameServer], Any], int, str]] = {
    "U1 refused": (nobody_listens, 502, "upstream_unreachable"),
    "U2 no such name": (no_such_name, 502, "upstream_unreachable"),
    "U2 a name server that is silent": (silent_name, 504, "upstream_timeout"),
    "U3 nobody accepts": (full_backlog, 504, "upstream_timeout"),
}


@pytest.mark.parametrize(("where", "status", "code"), UNREACHABLE.values(), ids=UNREACHABLE)
async def test_what_was_never_sent_goes_to_the_next_route(
    serve: Serve, scripted: Scripted, names: NameServer, where: Callable[[NameServer], Any], status: int, code: str
) -> None:
    async with where(names) as url:
        served = await behind(serve, await scripted([STALL]), base_url=url)
        for stream in (False, True):
            answered = await served.chat("m", stream=stream)
            assert (answered.status, answered.error["code"], answered.headers["x-paifang-attempts"]) == (status, code, "1")
        health = served.gateway.snapshot.models["m"].pool[0].health
        assert health.in_a_row == 2
        answered = await served.chat("pooled", stream=True)
        assert (answered.headers["x-paifang-route"], answered.headers["x-paifang-attempts"]) == ("last", "2")
        assert await served.metric("paifang_route_attempts_total", outcome=code) == 3
        assert await served.metric("paifang_requests_total", model="m", status=str(status), code=code) == 2
        assert await served.metric("paifang_cost_usd_total", model="m") == 0
    await unharmed(served)


async def test_a_name_that_becomes_known_is_found_at_once(serve: Serve, scripted: Scripted, names: NameServer) -> None:
    upstream = await scripted([READ, WHOLE, STALL])
    served = await behind(serve, upstream, base_url=upstream.url.replace("127.0.0.1", "new.invalid"))
    assert (await served.chat("m")).error["code"] == "upstream_unreachable"
    names.known["new.invalid"] = "127.0.0.1"
    assert (await served.chat("m")).status == 200
    await unharmed(served)
