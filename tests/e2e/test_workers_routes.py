"""What one of several workers learns of a route, all of them heed; limits of routes hold for all together."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e import files
from tests.e2e.conftest import StartProcess
from tests.e2e.crews import sections, started, statuses, workers_of
from tests.e2e.processes import GatewayProcess
from tests.e2e.test_drain import ask
from tests.fakes import FakeArk, FakeOpenAI

TOLD_S = 0.2


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """A connection of its own for each request, so that they reach every worker."""
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(headers={"authorization": f"Bearer {files.KEY}"}, connector=connector) as made:
        yield made


def pooled(fake_ark: FakeArk, fake_openai: FakeOpenAI, **first: Any) -> dict[str, Any]:
    """Ark first, then a relay."""
    return sections(
        fake_openai,
        providers={"ark": files.ark(fake_ark), "relay": files.relay(fake_openai)},
        models={
            "doubao-seed": files.model(
                files.route("first", "ark", files.ARK_MODEL, priority=1, **first),
                files.route("second", "relay", priority=2),
            )
        },
    )


async def who(session: aiohttp.ClientSession, process: GatewayProcess, count: int) -> Counter[tuple[str, str]]:
    """{(route, attempts): answers}."""

    async def one() -> tuple[str, str]:
        async with ask(session, process) as response:
            await response.read()
            return response.headers["x-paifang-route"], response.headers["x-paifang-attempts"]

    return Counter(await asyncio.gather(*(one() for _ in range(count))))


async def shown(session: aiohttp.ClientSession, process: GatewayProcess) -> set[tuple[str, float]]:
    """The state of the first route and whether it is up, as some scrapes of every worker tell them."""
    told = set()
    for _ in range(12):
        async with session.get(f"{process.url}/metrics") as response:
            families = text_string_to_metric_families(await response.text())
        samples = [each for family in families for each in family.samples if each.labels.get("route") == "first"]
        [state] = [each.labels["state"] for each in samples if each.name == "paifang_route_state" and each.value]
        [up] = [each.value for each in samples if each.name == "paifang_route_up"]
        told.add((state, up))
    return told


async def state_of(process: GatewayProcess) -> str:
    """The state of the first route, as `paifang routes` tells it."""
    told = json.loads((await asyncio.to_thread(process.cli, "routes", "--json")).stdout)
    return next(route["state"] for route in told["routes"] if route["route"] == "first")


async def kill_all(process: GatewayProcess) -> None:
    """Every worker, until others serve in their places."""
    old = workers_of(process)
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(40):
        while set(workers_of(process)) & set(old):
            await asyncio.sleep(0.05)


async def test_a_refused_credential_serves_again_in_all_once_doctor_finds_it_taken(
    gateway_process: StartProcess,
    fake_ark: FakeArk,
    fake_openai: FakeOpenAI,
    session: aiohttp.ClientSession,
    tmp_path: Path,
) -> None:
    process = await started(gateway_process, tmp_path, **pooled(fake_ark, fake_openai))
    fake_ark.fail_next(403, "AccountOverdueError")
    assert await who(session, process, 1) == {("second", "2"): 1}
    await asyncio.sleep(TOLD_S)
    assert await state_of(process) == "refused"
    doctor = await asyncio.to_thread(process.cli, "doctor")
    assert "it was left alone (upstream_quota_exhausted), and from now on requests are sent there again" in doctor.stdout
    await asyncio.sleep(TOLD_S)
    assert await who(session, process, 30) == {("first", "1"): 30}
    assert await shown(session, process) == {("serving", 1.0)}


async def test_one_429_is_enough_for_all_and_for_who_comes_later(
    gateway_process: StartProcess,
    fake_ark: FakeArk,
    fake_openai: FakeOpenAI,
    session: aiohttp.ClientSession,
    tmp_path: Path,
) -> None:
    process = await started(gateway_process, tmp_path, **pooled(fake_ark, fake_openai))
    fake_ark.fail_next(429, "ServerOverloaded", "busy", headers={"retry-after": "60"})
    assert await who(session, process, 1) == {("second", "2"): 1}
    await asyncio.sleep(TOLD_S)
    assert await who(session, process, 30) == {("second", "1"): 30}
    assert len(fake_ark.requests) == 1
    assert await shown(session, process) == {("cooling", 0.0)}
    assert await state_of(process) == "cooling"
    await kill_all(process)
    await asyncio.sleep(TOLD_S)
    assert await who(session, process, 30) == {("second", "1"): 30}
    assert process.log.read_text().count('"event":"route cooling"') == 1


async def test_failures_in_a_row_count_over_all_and_one_request_finds_out(
    gateway_process: StartProcess,
    fake_ark: FakeArk,
    fake_openai: FakeOpenAI,
    session: aiohttp.ClientSession,
    tmp_path: Path,
) -> None:
    process = await started(gateway_process, tmp_path, **pooled(fake_ark, fake_openai))
    fake_ark.fail_next(500, "InternalServiceError", "broken", times=5)
    for number in range(5):
        assert await who(session, process, 1) == {("second", "2"): 1}, number
        await asyncio.sleep(TOLD_S)
    assert await who(session, process, 30) == {("second", "1"): 30}
    assert await shown(session, process) == {("open", 0.0)}
    await asyncio.sleep(5)
    assert await shown(session, process) == {("probing", 0.0)}
    fake_ark.delay(before_s=1)
    finding_out = asyncio.ensure_future(who(session, process, 1))
    while len(fake_ark.requests) < 6:
        await asyncio.sleep(0.01)
    await asyncio.sleep(TOLD_S)
    assert await who(session, process, 30) == {("second", "1"): 30}
    assert await finding_out == {("first", "1"): 1}
    fake_ark.delay()
    await asyncio.sleep(TOLD_S)
    assert await who(session, process, 30) == {("first", "1"): 30}
    assert await shown(session, process) == {("serving", 1.0)}


async def test_a_refused_credential_is_refused_once_and_a_new_one_is_not(
    gateway_process: StartProcess,
    fake_ark: FakeArk,
    fake_openai: FakeOpenAI,
    session: aiohttp.ClientSession,
    tmp_path: Path,
) -> None:
    whole = pooled(fake_ark, fake_openai)
    whole["providers"]["ark"]["api_key"] = "wrong"
    process = await started(gateway_process, tmp_path, **whole)
    assert await who(session, process, 1) == {("second", "2"): 1}
    await asyncio.sleep(TOLD_S)
    assert await who(session, process, 30) == {("second", "1"): 30}
    assert len(fake_ark.requests) == 1 and await state_of(process) == "refused"
    whole["providers"]["ark"]["api_key"] = fake_ark.key
    files.write(tmp_path, **whole)
    async with asyncio.timeout(10):
        while process.log.read_text().count("gateway.yaml was reloaded") < 4:
            await asyncio.sleep(0.05)
    assert await who(session, process, 30) == {("first", "1"): 30}


async def test_limits_of_a_route_hold_for_all_workers_together(
    gateway_process: StartProcess,
    fake_ark: FakeArk,
    fake_openai: FakeOpenAI,
    session: aiohttp.ClientSession,
    tmp_path: Path,
) -> None:
    limits = {"concurrent": 5, "requests_per_minute": 12}
    process = await started(gateway_process, tmp_path, **pooled(fake_ark, fake_openai, limits=limits))
    fake_ark.delay(before_s=1.5)
    assert await who(session, process, 40) == {("first", "1"): 5, ("second", "1"): 35}
    fake_ark.delay()
    for _ in range(5):
        await who(session, process, 1)
    assert len(fake_ark.requests) == 10 and await state_of(process) == "serving"
    assert await who(session, process, 5) == {("first", "1"): 2, ("second", "1"): 3}
    assert await state_of(process) == "full" and await shown(session, process) == {("full", 1.0)}


async def test_a_full_route_is_told_with_its_wait_and_who_is_gone_keeps_no_place(
    gateway_process: StartProcess, fake_openai: FakeOpenAI, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    only = files.route("relay", "relay", limits={"concurrent": 2})
    models = {"doubao-seed": files.model(only)}
    process = await started(gateway_process, tmp_path, **sections(fake_openai, models=models))
    fake_openai.delay(before_s=60)
    running = asyncio.gather(*(ask(session, process) for _ in range(2)), return_exceptions=True)
    while len(fake_openai.requests) < 2:
        await asyncio.sleep(0.01)
    for _ in range(9):
        async with ask(session, process) as refused:
            assert (refused.status, refused.headers["retry-after"]) == (429, "1")
            assert (await refused.json())["error"]["code"] == "upstream_rate_limited"
    await kill_all(process)
    assert all(isinstance(outcome, aiohttp.ClientError) for outcome in await running)
    fake_openai.delay()
    assert await statuses(session, process, 2) == {200: 2}


async def test_where_what_is_left_is_full_the_first_failure_is_told_or_the_shortest_wait(
    gateway_process: StartProcess,
    fake_ark: FakeArk,
    fake_openai: FakeOpenAI,
    session: aiohttp.ClientSession,
    tmp_path: Path,
) -> None:
    whole = pooled(fake_ark, fake_openai)
    whole["models"]["doubao-seed"]["routes"][1]["limits"] = {"concurrent": 1}
    process = await started(gateway_process, tmp_path, **whole)
    fake_ark.fail_next(500, "InternalServiceError", "broken", times=2)
    fake_openai.delay(before_s=60)
    running = asyncio.ensure_future(ask(session, process))
    while not fake_openai.requests:
        await asyncio.sleep(0.01)
    async with ask(session, process) as failed:
        assert (failed.status, failed.headers["x-paifang-attempts"]) == (502, "1")
        assert (await failed.json())["error"]["code"] == "upstream_error"
    fake_ark.fail_next(429, "ServerOverloaded", "busy", headers={"retry-after": "60"})
    for _ in range(6):
        async with ask(session, process) as busy:
            assert (busy.status, busy.headers["retry-after"]) == (429, "1")
    assert len(fake_openai.requests) == 1
    running.cancel()


async def test_what_an_active_check_finds_out_every_worker_heeds(
    gateway_process: StartProcess,
    fake_ark: FakeArk,
    fake_openai: FakeOpenAI,
    session: aiohttp.ClientSession,
    tmp_path: Path,
) -> None:
    whole = pooled(fake_ark, fake_openai)
    whole["providers"]["ark"]["api_key"] = "wrong"
    process = await started(gateway_process, tmp_path, **whole, health={"check_every_s": 1})
    async with asyncio.timeout(10):
        while await state_of(process) != "refused":
            await asyncio.sleep(0.1)
    await asyncio.sleep(TOLD_S)
    assert await who(session, process, 30) == {("second", "1"): 30}
    assert len(fake_ark.requests) == 1
