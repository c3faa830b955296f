"""Ten minutes of random faults, on both sides at once: no wrong answer, no hold left open, no memory lost."""

from __future__ import annotations

import asyncio
import resource
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random

import aiohttp
import pytest

from tests.e2e import files
from tests.e2e.conftest import Serve, Served
from tests.e2e.test_upstream_faults import BREAKS, DELTA, DONE, FAULTS, SSE_HEAD, STOP, WHOLE, behind
from tests.e2e.unharmed import unharmed
from tests.fakes import READ, ScriptedUpstream, chunk
from tests.fakes.scripted import Step

SOAK_S = 600
CLIENTS = 20
WARM_S = 60
"""Until then caches and pools fill."""
TEXTS = {"half an answer", "all of it"}
GOOD: list[Sequence[Step]] = [[READ, WHOLE], [READ, SSE_HEAD, chunk(DELTA + STOP + DONE), chunk(b"")]]
BAD: list[Sequence[Step]] = [
    *(fault.script for fault in FAULTS.values() if not fault.https),
    *([READ, SSE_HEAD, chunk(DELTA), *steps] for steps, _ in BREAKS.values()),
]


class RandomUpstream(ScriptedUpstream):
    """Draws each connection's script, and forgets what is over."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self._random = random

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._scripts = (self._random.choice(GOOD if self._random.random() < 0.5 else BAD),)
        self._tasks -= {task for task in self._tasks if task.done() and task.exception() is None}
        self.requests.clear()
        super()._accept(reader, writer)


async def ask(served: Served, random: Random, seen: Counter[str]) -> None:
    """One request: answered whole, refused in our words, broken off, or left."""
    model, stream, leaves = random.choice(["m", "pooled"]), random.random() < 0.5, random.random() < 0.2
    try:
        async with asyncio.timeout(random.random() if leaves else 30):
            answered = await served.chat(model, stream=stream)
    except TimeoutError:
        assert leaves, "a client was left waiting"
        seen["left"] += 1
        return
    except aiohttp.ClientPayloadError:
        assert stream
        seen["broken off"] += 1
        return
    if answered.status != 200:
        assert answered.error["code"].startswith("upstream_") or answered.error["code"] == "no_route_available"
        seen[answered.error["code"]] += 1
        return
    text = (
        "".join(event["choices"][0]["delta"].get("content") or "" for event in answered.events[:-1])
        if stream
        else answered.json["choices"][0]["message"]["content"]
    )
    assert text in TEXTS or answered.headers["x-paifang-route"] == "last", text
    seen["answered"] += 1


async def client(served: Served, random: Random, until_s: float, seen: Counter[str]) -> None:
    while asyncio.get_running_loop().time() < until_s:
        await ask(served, random, seen)


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.long
@pytest.mark.timeout(SOAK_S + 120)
async def test_random_faults(serve: Serve) -> None:
    async with RandomUpstream(Random(1)) as upstream:
        served = await behind(serve, upstream)
        seen: Counter[str] = Counter()
        began_s = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            for number in range(CLIENTS):
                group.create_task(client(served, Random(number), began_s + SOAK_S, seen))
            await asyncio.sleep(min(WARM_S, SOAK_S / 2))
            warm_bytes, most_files = resident_bytes(), 2 * open_files()
        grown_bytes = resident_bytes() - warm_bytes
        await unharmed(served)
        assert open_files() < most_files and len(asyncio.all_tasks()) < 5 * CLIENTS
        assert {"answered", "left", "broken off", "upstream_error", "upstream_timeout", "upstream_unreachable"} <= seen.keys()
        assert grown_bytes < 64 * 2**20, f"{grown_bytes >> 20} MiB more after {seen.total()} requests"
        assert (await served.ask("GET", "/metrics")).status == 200
        assert files.KEY not in (await served.ask("GET", "/metrics")).raw.decode()
