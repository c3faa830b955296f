"""A gateway with several workers: started, looked at, asked by connections that reach all of them."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e import files
from tests.e2e.conftest import StartProcess
from tests.e2e.processes import GatewayProcess
from tests.e2e.test_drain import ask
from tests.fakes import FakeOpenAI

COST = 6_000_000
"""Of an answer of the fake provider, in nano-USD."""


def sections(fake: FakeOpenAI, workers: int = 3, **more: Any) -> dict[str, Any]:
    return {
        "server": {"workers": workers, **more.pop("server", {})},
        "providers": {"relay": files.relay(fake)},
        "models": {"doubao-seed": files.model(files.route("relay", "relay"), price={"input": 0, "output": 1000})},
        "keys": [files.key("ci", files.KEY, **{"budget": {"daily_usd": 1000}, **more.pop("key", {})})],
        **more,
    }


async def started(gateway_process: StartProcess, folder: Path, **more: Any) -> GatewayProcess:
    """Once every worker serves; the first is ready earlier."""
    process = await asyncio.to_thread(gateway_process, folder, **more)
    async with asyncio.timeout(40):
        while "listens on" not in process.log.read_text():
            await asyncio.sleep(0.05)
    return process


def workers_of(process: GatewayProcess) -> list[int]:
    """The process in each place, by its number."""
    serving: dict[int, int] = {}
    for line in process.log.read_text().splitlines():
        if '"event":"a worker serves"' in line:
            told = json.loads(line)
            serving[told["worker"]] = told["pid"]
    return [serving[number] for number in sorted(serving)]


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def metric(session: aiohttp.ClientSession, process: GatewayProcess, name: str) -> float:
    async with session.get(f"{process.url}/metrics") as response:
        families = text_string_to_metric_families(await response.text())
        return sum(sample.value for family in families for sample in family.samples if sample.name == name)


async def counters(session: aiohttp.ClientSession, process: GatewayProcess) -> Counter[str]:
    """Everything that counts up, by name and labels."""
    async with session.get(f"{process.url}/metrics") as response:
        families = [*text_string_to_metric_families(await response.text())]
    found: Counter[str] = Counter()
    for family in families:
        if family.type in ("counter", "histogram"):
            for sample in family.samples:
                found[f"{sample.name}{sample.labels}"] = sample.value
    return found


async def statuses(session: aiohttp.ClientSession, process: GatewayProcess, count: int) -> Counter[int]:
    async def one() -> int:
        async with ask(session, process, max_tokens=6) as response:
            await response.read()
            status: int = response.status
            return status

    return Counter(await asyncio.gather(*(one() for _ in range(count))))
