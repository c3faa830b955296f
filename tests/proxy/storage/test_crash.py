"""SIGKILL at any instant: what was promised is kept, what was sent is charged or listed, nothing counts twice."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from proxy.clock import SystemClock
from proxy.storage.store import Store, open_store


def kill_after(path: Path, seconds: float) -> list[list[str]]:
    """The words of each line that a hammering process could say before it was killed."""
    command = [sys.executable, "-m", "tests.proxy.storage.hammer", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(seconds)
        process.kill()
        told = first + process.stdout.read()
    return [line.split() for line in told.decode().splitlines()]


async def check(path: Path, told: list[list[str]]) -> None:
    store = await asyncio.to_thread(open_store, f"sqlite:///{path}", "process", SystemClock())
    try:
        assert await store.reports.verify() == []
        assert store.reports.unsettled() == 0
        charged: dict[str, int] = {}
        exposed: dict[str, int] = {}
        after_id = 0
        while page := await store.entries.page(after_id=after_id, limit=5000):
            after_id = page[-1].id
            for entry in page:
                sums = exposed if entry.kind == "exposure" else charged
                assert entry.request_id not in sums
                sums[entry.request_id] = entry.amount
        done = {request_id: int(cost) for word, request_id, cost in told if word == "done"}
        for word, request_id, cost in told:
            if request_id in done:
                assert charged.get(request_id, 0) == done[request_id]
                assert request_id not in exposed
            elif word == "dispatched":
                owed = charged.get(request_id, 0) + exposed.get(request_id, 0)
                # Or it was given back, and only the promise did not come through.
                assert owed >= int(cost) or await _given_back(store, request_id)
    finally:
        await store.close()


async def _given_back(store: Store, request_id: str) -> bool:
    sql = "SELECT state FROM hold WHERE request_id = ?"
    states = await store.writer.run(lambda db: db.exec_driver_sql(sql, (request_id,)).scalars().all())
    return list(states) == ["void"]


@pytest.fixture
def nothing_blocks() -> None:
    """These tests wait for a process on purpose."""


async def test_killed_at_any_instant(tmp_path: Path) -> None:
    path = tmp_path / "paifang.db"
    for round_number in range(3):
        await check(path, kill_after(path, random.Random(round_number).random() / 5))


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_killed_at_two_hundred_instants(tmp_path: Path) -> None:
    for round_number in range(200):
        path = tmp_path / f"{round_number // 20}.db"
        await check(path, kill_after(path, random.random() / 2))
