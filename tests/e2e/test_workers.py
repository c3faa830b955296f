"""`server.workers`: several processes on one store and one address, and everything that one process promises."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from tests.e2e import files
from tests.e2e.conftest import StartProcess
from tests.e2e.crews import COST, counters, lives, metric, sections, started, statuses, workers_of
from tests.e2e.load import load
from tests.e2e.processes import taking_over
from tests.e2e.rawclient import chat, connected, error_of
from tests.e2e.rawclient import statuses as statuses_of
from tests.e2e.test_crash import books
from tests.e2e.test_drain import ask, begun, status, until_cut
from tests.fakes import FakeOpenAI


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """A connection of its own for each request, so that they reach every worker."""
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(headers={"authorization": f"Bearer {files.KEY}"}, connector=connector) as made:
        yield made


async def test_eight_processes_with_twenty_requests_each_on_a_budget_for_ten(
    gateway_process: StartProcess, fake_openai: FakeOpenAI, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    sizes = sections(fake_openai, workers=8, key={"budget": {"daily_usd": 0.06}})
    process = await started(gateway_process, tmp_path, **sizes)
    fake_openai.delay(before_s=0.5)
    assert await statuses(session, process, 160) == {200: 10, 429: 150}
    assert await metric(session, process, "paifang_requests_total") == 160
    assert await asyncio.to_thread(process.stop) == 0
    assert await books(tmp_path) == {"ci": 10 * COST}


async def test_rate_limits_are_shared(
    gateway_process: StartProcess, fake_openai: FakeOpenAI, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    process = await started(
        gateway_process, tmp_path, **sections(fake_openai, key={"rate_limit": {"requests_per_minute": 40, "concurrent": 8}})
    )
    fake_openai.delay(before_s=1.5)
    assert await statuses(session, process, 60) == {200: 8, 429: 52}
    fake_openai.delay()
    answered: Counter[int] = Counter()
    for _ in range(8):
        answered += await statuses(session, process, 5)
    assert answered == {200: 32, 429: 8}


async def test_a_worker_that_is_killed_under_load_is_replaced_and_the_books_are_right(
    gateway_process: StartProcess, fake_openai: FakeOpenAI, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    process = await started(gateway_process, tmp_path, **sections(fake_openai, key={"rate_limit": {"concurrent": 32}}))
    seen: Counter[str] = Counter()
    async with load(process.url, 24) as outcomes:
        for round_number in range(3):
            served = outcomes["200"]
            while outcomes["200"] < served + 100:
                now = await counters(session, process)
                assert now >= seen, "a counter never falls"
                seen = now
            os.kill(workers_of(process)[round_number], signal.SIGKILL)
            while await metric(session, process, "paifang_worker_restarts_total") < round_number + 1:
                await asyncio.sleep(0.05)
    answers = outcomes.pop("200")
    # What the killed ones were at is broken off, a request for each connection; nothing else fails.
    assert outcomes.total() <= 3 * 24
    assert not any(outcome.isdigit() for outcome in outcomes)
    async with asyncio.timeout(10):
        while not all(map(lives, workers_of(process))):
            await asyncio.sleep(0.05)
        while await metric(session, process, "paifang_ledger_unsettled"):
            await asyncio.sleep(0.1)
    assert await statuses(session, process, 32) == {200: 32}, "no slot of a killed worker is lost"
    assert "a worker ended by itself and is replaced" in process.log.read_text()
    assert await asyncio.to_thread(process.stop) == 0
    charged = (await books(tmp_path))["ci"]
    assert (answers + 32) * COST <= charged <= (answers + 32 + outcomes.total()) * COST


async def test_commands_reach_everyone(
    gateway_process: StartProcess, fake_openai: FakeOpenAI, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    process = await started(gateway_process, tmp_path, **sections(fake_openai, admin={"token": "secret"}))
    made = json.loads((await asyncio.to_thread(process.cli, "keys", "create", "ann", "--json")).stdout)
    body = {"model": "doubao-seed", "messages": files.HI}
    headers = {"authorization": f"Bearer {made['key']}"}

    async def one() -> tuple[int, str]:
        async with session.post(f"{process.url}/v1/chat/completions", json=body, headers=headers) as response:
            return response.status, (await response.json()).get("error", {}).get("code", "")

    assert set(await asyncio.gather(*(one() for _ in range(20)))) == {(200, "")}
    assert (await asyncio.to_thread(process.cli, "keys", "revoke", "ann")).returncode == 0
    assert set(await asyncio.gather(*(one() for _ in range(20)))) == {(401, "key_revoked")}
    usage = await asyncio.to_thread(process.cli, "usage", "--by", "key")
    assert usage.stdout.splitlines()[1].split("\t")[:2] == ["ann", "20"]
    for token, code in (("secret", 200), ("wrong", 401)):
        async with session.get(f"{process.url}/admin/v1/status", headers={"authorization": f"Bearer {token}"}) as response:
            assert response.status == code
            if code == 200:
                assert (await response.json())["pid"] == process.process.pid
    async with session.post(f"{process.url}/admin/v1/keys", headers={"authorization": "Bearer secret"}, json={}) as response:
        assert (response.status, (await response.json())["error"]["message"]) == (400, "name: field required.")
    async with session.post(f"{process.url}/admin/v1/handover", headers={"authorization": "Bearer secret"}) as response:
        assert response.status == 404


async def test_a_reload_reaches_everyone_and_who_comes_later(
    gateway_process: StartProcess, fake_openai: FakeOpenAI, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    whole = sections(fake_openai)
    process = await started(gateway_process, tmp_path, **whole)
    whole["models"]["doubao-seed"]["aliases"] = ["newer"]
    files.write(tmp_path, **whole)
    assert (await asyncio.to_thread(process.process.send_signal, signal.SIGHUP)) is None
    async with asyncio.timeout(10):
        while process.log.read_text().count("gateway.yaml was reloaded") < 4:
            await asyncio.sleep(0.05)

    async def all_know(alias: str) -> bool:
        async def one() -> int:
            async with ask(session, process, model=alias) as response:
                status: int = response.status
                return status

        return set(await asyncio.gather(*(one() for _ in range(30)))) == {200}

    assert await all_know("newer")
    # A broken file is refused, and who starts meanwhile takes what the others have.
    (tmp_path / "gateway.yaml").write_text("bogus: 1\n")
    async with asyncio.timeout(10):
        while "the old one goes on" not in process.log.read_text():
            await asyncio.sleep(0.05)
    os.kill(workers_of(process)[0], signal.SIGKILL)
    async with asyncio.timeout(10):
        while not all(map(lives, workers_of(process))) or await metric(session, process, "paifang_worker_restarts_total") < 1:
            await asyncio.sleep(0.05)
    assert await all_know("newer")
    assert await metric(session, process, "paifang_config_reloads_total") >= 2


async def test_the_end_reaches_everyone(
    gateway_process: StartProcess, fake_openai: FakeOpenAI, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    process = await started(gateway_process, tmp_path, **sections(fake_openai, server={"drain_timeout_s": 1.5}))
    streams = [await begun(session, process, fake_openai) for _ in range(4)]
    readings = [asyncio.ensure_future(until_cut(stream)) for stream, _ in streams[1:]]
    workers = workers_of(process)
    process.process.terminate()
    await asyncio.sleep(0.3)
    for _ in range(9):
        async with session.get(f"{process.url}/readyz") as response:
            assert response.status == 503
    while await streams[0][1].step():
        pass
    assert (await streams[0][0].read()).endswith(b"data: [DONE]\n\n")
    assert all(b'"code":"draining"' in read for read in await asyncio.gather(*readings))
    assert await status(process) == 0
    assert not any(map(lives, workers))
    assert COST < (await books(tmp_path))["ci"] < 4 * COST


async def test_who_has_nothing_left_to_do_says_so_until_the_others_are_done(
    gateway_process: StartProcess, fake_openai: FakeOpenAI, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    process = await started(gateway_process, tmp_path, **sections(fake_openai))
    stream, pacer = await begun(session, process, fake_openai)
    async with AsyncExitStack() as stack:
        kept = [await stack.enter_async_context(connected(process.url)) for _ in range(12)]
        for reader, writer in kept:
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            await reader.readuntil(b'{"status": "ok"}')
        process.process.terminate()
        await asyncio.sleep(1)
        for reader, writer in kept:
            writer.write(chat())
            refused = await reader.read()
            assert (statuses_of(refused), error_of(refused)["code"]) == ([503], "draining")
    while await pacer.step():
        pass
    assert (await stream.read()).endswith(b"data: [DONE]\n\n")
    assert await status(process, 5) == 0


async def test_workers_end_with_who_owns_the_ledger(
    gateway_process: StartProcess, fake_openai: FakeOpenAI, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    process = await started(gateway_process, tmp_path, **sections(fake_openai))
    stream, _ = await begun(session, process, fake_openai)
    workers = workers_of(process)
    process.kill()
    assert b"[DONE]" not in await until_cut(stream)
    async with asyncio.timeout(5):
        while any(map(lives, workers)):
            await asyncio.sleep(0.05)
    again = await started(gateway_process, tmp_path)
    assert await statuses(session, again, 6) == {200: 6}


async def test_many_take_over_from_many(
    gateway_process: StartProcess, fake_openai: FakeOpenAI, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    first = await started(gateway_process, tmp_path, **sections(fake_openai, workers=2))
    stream, pacer = await begun(session, first, fake_openai)
    async with load(first.url, 24) as outcomes:
        while outcomes["200"] < 100:
            await asyncio.sleep(0.05)
        second = await asyncio.to_thread(taking_over, first)
        served = outcomes["200"]
        while outcomes["200"] < served + 200:
            await asyncio.sleep(0.05)
        assert first.process.poll() is None
        while await pacer.step():
            pass
        assert (await stream.read()).endswith(b"data: [DONE]\n\n")
        assert await status(first, 15) == 0
        served = outcomes["200"]
        while outcomes["200"] < served + 200:
            await asyncio.sleep(0.05)
    assert set(outcomes) == {"200"}
    assert (await asyncio.to_thread(second.cli, "ledger", "verify")).returncode == 0
    assert await asyncio.to_thread(second.stop) == 0
    assert await books(tmp_path) == {"ci": (outcomes["200"] + 1) * COST}
