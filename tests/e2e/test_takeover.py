"""`paifang serve --takeover`: a new process in place of a running one, under load, with long streams, and no request lost."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import aiohttp
import pytest

from proxy.control import at
from tests.e2e import files
from tests.e2e.conftest import StartProcess
from tests.e2e.load import load
from tests.e2e.processes import clean_environ, taking_over
from tests.e2e.test_crash import books
from tests.e2e.test_drain import ask, begun, sections, started
from tests.fakes import FakeArk, FakeOpenAI

TakeOver = Callable[[Path], subprocess.Popen[bytes]]


@pytest.fixture
def take_over() -> Iterator[TakeOver]:
    """Start `paifang serve --takeover` in a folder. Its output is in `next.log` there."""
    started: list[subprocess.Popen[bytes]] = []

    def start(folder: Path) -> subprocess.Popen[bytes]:
        with (folder / "next.log").open("wb") as log:
            command = [sys.executable, "-m", "proxy", "serve", "--takeover"]
            started.append(subprocess.Popen(command, cwd=folder, env=clean_environ(), stdout=log, stderr=log))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(headers={"authorization": f"Bearer {files.KEY}"}) as made:
        yield made


async def says(folder: Path, text: str, within_s: float = 15) -> None:
    async with asyncio.timeout(within_s):
        while text not in (folder / "next.log").read_text():
            await asyncio.sleep(0.05)


async def test_under_load_with_a_long_stream_no_request_is_lost(
    gateway_process: StartProcess,
    take_over: TakeOver,
    fake_openai: FakeOpenAI,
    session: aiohttp.ClientSession,
    tmp_path: Path,
) -> None:
    first = await started(gateway_process, tmp_path, fake_openai)
    stream, pacer = await begun(session, first, fake_openai)
    async with load(first.url, 32) as outcomes:
        while outcomes["200"] < 100:
            await asyncio.sleep(0.05)
        second = take_over(tmp_path)
        await says(tmp_path, "listens on")
        served = outcomes["200"]
        while outcomes["200"] < served + 300:
            await asyncio.sleep(0.05)
        assert first.process.poll() is None, "the old process hears its stream out"
        assert first.cli("keys", "list").returncode == 0
        doctor = first.cli("doctor", "--offline")
        assert doctor.returncode == 0, doctor.stdout
        assert "gateway\tnote\tit is handing over to another process, which serves" in doctor.stdout
        while await pacer.step():
            pass
        assert (await stream.read()).endswith(b"data: [DONE]\n\n")
        assert await asyncio.to_thread(first.process.wait, 10) == 0
        await says(tmp_path, "the store is this one's now")
        served = outcomes["200"]
        while outcomes["200"] < served + 100:
            await asyncio.sleep(0.05)
    assert set(outcomes) == {"200"}
    verified = await asyncio.to_thread(first.cli, "ledger", "verify")
    assert verified.returncode == 0, verified.stderr
    second.terminate()
    assert await asyncio.to_thread(second.wait, 10) == 0
    assert await books(tmp_path) == {"ci": (outcomes["200"] + 1) * 6_000_000}


async def test_an_old_process_that_dies_meanwhile_leaves_the_books_right(
    gateway_process: StartProcess,
    take_over: TakeOver,
    fake_openai: FakeOpenAI,
    session: aiohttp.ClientSession,
    tmp_path: Path,
) -> None:
    first = await started(gateway_process, tmp_path, fake_openai)
    stream, _ = await begun(session, first, fake_openai)
    second = take_over(tmp_path)
    await says(tmp_path, "listens on")
    async with at(tmp_path / "paifang.db.sock") as caller, asyncio.timeout(5):
        while (await caller.call("GET", "status"))["problem"] != "draining":
            await asyncio.sleep(0.05)
    await asyncio.sleep(0.1)
    waiting, pacer = await begun(session, first, fake_openai)
    first.kill()
    with pytest.raises(aiohttp.ClientError):
        await stream.read()
    await says(tmp_path, "the store is this one's now")
    while await pacer.step():
        pass
    assert (await waiting.read()).endswith(b"data: [DONE]\n\n")
    second.terminate()
    assert await asyncio.to_thread(second.wait, 10) == 0
    # The other stream had no checkpoint yet: what it may have cost is the operator's.
    assert await books(tmp_path) == {"ci": 6_000_000}


SLOW_START = """
import asyncio
from proxy import hookimpl

@hookimpl
async def startup():
    await asyncio.sleep(60)
"""


async def test_a_new_process_that_fails_changes_nothing(
    gateway_process: StartProcess,
    take_over: TakeOver,
    fake_openai: FakeOpenAI,
    session: aiohttp.ClientSession,
    tmp_path: Path,
) -> None:
    first = await started(gateway_process, tmp_path, fake_openai)
    stream, pacer = await begun(session, first, fake_openai)
    beside = tmp_path / "next"
    beside.mkdir()
    (beside / "slow.py").write_text(SLOW_START)
    files.write(
        beside,
        store={"url": f"sqlite:///{tmp_path}/paifang.db", "durability": "process"},
        plugins=["virtual_keys", "budget", "routing", "metering", "./slow.py"],
        **sections(fake_openai),
    )
    second = take_over(beside)
    for text in ("handing over", "this one goes on"):
        async with asyncio.timeout(15):
            while text not in first.log.read_text():
                await asyncio.sleep(0.05)
        second.kill()
    while await pacer.step():
        pass
    assert (await stream.read()).endswith(b"data: [DONE]\n\n")
    async with ask(session, first) as answered:
        assert answered.status == 200


async def test_whoever_took_over_is_found_when_the_file_is_gone(
    gateway_process: StartProcess, take_over: TakeOver, fake_openai: FakeOpenAI, tmp_path: Path
) -> None:
    whole = {"store": {"url": "sqlite:///books.db"}, **sections(fake_openai)}
    first = await asyncio.to_thread(lambda: gateway_process(tmp_path, **whole))
    second = take_over(tmp_path)
    await says(tmp_path, "the store is this one's now")
    first.file.unlink()
    listed = await asyncio.to_thread(first.cli, "keys", "list")
    assert (listed.returncode, listed.stderr) == (0, "")
    second.terminate()
    assert await asyncio.to_thread(second.wait, 10) == 0
    assert not list(tmp_path.glob("*.sock"))


async def test_where_nothing_runs_it_just_starts(take_over: TakeOver, fake_openai: FakeOpenAI, tmp_path: Path) -> None:
    files.write(tmp_path, **sections(fake_openai, port=0))
    process = take_over(tmp_path)
    await says(tmp_path, "listens on")
    process.terminate()
    assert await asyncio.to_thread(process.wait, 10) == 0


@pytest.mark.parametrize("workers", [1, 2])
async def test_rates_and_routes_go_on(
    gateway_process: StartProcess,
    fake_ark: FakeArk,
    fake_openai: FakeOpenAI,
    tmp_path: Path,
    workers: int,
) -> None:
    limited = files.route("limited", "relay", priority=2, limits={"requests_per_minute": 10})
    process = await asyncio.to_thread(
        gateway_process,
        tmp_path,
        server={"workers": workers},
        providers={"ark": files.ark(fake_ark), "relay": files.relay(fake_openai)},
        models={
            "doubao-seed": files.model(
                files.route("busy", "ark", files.ARK_MODEL, priority=1), limited, files.route("last", "relay", priority=3)
            )
        },
        keys=[files.key("ci", files.KEY, rate_limit={"requests_per_minute": 15})],
    )
    fake_ark.fail_next(429, "ServerOverloaded", "busy", headers={"retry-after": "60"})
    headers = {"authorization": f"Bearer {files.KEY}", "connection": "close"}
    answered: list[str] = []
    async with aiohttp.ClientSession(headers=headers) as session:

        async def one() -> None:
            async with ask(session, process) as response:
                answered.append(response.headers.get("x-paifang-route", str(response.status)))

        for _ in range(8):
            await one()
        second = await asyncio.to_thread(taking_over, process)
        try:
            assert await asyncio.to_thread(process.process.wait, 10) == 0
            for _ in range(9):
                await one()
        finally:
            await asyncio.to_thread(second.stop)
    assert answered == ["limited"] * 10 + ["last"] * 5 + ["429"] * 2
    assert len(fake_ark.requests) == 1
