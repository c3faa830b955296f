"""SIGKILL on a real `paifang serve`: what was spent is in the store, what was held is settled by the next start."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proxy.clock import SystemClock
from proxy.storage.store import open_store
from proxy.storage.writer import LINGER_S
from tests.e2e import files
from tests.e2e.conftest import StartProcess
from tests.e2e.processes import GatewayProcess
from tests.fakes import FakeOpenAI

PRICE = {"input": 0, "output": 1000}
HEADERS = {"authorization": f"Bearer {files.KEY}"}


def sections(fake: FakeOpenAI, **budget: Any) -> dict[str, Any]:
    return {
        "providers": {"relay": files.relay(fake)},
        "models": {"doubao-seed": files.model(files.route("relay", "relay"), price=PRICE)},
        "keys": [files.key("ci", files.KEY, budget=budget)],
    }


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(headers=HEADERS) as made:
        yield made


async def started(gateway_process: StartProcess, folder: Path, **more: Any) -> GatewayProcess:
    """Started in a thread: the fake provider lives on this loop."""
    return await asyncio.to_thread(gateway_process, folder, **more)


async def books(folder: Path) -> dict[str, int]:
    """{key: nano-USD} of the usage log, once the gateway there is over; the ledger has verified itself."""
    url = f"sqlite:///{folder / 'paifang.db'}"
    store = await asyncio.to_thread(open_store, url, "process", SystemClock())
    try:
        assert await store.reports.verify() == []
        sums = await store.reports.usage(("key",), 0, 2**62)
    finally:
        await store.close()
    return {group.group["key"]: group.debit_nanousd for group in sums}


def ask(session: aiohttp.ClientSession, process: GatewayProcess, **fields: Any) -> Any:
    body = {"model": "doubao-seed", "messages": files.HI, **fields}
    return session.post(f"{process.url}/v1/chat/completions", json=body)


@pytest.mark.parametrize("stream", [False, True])
async def test_who_sees_the_end_finds_the_charge_in_the_store(
    gateway_process: StartProcess, fake_openai: FakeOpenAI, session: aiohttp.ClientSession, tmp_path: Path, stream: bool
) -> None:
    process = await started(gateway_process, tmp_path, **sections(fake_openai, daily_usd=10))
    async with ask(session, process, stream=stream) as response:
        async for seen in response.content.iter_any():
            if seen.endswith(b"data: [DONE]\n\n" if stream else b"}"):
                process.kill()
                break
    assert await asyncio.to_thread(process.process.wait) == -signal.SIGKILL
    assert await books(tmp_path) == {"ci": 6_000_000}


async def test_spend_survives_and_holds_do_not(
    gateway_process: StartProcess, fake_openai: FakeOpenAI, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    process = await started(gateway_process, tmp_path, **sections(fake_openai, daily_usd=0.06))
    for _ in range(4):
        async with ask(session, process, max_tokens=6) as response:
            assert response.status == 200
    # Two more are held and under way: one that the provider has not answered, one in the middle of its stream.
    fake_openai.delay(before_s=30)
    waiting = asyncio.ensure_future(ask(session, process, max_tokens=6))
    while len(fake_openai.requests) < 5:
        await asyncio.sleep(0.01)
    fake_openai.delay()
    pacer = fake_openai.stepwise()
    streaming = asyncio.ensure_future(ask(session, process, max_tokens=6, stream=True))
    for _ in range(4):
        await pacer.step()
    await (await streaming).content.readany()
    await asyncio.sleep(2.05)
    await pacer.step()
    await (await streaming).content.readany()
    await asyncio.sleep(LINGER_S + 0.2)
    process.kill()
    for request in (waiting, streaming):
        with pytest.raises(aiohttp.ClientError):
            await (await request).read()

    again = await started(gateway_process, tmp_path)
    async with session.get(f"{again.url}/metrics") as response:
        assert "paifang_ledger_unsettled 0.0" in await response.text()
    # What was charged counts: four answers, and of the stream what its last checkpoint says.
    admitted = 0
    for _ in range(8):
        async with ask(session, again, max_tokens=6) as response:
            admitted += response.status == 200
    assert again.cli("ledger", "verify").returncode == 0
    assert await asyncio.to_thread(again.stop) == 0
    [(key, nanousd)] = (await books(tmp_path)).items()
    recovered = nanousd - (4 + admitted) * 6_000_000
    assert key == "ci" and 0 < recovered <= 6_000_000
    assert admitted == (60_000_000 - 4 * 6_000_000 - recovered) // 6_000_000


async def test_sigterm_lets_a_running_answer_finish(
    gateway_process: StartProcess, fake_openai: FakeOpenAI, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    process = await started(gateway_process, tmp_path, **sections(fake_openai, daily_usd=10))
    pacer = fake_openai.stepwise()
    streaming = asyncio.ensure_future(ask(session, process, stream=True))
    await pacer.step()
    await (await streaming).content.readany()
    process.process.terminate()
    await asyncio.sleep(0.1)
    while await pacer.step():
        pass
    assert (await (await streaming).read()).endswith(b"data: [DONE]\n\n")
    # Not with stop(): a second signal ends it at once.
    assert await asyncio.to_thread(process.process.wait, 10) == 0
    assert await books(tmp_path) == {"ci": 6_000_000}


async def test_a_second_gateway_on_the_same_store_is_refused(
    gateway_process: StartProcess, fake_openai: FakeOpenAI, tmp_path: Path
) -> None:
    process = await started(gateway_process, tmp_path, **sections(fake_openai, daily_usd=10))
    with pytest.raises(AssertionError) as refused:
        await started(gateway_process, tmp_path)
    told = str(refused.value)
    assert str(process.process.pid) in told and "Traceback" not in told
