"""A store that fails under a real `paifang serve`: new spending or the start is refused, what runs finishes and is settled."""

from __future__ import annotations

import asyncio
import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proxy.leaving import LOOK_AT_LEDGER_EVERY_S
from tests.e2e import files
from tests.e2e.conftest import StartProcess
from tests.e2e.processes import GatewayProcess, clean_environ, ready
from tests.e2e.test_crash import ask, books, sections, started
from tests.fakes import FakeOpenAI

HEADERS = {"authorization": f"Bearer {files.KEY}"}
WHOLE = 6_000_000
"""Nano-USD of an answer."""
NO_BYTES = 4096
"""A file may not grow beyond this: far less than the store has already, and enough for the journal's first lines."""

needs_prlimit = pytest.mark.skipif(
    not hasattr(resource, "prlimit"), reason="the limits of another process can't be set here; remedy: run this on Linux"
)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(headers=HEADERS) as made:
        yield made


def fill_disk(process: GatewayProcess) -> None:
    """Writing fails as on a full disk, beyond the first bytes of a file. The journal's are taken already."""
    limits = resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE, (NO_BYTES, limits[1]))


def make_room(process: GatewayProcess) -> None:
    limits = resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE, (limits[1], limits[1]))


async def refused(session: aiohttp.ClientSession, process: GatewayProcess, code: str = "ledger_unavailable") -> None:
    async with ask(session, process) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (503, code)
        assert int(response.headers["retry-after"]) >= 1
    assert not await asyncio.to_thread(ready, process.port)


async def until_served(session: aiohttp.ClientSession, process: GatewayProcess) -> None:
    async with asyncio.timeout(10):
        while True:
            async with ask(session, process) as response:
                if response.status == 200:
                    return
            await asyncio.sleep(0.1)


async def running_stream(session: aiohttp.ClientSession, process: GatewayProcess, fake: FakeOpenAI) -> tuple[Any, Any]:
    """A stream in its middle: its response, and what lets the provider go on."""
    pacer = fake.stepwise()
    asking = asyncio.ensure_future(ask(session, process, stream=True))
    for _ in range(3):
        await pacer.step()
    response = await asking
    await response.content.readany()
    return response, pacer


@needs_prlimit
@pytest.mark.parametrize("killed", [False, True])
async def test_a_full_disk(
    gateway_process: StartProcess, fake_openai: FakeOpenAI, session: aiohttp.ClientSession, tmp_path: Path, killed: bool
) -> None:
    process = await started(gateway_process, tmp_path, **sections(fake_openai, daily_usd=10))
    response, pacer = await running_stream(session, process, fake_openai)
    fill_disk(process)
    async with ask(session, process) as tried:
        assert tried.status == 503
    await refused(session, process)
    while await pacer.step():
        pass
    assert (await response.read()).endswith(b"data: [DONE]\n\n")
    charged = WHOLE
    if killed:
        process.kill()
        process = await started(gateway_process, tmp_path)
    else:
        make_room(process)
        await until_served(session, process)
        charged += WHOLE
    assert await asyncio.to_thread(process.stop) == 0
    assert await books(tmp_path) == {"ci": charged}
    assert len(fake_openai.requests) == charged // WHOLE


DIES = """
from proxy import hookimpl
from proxy.storage.operations import Operation

class Fatal(Operation):
    def apply(self, books):
        raise SystemExit("gone")

@hookimpl
def startup(app):
    global ledger
    ledger = app.ledger

@hookimpl
def authorize(ctx):
    if ctx.chat.body.get("user") == "killer":
        ledger._writer.put(Fatal(None))
"""


async def test_a_writer_that_dies(
    gateway_process: StartProcess, fake_openai: FakeOpenAI, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    (tmp_path / "dies.py").write_text(DIES)
    plugins = ["virtual_keys", "./dies.py", "model_scope", "budget", "routing", "metering", "metrics"]
    process = await started(gateway_process, tmp_path, **sections(fake_openai, daily_usd=10), plugins=plugins)
    response, pacer = await running_stream(session, process, fake_openai)
    async with ask(session, process, user="killer") as killer:
        assert killer.status in (200, 503)
    await asyncio.sleep(2 * LOOK_AT_LEDGER_EVERY_S)
    await refused(session, process, "draining")
    while await pacer.step():
        pass
    assert (await response.read()).endswith(b"data: [DONE]\n\n")
    assert await asyncio.to_thread(process.process.wait, 5) == 2, "it ends by itself, for its supervisor to start it again"
    assert "the ledger's writer failed" in process.log.read_text().splitlines()[-1]
    again = await started(gateway_process, tmp_path)
    assert await asyncio.to_thread(again.stop) == 0
    charged = await books(tmp_path)
    assert charged["ci"] >= WHOLE


async def told_at_start(gateway_process: StartProcess, folder: Path) -> str:
    """What a start that is refused says."""
    with pytest.raises(AssertionError) as failed:
        await started(gateway_process, folder)
    told = str(failed.value)
    assert "Traceback" not in told
    return told


@pytest.fixture
async def stopped(gateway_process: StartProcess, fake_openai: FakeOpenAI, tmp_path: Path) -> Path:
    """The store of a gateway that has been stopped."""
    process = await started(gateway_process, tmp_path, **sections(fake_openai, daily_usd=10))
    assert await asyncio.to_thread(process.stop) == 0
    return tmp_path / "paifang.db"


async def test_a_file_that_another_program_locked(gateway_process: StartProcess, stopped: Path) -> None:
    with closing(sqlite3.connect(stopped, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        told = await told_at_start(gateway_process, stopped.parent)
    assert f"in use by process {os.getpid()}" in told or "in use by another process" in told
    assert "stop it, or give this one a file of its own in store.url" in told


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda whole: b"not a database, " * 1000, "is not a SQLite database; name another file in store.url"),
        (lambda whole: whole[:8192] + b"\xff" * 8192 + whole[16384:], "put a backup in its place"),
        (lambda whole: whole[: len(whole) // 2], "put a backup in its place"),
    ],
)
async def test_a_corrupt_file(gateway_process: StartProcess, stopped: Path, damage: Any, told: str) -> None:
    corrupt = damage(stopped.read_bytes())
    stopped.write_bytes(corrupt)
    assert told in await told_at_start(gateway_process, stopped.parent)
    assert stopped.read_bytes() == corrupt, "never made anew in silence"


OBEDIENT = """
import ctypes, os, sys
if os.geteuid() == 0:  # root may write anywhere, unless it gives up CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH
    drop = ctypes.CDLL(None).prctl
    assert drop(24, 1, 0, 0, 0) == drop(24, 2, 0, 0, 0) == 0
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


@pytest.mark.parametrize(("what", "mode"), [("folder", 0o500), ("file", 0o400)])
async def test_what_may_not_be_written(stopped: Path, what: str, mode: int) -> None:
    place = stopped.parent if what == "folder" else stopped
    before = place.stat().st_mode
    command = ["-c", OBEDIENT, "-m", "proxy", "serve", "-c", str(stopped.parent / "gateway.yaml"), "--port", "0"]
    place.chmod(mode)
    try:
        ended = await asyncio.to_thread(
            subprocess.run, [sys.executable, *command], env=clean_environ(), capture_output=True, timeout=20, check=False
        )
    finally:
        place.chmod(before)
    told = (ended.stdout + ended.stderr).decode()
    assert ended.returncode == 2
    assert "can't be written; give this user" in told and "Traceback" not in told
