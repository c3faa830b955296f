"""Power losses at any moment: with `durability: power` nothing that was promised is lost, and the books agree."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from tests.proxy.storage.power import power_loss, recorded
from tests.proxy.storage.test_crash import check
from tests.system_tools import needs

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(900),
    needs("strace"),
]


@pytest.fixture
def nothing_blocks() -> None:
    """These tests wait for a process on purpose."""


async def lose_power(folder: Path, durability: str, times: int) -> int:
    """Returns how often something that was promised was lost, or the books did not agree."""
    dice, path = random.Random(5), folder / "paifang.db"
    steps = await asyncio.to_thread(recorded, path, durability, 6.0)
    began = next(number for number, step in enumerate(steps) if step.call == "write" and step.file == 1)
    lost = 0
    for number in range(times):
        into = folder / str(number) / "paifang.db"
        into.parent.mkdir()
        told = power_loss(steps[: dice.randrange(began, len(steps))], path, into, dice)
        try:
            await check(into, told)
        except AssertionError:
            lost += 1
    return lost


async def test_nothing_promised_is_lost(tmp_path: Path) -> None:
    assert await lose_power(tmp_path, "power", 60) == 0


async def test_it_would_be_without_syncing_each_commit(tmp_path: Path) -> None:
    """`durability: process` promises no more than that a process may die."""
    assert await lose_power(tmp_path, "process", 5) > 0
