"""Health that several processes share: what one learns the others know, and one counts for the limits of all."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from proxy.chat import ChatRequest, Usage
from proxy.context import RateLimit
from proxy.errors import UpstreamBusy, UpstreamFailed, UpstreamRejectedUs
from proxy.health import Flight, Health, RouteHealth
from proxy.link import Link
from proxy.linkedhealth import HealthDesk, LinkedHealth
from proxy.retry import RetryBudget

S = 10**9
CHAT = ChatRequest(body={}, body_bytes=40, model="m", max_output_tokens=10)
"""Counts for 20 tokens."""
TWO = RateLimit(concurrent=2)


class TickingClock:
    """Moved by the test, and by a nanosecond whenever somebody looks: no two changes are at one time."""

    ticks_ns = S

    def now_ns(self) -> int:
        return self.monotonic_ns()

    def monotonic_ns(self) -> int:
        self.ticks_ns += 1
        return self.ticks_ns

    def advance(self, seconds: int) -> None:
        self.ticks_ns += seconds * S


class Crew:
    """A process that all others are linked to, as a crew links them."""

    def __init__(self) -> None:
        self.clock = TickingClock()
        self.own = Health(self.clock)
        self.own.tell = self.spread
        self.desks: dict[HealthDesk, Link] = {}
        self.links: list[Link] = []

    def spread(self, name: str, *values: Any, but: HealthDesk | None = None) -> None:
        for desk, link in self.desks.items():
            if desk is not but:
                link.tell(name, *values)

    async def join(self) -> LinkedHealth:
        ours, theirs = socket.socketpair()
        desk = HealthDesk(self.own, self.clock, lambda *said: self.spread(*said, but=desk))
        self.desks[desk] = await Link.over(ours, desk.answers(), desk.close)
        answers = {"circuit": lambda *said: health.hear(*said), "outcome": lambda *said: health.hear_outcome(*said)}
        link = await Link.over(theirs, answers, lambda: None)
        health = LinkedHealth(link, self.clock)
        self.links += self.desks[desk], link
        return health


def route_of(health: Health, limit: RateLimit | None = None, credential: str = "key") -> RouteHealth:
    return health.route("r", "m", health.credential("p", credential), limit)


@pytest.fixture
async def crew() -> AsyncIterator[Crew]:
    made = Crew()
    with capture_logs():
        yield made
    for link in made.links:
        link.close()
        await link.closed


async def told() -> None:
    """Time for a message to get from one to the other by way of the third."""
    await asyncio.sleep(0.05)


def ended(route: RouteHealth, now_ns: int, error: Any = None) -> None:
    route.begin(now_ns, CHAT).end(now_ns, None, error, ok=error is None)


async def test_a_change_reaches_all_and_its_end_too(crew: Crew) -> None:
    now_ns = crew.clock.monotonic_ns()
    routes = [route_of(health) for health in (await crew.join(), await crew.join(), crew.own)]
    ended(routes[0], now_ns, UpstreamBusy("x", retry_after_s=7))
    await told()
    assert [route.standing(now_ns)[:2] for route in routes] == [("cooling", "upstream_rate_limited")] * 3
    assert {route.wait_ns(now_ns) for route in routes} == {7 * S}
    crew.clock.advance(7)
    now_ns = crew.clock.monotonic_ns()
    ended(routes[2], now_ns)
    await told()
    assert [route.until_ns for route in routes] == [0, 0, 0]


async def test_one_of_all_finds_out_and_the_time_doubles_for_all(crew: Crew) -> None:
    routes = [route_of(health) for health in (await crew.join(), await crew.join(), crew.own)]
    now_ns = crew.clock.monotonic_ns()
    ended(routes[1], now_ns, UpstreamRejectedUs("x"))
    await told()
    assert {route.credential.until_ns for route in routes} == {now_ns + 60 * S}
    crew.clock.advance(60)
    now_ns = crew.clock.monotonic_ns()
    assert [route.wait_ns(now_ns) for route in routes] == [0, 0, 0]
    trial = routes[0].begin(now_ns, CHAT)
    await told()
    assert [route.wait_ns(now_ns) for route in routes] == [S, S, S]
    trial.end(now_ns, None, None, ok=False)  # its client has left
    await told()
    assert [route.wait_ns(now_ns) for route in routes] == [0, 0, 0]
    ended(routes[2], now_ns, UpstreamRejectedUs("x"))
    await told()
    assert [route.wait_ns(now_ns) for route in routes] == [120 * S] * 3


async def test_failures_in_a_row_are_counted_over_all(crew: Crew) -> None:
    now_ns = crew.clock.monotonic_ns()
    routes = [route_of(health) for health in (await crew.join(), await crew.join(), crew.own)]
    for route, error in (
        *((route, UpstreamFailed("x")) for route in (routes[0], routes[1], routes[0], routes[1])),
        (routes[0], None),
        *((route, UpstreamFailed("x")) for route in (routes[0], routes[1], routes[2], routes[1])),
    ):
        assert route.state(now_ns) == "serving"
        ended(route, now_ns, error)
        await told()
    assert [(route.state(now_ns), route.in_a_row) for route in routes] == [("serving", 4)] * 3
    ended(routes[2], now_ns, UpstreamFailed("x"))
    await told()
    assert [(route.state(now_ns), route.in_a_row) for route in routes] == [("open", 0)] * 3


async def test_of_two_at_the_same_time_the_later_change_holds_and_the_longer_pause(crew: Crew) -> None:
    first, second = route_of(await crew.join()), route_of(await crew.join())
    own = route_of(crew.own)
    now_ns = crew.clock.monotonic_ns()
    ended(first, now_ns, UpstreamBusy("x", retry_after_s=9))
    ended(second, now_ns, UpstreamBusy("x", retry_after_s=2))
    await told()
    assert {route.until_ns for route in (first, second, own)} == {now_ns + 9 * S}
    first.open("worse", now_ns)
    second.recover()
    await told()
    assert {route.until_ns for route in (first, second, own)} == {0}


async def test_what_was_known_before_is_told_to_who_comes_later_and_another_credential_is_another(crew: Crew) -> None:
    now_ns = crew.clock.monotonic_ns()
    own, other = route_of(crew.own), route_of(crew.own, credential="another")
    own.credential.refuse("no", now_ns)
    [(key, said)] = crew.own.said()
    assert key == own.credential.key and "key" not in (key, *said)
    later = await crew.join()
    route, changed = route_of(later), route_of(later, credential="another")
    crew.spread("circuit", key, said)
    crew.spread("circuit", "of a route that is gone", said)
    await told()
    assert (route.state(now_ns), route.credential.state(now_ns)) == ("serving", "refused")
    assert other.wait_ns(now_ns) == changed.wait_ns(now_ns) == 0


async def begin(route: RouteHealth, slot: RetryBudget | None = None) -> Flight | None:
    assert route.linked is not None
    return await route.linked.begin(route, CHAT, slot, again=False)


async def test_limits_are_one_count_for_all(crew: Crew) -> None:
    limit = RateLimit(concurrent=2, tokens_per_minute=60)
    first, second = route_of(await crew.join(), limit), route_of(await crew.join(), limit)
    own = route_of(crew.own, limit)
    now_ns = crew.clock.monotonic_ns()
    flights = [await begin(first), await begin(second)]
    assert own.standing(now_ns)[0] == "full"
    retries = RetryBudget()
    assert retries.take() and await begin(first, retries) is None and retries.retrying == 0
    assert first.linked is not None and first.linked.told_ns(now_ns) // S == 1
    assert flights[1] is not None
    flights[1].end(now_ns, Usage(input_tokens=15, output_tokens=15), None, ok=True)
    assert await begin(second) is None, "the tokens of a minute are taken"
    crew.clock.advance(60)
    assert await begin(second) is not None


async def test_who_is_gone_keeps_no_place(crew: Crew) -> None:
    gone, stays = route_of(await crew.join(), TWO), route_of(await crew.join(), TWO)
    own = route_of(crew.own, TWO)
    assert await begin(gone) and await begin(gone) and await begin(stays) is None
    crew.links[1].close()
    await crew.links[0].closed
    assert await begin(stays) and own.state(0) == "serving"
    assert await begin(gone), "without its link it refuses nothing here: what it does ends anyway"


async def test_a_client_that_leaves_while_it_is_asked_for_keeps_no_place_and_no_slot(crew: Crew) -> None:
    route = route_of(await crew.join(), TWO)
    own = route_of(crew.own, TWO)
    retries = RetryBudget()
    assert retries.take()
    asking = asyncio.create_task(begin(route, retries))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await told()
    assert retries.retrying == 0
    assert own.limits is not None and await begin(route) and await begin(route) and await begin(route) is None


async def test_a_route_that_only_an_older_configuration_has_is_not_counted(crew: Crew) -> None:
    route = route_of(await crew.join(), TWO)
    for _ in range(3):
        flight = await begin(route)
        assert flight is not None
        flight.end(0, None, None, ok=True)
