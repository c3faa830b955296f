"""A gateway that has too much to do: new work is refused, what runs goes on, and it still says how it is."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proxy.control import at
from tests.e2e import files
from tests.e2e.conftest import Serve, Served, StartProcess
from tests.e2e.rawclient import chat, connected, error_of, said, statuses
from tests.e2e.test_crash import books
from tests.e2e.unharmed import unharmed
from tests.fakes import FakeOpenAI, eventually


async def bounded(serve: Serve, fake: FakeOpenAI, **limits: int) -> Served:
    return await serve(
        server={"limits": limits},
        providers={"relay": files.relay(fake), "simulator": files.SIMULATOR},
        models={
            "m": files.model(files.route("relay", "relay")),
            "simulated": files.model(files.route("sim", "simulator")),
        },
        keys=[files.key("all", files.KEY)],
    )


async def test_requests_beyond_the_bound(serve: Serve, fake_openai: FakeOpenAI) -> None:
    served = await bounded(serve, fake_openai, requests=2)
    await served.gateway.listen_control(served.gateway.file.parent / "c.sock")
    pacers = [fake_openai.stepwise(), fake_openai.stepwise()]
    running = [asyncio.create_task(served.chat("m", stream=True)) for _ in pacers]
    await eventually(lambda: len(fake_openai.requests) == 2)
    refused = await served.chat("m")
    assert (refused.status, refused.error["code"]) == (503, "overloaded")
    assert 1 <= int(refused.headers["retry-after"]) <= 5 and "x-should-retry" not in refused.headers
    assert len(fake_openai.requests) == 2
    assert await served.metric("paifang_requests_total", status="503", code="overloaded") == 1
    for path in ("/healthz", "/readyz", "/metrics"):
        assert (await served.ask("GET", path)).status == 200
    async with at(served.gateway.file.parent / "c.sock") as caller:
        assert (await caller.call("GET", "status"))["pid"]
    for pacer in pacers:
        while await pacer.step():
            pass
    for task in running:
        assert (await task).events[-1] == "[DONE]"
    await unharmed(served)


async def test_connections_beyond_the_bound(serve: Serve, fake_openai: FakeOpenAI) -> None:
    served = await bounded(serve, fake_openai, connections=3)
    async with connected(served.url), connected(served.url), connected(served.url):
        await eventually(lambda: served.gateway.load.connections == 3)
        heard = await said(served.url, chat())
        assert statuses(heard) == [503] and error_of(heard)["code"] == "overloaded"
        assert b"retry-after: " in heard.lower()
        for path in ("/healthz", "/readyz", "/metrics"):
            heard = await said(served.url, f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            assert statuses(heard) == [200], "answered, and then closed"
        assert statuses(await said(served.url, b"GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n")) == [503]
    await eventually(lambda: served.gateway.load.connections == 0)
    assert fake_openai.requests == []
    await unharmed(served)


async def test_connections_that_are_not_even_worth_a_refusal(serve: Serve, fake_openai: FakeOpenAI) -> None:
    served = await bounded(serve, fake_openai, connections=1)
    port, clients = int(served.url.rpartition(":")[2]), []
    for _ in range(100):
        clients.append(client := socket.socket())
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", port))
    await eventually(lambda: served.gateway.load.connections <= 65)
    assert await asyncio.wait_for(asyncio.get_running_loop().sock_recv(clients[-1], 1), 2) == b""
    for client in clients:
        client.close()
    await eventually(lambda: served.gateway.load.connections == 0)
    await unharmed(served)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is watched on Linux alone; remedy: run this there")
async def test_memory_beyond_the_bound_and_back(gateway_process: StartProcess, tmp_path: Path) -> None:
    """Sixteen bodies of 16 MB are on their way, within a bound of 250 MiB."""
    sections = {
        "server": {"limits": {"memory_mb": 250}},
        "providers": {"simulator": files.SIMULATOR},
        "models": {"m": files.model(files.route("sim", "simulator"))},
        "keys": [files.key("all", files.KEY, budget={"daily_usd": 10_000})],
    }
    process = await asyncio.to_thread(gateway_process, tmp_path, **sections)
    short = {"model": "m", "messages": files.HI}
    whole = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hello world " * 20}] * 60_000}).encode()
    rest = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield whole[:-1]
        await rest.wait()
        yield whole[-1:]

    headers = {"authorization": f"Bearer {files.KEY}", "content-type": "application/json"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(process.url, headers=headers, connector=connector) as session:

        async def ask(**body: Any) -> int:
            async with session.post("/v1/chat/completions", **body) as response:
                await response.read()
                return response.status

        async def until(statuses: set[int]) -> None:
            """Four at once are answered with nothing but these."""
            async with asyncio.timeout(10):
                while {*await asyncio.gather(*(ask(json=short) for _ in range(4)))} != statuses:
                    await asyncio.sleep(0.2)

        running = [asyncio.create_task(ask(data=slowly())) for _ in range(16)]
        await until({503})
        async with session.get("/readyz") as response:
            assert response.status == 200
        rest.set()
        assert await asyncio.gather(*running) == [200] * 16
        await until({200})
    assert await asyncio.to_thread(process.stop) == 0
    assert (await books(tmp_path)).keys() == {"all"}
