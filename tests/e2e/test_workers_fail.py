"""Workers that hang, can't start or can't take a configuration: each is dealt with by itself, and the others go on."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.e2e import files
from tests.e2e.conftest import StartProcess
from tests.e2e.crews import COST, lives, metric, sections, started, statuses, workers_of
from tests.e2e.load import load
from tests.e2e.processes import GatewayProcess, paifang
from tests.e2e.test_crash import books
from tests.e2e.test_drain import ask, begun, status
from tests.fakes import FakeOpenAI

HANG_S = 3


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """A connection of its own for each request, so that they reach every worker."""
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(headers={"authorization": f"Bearer {files.KEY}"}, connector=connector) as made:
        yield made


async def said(process: GatewayProcess, text: str, times: int = 1, within_s: float = 60) -> None:
    try:
        async with asyncio.timeout(within_s):
            while process.log.read_text().count(text) < times:
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"it did not say {text!r} {times} times:\n{process.log.read_text()}") from None


def lines(process: GatewayProcess, text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in process.log.read_text().splitlines() if text in line]


async def settled(session: aiohttp.ClientSession, process: GatewayProcess) -> None:
    async with asyncio.timeout(10):
        while await metric(session, process, "paifang_ledger_unsettled"):
            await asyncio.sleep(0.1)


async def test_a_stopped_worker_is_killed_and_replaced_and_what_it_held_is_settled(
    gateway_process: StartProcess, fake_openai: FakeOpenAI, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    process = await started(gateway_process, tmp_path, **sections(fake_openai, server={"hang_s": HANG_S}))
    old = workers_of(process)
    streams = [await begun(session, process, fake_openai) for _ in range(6)]
    try:
        for pid in old:
            os.kill(pid, signal.SIGSTOP)
        began_s = time.monotonic()
        await said(process, "answers nothing and is killed", 3)
        assert HANG_S * 0.9 <= time.monotonic() - began_s < HANG_S + 2
    finally:
        for pid in filter(lives, old):
            os.kill(pid, signal.SIGKILL)
    for stream, _ in streams:
        with pytest.raises(aiohttp.ClientError):
            await stream.read()
    await said(process, '"event":"a worker serves"', 6)
    assert not set(workers_of(process)) & set(old)
    assert {line["pid"] for line in lines(process, "answers nothing and is killed")} == set(old)
    await settled(session, process)
    assert await statuses(session, process, 12) == {200: 12}
    assert await metric(session, process, "paifang_worker_restarts_total") == 3
    assert await asyncio.to_thread(process.stop) == 0
    assert 12 * COST <= (await books(tmp_path))["ci"] < 18 * COST


BLOCKING = """
import time
from proxy import hookimpl

@hookimpl
def authorize(ctx):
    if ctx.chat.body.get("user") == "block":
        time.sleep(60)
"""
CHAIN = ["virtual_keys", "model_scope", "rate_limit", "budget", "routing", "metering", "metrics"]


async def test_a_worker_whose_loop_is_blocked_is_killed_and_who_blocked_it_is_told(
    gateway_process: StartProcess, fake_openai: FakeOpenAI, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    (tmp_path / "blocking.py").write_text(BLOCKING)
    server = {"hang_s": HANG_S, "stall_s": 0.5}
    process = await started(
        gateway_process, tmp_path, **sections(fake_openai, server=server, plugins=[*CHAIN, "./blocking.py"])
    )
    with pytest.raises(aiohttp.ClientError):
        async with ask(session, process, user="block") as response:
            await response.read()
    await said(process, '"event":"a worker serves"', 4)
    [told], [killed] = lines(process, "the event loop is held up"), lines(process, "answers nothing and is killed")
    assert (told["plugin"], told["hook"], told["pid"]) == ("./blocking.py", "authorize", killed["pid"])
    assert await statuses(session, process, 12) == {200: 12}


async def test_a_worker_that_hangs_does_not_outlive_the_first_process(
    gateway_process: StartProcess, fake_openai: FakeOpenAI, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    (tmp_path / "blocking.py").write_text(BLOCKING)
    server = {"hang_s": HANG_S, "stall_s": 0.5}
    process = await started(
        gateway_process, tmp_path, **sections(fake_openai, server=server, plugins=[*CHAIN, "./blocking.py"])
    )
    blocked = asyncio.ensure_future(ask(session, process, user="block"))
    await said(process, "the event loop is held up")
    workers = workers_of(process)
    process.kill()
    async with asyncio.timeout(HANG_S + 5):
        while any(map(lives, workers)):
            await asyncio.sleep(0.05)
    with pytest.raises(aiohttp.ClientError):
        await blocked


async def test_who_answers_slowly_is_not_killed(
    gateway_process: StartProcess, fake_openai: FakeOpenAI, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    process = await started(gateway_process, tmp_path, **sections(fake_openai, server={"hang_s": HANG_S}))
    old = workers_of(process)
    try:
        for _ in range(3):
            for pid in old:
                os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(HANG_S / 2)
            for pid in old:
                os.kill(pid, signal.SIGCONT)
            await asyncio.sleep(HANG_S / 4)
    finally:
        for pid in filter(lives, old):
            os.kill(pid, signal.SIGCONT)
    # The same for the process that looks: its own sleep is nobody's silence.
    process.process.send_signal(signal.SIGSTOP)
    try:
        await asyncio.sleep(2 * HANG_S)
    finally:
        process.process.send_signal(signal.SIGCONT)
    await asyncio.sleep(HANG_S)
    assert workers_of(process) == old and all(map(lives, old))
    assert "answers nothing" not in process.log.read_text()


ONLY_THE_FIRST = """
import os
import resource
from pathlib import Path
from proxy import hookimpl

@hookimpl
def startup():
    place = Path(__file__).with_name("taken")
    if place.exists() and place.read_text() != str(os.getpid()):
        raise RuntimeError("there can be only one")
    place.write_text(str(os.getpid()))
"""
"""A plugin that the process which checks gateway.yaml can start, and no worker can."""


async def test_a_configuration_that_no_worker_can_take_ends_one_of_them_at_most_until_it_is_mended(
    gateway_process: StartProcess, fake_openai: FakeOpenAI, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    whole = sections(fake_openai, plugins=CHAIN)
    process = await started(gateway_process, tmp_path, **whole)
    old = workers_of(process)
    (tmp_path / "only.py").write_text(ONLY_THE_FIRST)
    files.write(tmp_path, **{**whole, "plugins": [*CHAIN, "./only.py"]})
    await said(process, "could not take the configuration", 3)
    await said(process, "ended by itself and is replaced", 4)
    assert sum(map(lives, old)) == 2
    assert await statuses(session, process, 20) == {200: 20}
    assert "owns the ledger is gone" not in process.log.read_text()
    # It is tried again, ever more seldom.
    starts = [line["timestamp"] for line in lines(process, "ended by itself and is replaced")]
    assert len(starts) < 9
    whole["models"]["doubao-seed"]["aliases"] = ["mended"]
    files.write(tmp_path, **whole)
    await said(process, '"event":"a worker serves"', 4)

    async def one() -> int:
        async with ask(session, process, model="mended") as response:
            status: int = response.status
            return status

    assert set(await asyncio.gather(*(one() for _ in range(20)))) == {200}
    assert sum(map(lives, old)) == 2


async def test_workers_that_can_not_start_at_all_end_the_start_with_a_remedy(fake_openai: FakeOpenAI, tmp_path: Path) -> None:
    (tmp_path / "only.py").write_text(ONLY_THE_FIRST)
    file = files.write(tmp_path, **sections(fake_openai, plugins=[*CHAIN, "./only.py"]))
    ended = await asyncio.to_thread(paifang, ["serve", "--port", "0"], file)
    assert ended.returncode == 2 and "a worker did not start; what it said above tells why" in ended.stderr
    assert "there can be only one" in ended.stderr and "Traceback" not in ended.stderr.splitlines()[-1]


async def test_the_first_process_killed_under_load_ends_all_and_the_next_start_settles_what_was_left(
    gateway_process: StartProcess, fake_openai: FakeOpenAI, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    process = await started(gateway_process, tmp_path, **sections(fake_openai))
    workers = workers_of(process)
    async with load(process.url, 24) as outcomes:
        while outcomes["200"] < 200:
            await asyncio.sleep(0.02)
        process.kill()
        await asyncio.sleep(0.2)
    async with asyncio.timeout(10):
        while any(map(lives, workers)):
            await asyncio.sleep(0.02)
    answers = outcomes.pop("200")
    # Cut off, refused by a worker that can write nothing any more, or not accepted; never an answer that is wrong.
    assert not {outcome for outcome in outcomes if outcome.isdigit()} - {"503"}
    again = await started(gateway_process, tmp_path)
    assert await metric(session, again, "paifang_ledger_unsettled") == 0
    assert await statuses(session, again, 6) == {200: 6}
    assert (await asyncio.to_thread(again.cli, "ledger", "verify")).returncode == 0
    assert await asyncio.to_thread(again.stop) == 0
    # What was answered is charged, to the cent; what was cut off is charged for what had come of it, or listed.
    assert (answers + 6) * COST <= (await books(tmp_path))["ci"] <= (answers + 6 + 24) * COST


async def test_a_worker_that_can_not_even_be_started_is_tried_again(
    gateway_process: StartProcess, fake_openai: FakeOpenAI, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    process = await started(gateway_process, tmp_path, **sections(fake_openai))
    pid = process.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, before[1]))  # no descriptor is left for it
    os.kill(workers_of(process)[0], signal.SIGKILL)
    await said(process, "a worker can't be started", 2)
    assert await statuses(session, process, 12) == {200: 12}
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    await said(process, '"event":"a worker serves"', 4)


async def test_the_end_does_not_wait_for_a_worker_that_hangs(
    gateway_process: StartProcess, fake_openai: FakeOpenAI, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    process = await started(gateway_process, tmp_path, **sections(fake_openai, server={"hang_s": HANG_S}))
    assert await statuses(session, process, 12) == {200: 12}
    workers = workers_of(process)
    os.kill(workers[0], signal.SIGSTOP)
    try:
        process.process.terminate()
        assert await status(process, HANG_S + 5) == 0
    finally:
        if lives(workers[0]):
            os.kill(workers[0], signal.SIGKILL)
    assert not any(map(lives, workers))
    assert await books(tmp_path) == {"ci": 12 * COST}


FORKING = """
import os, sys, time
from pathlib import Path
from proxy import hookimpl

@hookimpl
def startup():
    if "worker" in sys.argv[0] and not (child := os.fork()):
        time.sleep(60)
        os._exit(0)
    elif "worker" in sys.argv[0]:
        with Path(__file__).with_name("children").open("a") as children:
            print(child, file=children)
"""
"""A plugin whose children keep every descriptor of their worker."""


async def test_a_worker_whose_child_lives_on_is_replaced_all_the_same(
    gateway_process: StartProcess, fake_openai: FakeOpenAI, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    (tmp_path / "forking.py").write_text(FORKING)
    process = await started(gateway_process, tmp_path, **sections(fake_openai, plugins=[*CHAIN, "./forking.py"]))
    try:
        os.kill(workers_of(process)[0], signal.SIGKILL)
        await said(process, '"event":"a worker serves"', 4)
        assert await metric(session, process, "paifang_worker_restarts_total") == 1
    finally:
        for child in map(int, (tmp_path / "children").read_text().split()):
            os.kill(child, signal.SIGKILL)
