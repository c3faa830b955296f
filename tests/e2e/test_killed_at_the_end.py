"""SIGKILL in the last moments of a stream: before its charge is in the store, and before its client has the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from proxy.clock import SystemClock
from proxy.storage.store import open_store
from tests.e2e import files
from tests.e2e.conftest import StartProcess
from tests.e2e.test_crash import HEADERS, ask, books, sections, started
from tests.fakes import FakeOpenAI

TOKEN, WHOLE, MOST = 1_000_000, 6_000_000, 8_000_000
"""Nano-USD of an output token, of the whole answer, of the most that may be asked for with `max_tokens: 8`."""

STOPS = """
import asyncio, pathlib
from proxy import hookimpl

@hookimpl
def startup(app):
    commit = app.ledger.commit

    async def stops(postings, row, exposures=()):
        if "{where}" == "after":
            await commit(postings, row, exposures)
        pathlib.Path("reached").touch()
        await asyncio.Event().wait()

    app.ledger.commit = stops
"""


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(headers=HEADERS) as made:
        yield made


async def exposed(folder: Path) -> int:
    store = await asyncio.to_thread(open_store, f"sqlite:///{folder / 'paifang.db'}", "process", SystemClock())
    try:
        return sum(one.amount_nanousd for one in await store.exposures.open(0, 2**62, "UTC"))
    finally:
        await store.close()


@pytest.mark.parametrize("where", ["before", "after"])
async def test_between_the_last_byte_its_charge_and_the_end(
    gateway_process: StartProcess, fake_openai: FakeOpenAI, session: aiohttp.ClientSession, tmp_path: Path, where: str
) -> None:
    (tmp_path / "stops.py").write_text(STOPS.format(where=where))
    plugins = ["virtual_keys", "./stops.py", "model_scope", "budget", "routing", "metering", "metrics"]
    process = await started(gateway_process, tmp_path, **sections(fake_openai, daily_usd=10), plugins=plugins)
    pacer = fake_openai.stepwise()
    asking = asyncio.ensure_future(ask(session, process, max_tokens=8, stream=True))
    for _ in range(4):
        await pacer.step()
    response = await asking
    await response.content.readany()
    await asyncio.sleep(2.05)  # so that a checkpoint is due
    while await pacer.step():
        pass
    async with asyncio.timeout(5):
        while not (tmp_path / "reached").exists():
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.5)  # so that it is written
    process.kill()
    with pytest.raises(aiohttp.ClientPayloadError):
        assert b"[DONE]" not in await response.read()

    files.write(tmp_path, **sections(fake_openai, daily_usd=10))
    again = await started(gateway_process, tmp_path)
    assert await asyncio.to_thread(again.stop) == 0
    charged = (await books(tmp_path))["ci"]
    if where == "after":
        assert (charged, await exposed(tmp_path)) == (WHOLE, 0)
    else:
        assert TOKEN <= charged <= WHOLE and charged + await exposed(tmp_path) == MOST
