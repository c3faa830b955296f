"""The end of a real `paifang serve`: not ready first, running answers finish, the rest is broken off and billed, status 0."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.e2e import files
from tests.e2e.conftest import StartProcess
from tests.e2e.processes import GatewayProcess
from tests.e2e.test_crash import books
from tests.fakes import FakeOpenAI

HEADERS = {"authorization": f"Bearer {files.KEY}"}


def sections(fake: FakeOpenAI, **server: Any) -> dict[str, Any]:
    return {
        "server": server,
        "providers": {"relay": files.relay(fake)},
        "models": {"doubao-seed": files.model(files.route("relay", "relay"), price={"input": 0, "output": 1000})},
        "keys": [files.key("ci", files.KEY, budget={"daily_usd": 1000})],
    }


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(headers=HEADERS) as made:
        yield made


async def started(gateway_process: StartProcess, folder: Path, fake: FakeOpenAI, **server: Any) -> GatewayProcess:
    return await asyncio.to_thread(gateway_process, folder, **sections(fake, **server))


def ask(session: aiohttp.ClientSession, process: GatewayProcess, **fields: Any) -> Any:
    body = {"model": "doubao-seed", "messages": files.HI, **fields}
    return session.post(f"{process.url}/v1/chat/completions", json=body)


async def begun(session: aiohttp.ClientSession, process: GatewayProcess, fake: FakeOpenAI) -> tuple[Any, Any]:
    """A stream that has begun, and what steps it on."""
    pacer = fake.stepwise()
    asking = asyncio.ensure_future(ask(session, process, stream=True))
    for _ in range(3):
        await pacer.step()
    response = await asking
    await response.content.readany()
    return response, pacer


async def until_cut(response: aiohttp.ClientResponse) -> bytes:
    """What came before the connection was broken off."""
    read = b""
    with pytest.raises(aiohttp.ClientPayloadError):
        while True:
            read += await response.content.readany()
    response.close()
    return read


async def status(process: GatewayProcess, within_s: float = 5) -> int:
    return await asyncio.to_thread(process.process.wait, within_s)


async def readiness(session: aiohttp.ClientSession, process: GatewayProcess) -> tuple[int, str]:
    async with session.get(f"{process.url}/readyz") as response:
        return response.status, (await response.json()).get("reason", "")


async def test_not_ready_first_then_the_stream_finishes_then_zero(
    gateway_process: StartProcess, fake_openai: FakeOpenAI, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    process = await started(gateway_process, tmp_path, fake_openai)
    stream, pacer = await begun(session, process, fake_openai)
    process.process.terminate()
    await asyncio.sleep(0.2)
    assert await readiness(session, process) == (503, "draining")
    async with ask(session, process) as refused:
        assert (refused.status, (await refused.json())["error"]["code"]) == (503, "draining")
        assert (refused.headers["retry-after"], refused.headers["connection"]) == ("1", "close")
    assert (await asyncio.to_thread(process.cli, "keys", "list")).returncode == 0
    while await pacer.step():
        pass
    assert (await stream.read()).endswith(b"data: [DONE]\n\n")
    assert await status(process) == 0
    assert await books(tmp_path) == {"ci": 6_000_000}


async def test_ready_no_more_but_serving_for_as_long_as_balancers_need(
    gateway_process: StartProcess, fake_openai: FakeOpenAI, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    process = await started(gateway_process, tmp_path, fake_openai, drain_delay_s=1)
    process.process.terminate()
    await asyncio.sleep(0.2)
    assert await readiness(session, process) == (503, "draining")
    async with ask(session, process) as answered:
        assert answered.status == 200
    assert await status(process) == 0


@pytest.mark.parametrize(("timeout_s", "signals"), [(0.5, 1), (60, 2)], ids=["in time", "second signal"])
async def test_what_is_left_gets_an_error_and_a_charge(
    gateway_process: StartProcess,
    fake_openai: FakeOpenAI,
    session: aiohttp.ClientSession,
    tmp_path: Path,
    timeout_s: float,
    signals: int,
) -> None:
    process = await started(gateway_process, tmp_path, fake_openai, drain_timeout_s=timeout_s)
    stream, _ = await begun(session, process, fake_openai)
    reading = asyncio.ensure_future(until_cut(stream))
    fake_openai.delay(before_s=30)
    waiting = asyncio.ensure_future(ask(session, process))
    while len(fake_openai.requests) < 2:
        await asyncio.sleep(0.01)
    began_s = time.monotonic()
    for _ in range(signals):
        process.process.terminate()
        await asyncio.sleep(0.2)
    rest = await reading
    assert b'"code":"draining"' in rest and b"[DONE]" not in rest
    async with await waiting as broken_off:
        assert (broken_off.status, (await broken_off.json())["error"]["code"]) == (503, "draining")
    assert await status(process) == 0
    assert time.monotonic() - began_s < 4
    charged = await books(tmp_path)
    assert 0 < charged["ci"] < 6_000_000


STUBBORN = """
import asyncio
from proxy import hookimpl

@hookimpl
async def shutdown():
    await asyncio.sleep(60)
"""


async def test_a_third_signal_ends_it_at_once(gateway_process: StartProcess, fake_openai: FakeOpenAI, tmp_path: Path) -> None:
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    plugins = ["virtual_keys", "model_scope", "budget", "routing", "metering", "./stubborn.py"]
    process = await asyncio.to_thread(gateway_process, tmp_path, plugins=plugins, **sections(fake_openai))
    for number in (signal.SIGTERM, signal.SIGINT):
        process.process.send_signal(number)
        await asyncio.sleep(0.3)
        assert process.process.poll() is None
    process.process.send_signal(signal.SIGINT)
    assert await status(process) == -signal.SIGINT
