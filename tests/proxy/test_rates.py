"""Rates that several processes share: one count, and nothing that a process that is gone keeps."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator

import pytest

from proxy.context import RateLimit
from proxy.errors import Draining
from proxy.link import Link
from proxy.rates import KeptRates, LinkedRates, RatesDesk
from proxy.ratewindow import SECOND_NS, Window
from tests.proxy.storage.parts import MovedClock

TWO = RateLimit(concurrent=2)


class Shared:
    """Rates kept here, and processes that ask for them."""

    def __init__(self) -> None:
        self.kept = KeptRates(MovedClock())
        self.links: list[Link] = []

    async def join(self) -> LinkedRates:
        ours, theirs = socket.socketpair()
        desk = RatesDesk(self.kept)
        answers = {"rates.take": desk.take, "rates.look": desk.look, "rates.end": desk.end}
        self.links.append(await Link.over(ours, answers, desk.close))
        self.links.append(await Link.over(theirs, {}, lambda: None))
        return LinkedRates(self.links[-1])


@pytest.fixture
async def shared() -> AsyncIterator[Shared]:
    made = Shared()
    yield made
    for link in made.links:
        link.close()
        await link.closed


async def test_one_count_for_all(shared: Shared) -> None:
    first, second = await shared.join(), await shared.join()
    taken = await first.take("ci", TWO, 1, 10)
    assert (taken.number, taken.running, taken.requests, taken.tokens) == (1, 1, 1, 10)
    assert (await second.take("ci", TWO, 1, 10)).running == 2
    refused = await first.take("ci", TWO, 1, 10)
    assert (refused.number, refused.param, refused.wait_ns, refused.tokens) == (0, "concurrent", 10**9, 20)
    first.end(taken.number, 3)
    again = await first.take("ci", TWO, 1, 10)
    assert (again.running, again.tokens) == (2, 23)
    assert not shared.kept.take("ci", TWO, 1, 10).number


async def test_a_look_takes_nothing(shared: Shared) -> None:
    rates = await shared.join()
    assert await rates.look("ci", TWO, 1, 10) == (0, "", 0, 0, 0, 0, 0, 0)
    for _ in range(2):
        await rates.take("ci", TWO, 1, 10)
    for look in (await rates.look("ci", TWO, 1, 10), shared.kept.look("ci", TWO, 1, 10)):
        assert (look.number, look.param, look.running, look.tokens) == (0, "concurrent", 2, 20)


async def test_who_is_gone_keeps_no_slot(shared: Shared) -> None:
    gone, stays = await shared.join(), await shared.join()
    for _ in range(2):
        assert (await gone.take("ci", TWO, 1, 10)).number
    shared.links[1].close()
    await shared.links[0].closed
    assert (await stays.take("ci", TWO, 1, 10)).running == 1


async def test_a_client_that_leaves_while_it_is_asked_for_keeps_no_slot(shared: Shared) -> None:
    rates = await shared.join()
    asking = asyncio.create_task(rates.take("ci", TWO, 1, 10))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    async with asyncio.timeout(1):
        while shared.kept.take("ci", RateLimit(concurrent=1), 0, 0).running > 1:
            await asyncio.sleep(0.01)


async def test_where_the_counting_process_is_gone_nothing_is_admitted(shared: Shared) -> None:
    rates = await shared.join()
    for _ in range(2):  # while it is asked, and once it is known to be gone
        asked = asyncio.gather(rates.take("ci", TWO, 1, 10), rates.look("ci", TWO, 1, 10), return_exceptions=True)
        await asyncio.sleep(0)
        shared.links[0].close()
        for error in await asked:
            assert isinstance(error, Draining)
            assert (error.status, error.code, error.headers()) == (503, "draining", {"retry-after": "1"})


def test_who_takes_over_goes_on_with_the_last_minute() -> None:
    clock = MovedClock()
    old, new = KeptRates(clock), KeptRates(clock)
    limit = RateLimit(requests_per_minute=4, tokens_per_minute=100)
    old.take("ci", limit, 1, 10)
    clock.now_s += 50
    old.end(old.take("ci", limit, 1, 20).number, 5)
    new.take("ci", limit, 1, 30)
    new.hear(json.loads(json.dumps(old.said())))
    look = new.look("ci", limit, 1, 60)
    assert (look.requests, look.tokens, look.param, look.wait_ns) == (3, 45, "tokens_per_minute", 10 * 10**9)
    clock.now_s += 10
    look = new.look("ci", limit, 1, 60)
    assert (look.requests, look.tokens, look.param) == (2, 35, "")


def test_a_minute_is_handed_over_as_sixty_seconds() -> None:
    old, new = Window(), Window()
    for number in range(600):
        old.add(1, number * SECOND_NS // 10)
    assert len(old.said()) == 60
    new.hear(old.said())
    new.expire(90 * SECOND_NS)
    assert new.total == 300
