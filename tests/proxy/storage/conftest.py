"""A store in a file, opened beside the event loop and closed after the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from proxy.storage.store import Store, open_store
from tests.proxy.storage.parts import MovedClock

Open = Callable[[], Awaitable[Store]]


@pytest.fixture
def clock() -> MovedClock:
    return MovedClock()


@pytest.fixture
async def reopen(tmp_path: Path, clock: MovedClock) -> AsyncIterator[Open]:
    """`store = await reopen()`: the same file each time."""
    opened: list[Store] = []

    async def open_it() -> Store:
        url = f"sqlite:///{tmp_path / 'paifang.db'}"
        opened.append(await asyncio.to_thread(open_store, url, "process", clock))
        return opened[-1]

    yield open_it
    for store in opened:
        await store.close()


@pytest.fixture
async def store(reopen: Open) -> Store:
    return await reopen()
