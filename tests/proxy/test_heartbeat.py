"""Who answers lives, whatever time passes; who does not is noticed."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from proxy.heartbeat import silence
from proxy.link import Link

HANG_S = 0.3


@pytest.fixture
async def ends() -> AsyncIterator[tuple[Link, Link]]:
    ours, theirs = socket.socketpair()
    links = await Link.over(ours, {}, lambda: None), await Link.over(theirs, {"beat": lambda: None}, lambda: None)
    yield links
    for link in links:
        link.close()
        await link.closed


async def test_who_answers_is_not_silent(ends: tuple[Link, Link]) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3 * HANG_S):
            await silence(ends[0], HANG_S)


async def test_who_does_not_is_after_the_time_and_not_before(ends: tuple[Link, Link]) -> None:
    loop = asyncio.get_running_loop()
    watching = asyncio.create_task(silence(ends[0], HANG_S))
    await asyncio.sleep(HANG_S)
    ends[1].stop_reading()
    began_s = loop.time()
    await watching
    assert 0.8 * HANG_S < loop.time() - began_s < 3 * HANG_S
