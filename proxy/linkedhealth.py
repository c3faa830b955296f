"""How routes fare, where several processes serve together: what one of them learns the others know a moment later.

Each goes by what it sees itself and by what it is told. A change is told to the process that owns the store, which tells it on;
so that one knows of all. Times need no translation, as the processes are on one machine. Limits of routes are counted by that
one alone: a worker asks it for a place before an attempt at a route that has any, as for the rate limits of keys.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from proxy.circuit import Said
from proxy.clock import Clock
from proxy.health import Flight, Health, RouteHealth, Slot
from proxy.link import Answer, Link, LinkLost
from proxy.routelimits import Taken, asked_tokens

if TYPE_CHECKING:
    from proxy.chat import ChatRequest
    from proxy.context import RateLimit

UNCOUNTED = 0
"""The number of a place that nobody counts: the route is none of the configuration that the counting process has by now."""


class LinkedHealth(Health):
    """Of a worker. Its link must be answered by a HealthDesk, and tell it what that spreads."""

    def __init__(self, link: Link, clock: Clock) -> None:
        super().__init__(clock)
        self._link = link
        self.tell = link.tell

    def linked_limits(self, key: str, limit: RateLimit) -> LinkedLimits:
        return LinkedLimits(self._link, self._clock, key, limit)


class LinkedLimits:
    """The limits of one route, which the process at the other end of a link counts."""

    __slots__ = ("_clock", "_key", "_limit", "_link", "_until_ns")

    def __init__(self, link: Link, clock: Clock, key: str, limit: RateLimit) -> None:
        self._link = link
        self._clock = clock
        self._key = key
        self._limit = limit
        self._until_ns = 0

    def told_ns(self, now_ns: int) -> int:
        """How long a request had to wait that was refused last; a place may be free earlier, so ask."""
        return max(0, self._until_ns - now_ns)

    async def begin(self, route: RouteHealth, chat: ChatRequest, slot: Slot | None, *, again: bool) -> Flight | None:
        """As the route's own `begin`; None: it is at its limits, and `slot` is free again."""
        asking = asyncio.ensure_future(self._link.call("limits.take", self._key, asked_tokens(chat, self._limit)))
        try:
            number, wait_ns = await asyncio.shield(asking)
        except LinkLost:
            number, wait_ns = UNCOUNTED, 0  # this process is about to break off what runs
        except asyncio.CancelledError:
            asking.add_done_callback(self._give_back)
            if slot is not None:
                slot.free()
            raise
        now_ns = self._clock.monotonic_ns()
        if wait_ns:
            self._until_ns = now_ns + wait_ns
            if slot is not None:
                slot.free()
            return None
        return route.begin_counted(now_ns, _Place(self._link, number), slot, again=again)

    def _give_back(self, asking: asyncio.Future[tuple[int, int]]) -> None:
        if not asking.cancelled() and asking.exception() is None:
            _Place(self._link, asking.result()[0]).end(0, 0)


class _Place:
    """One request among those that another process counts."""

    __slots__ = ("_link", "_number")

    def __init__(self, link: Link, number: int) -> None:
        self._link = link
        self._number = number

    def end(self, now_ns: int, used_tokens: int) -> None:
        if self._number != UNCOUNTED:
            self._link.tell("limits.end", self._number, used_tokens)


class HealthDesk:
    """What one worker tells of the health that this process keeps, and asks of its limits."""

    def __init__(self, health: Health, clock: Clock, spread: Callable[..., None]) -> None:
        """spread: tells the other workers: (name, *values)."""
        self._health = health
        self._now_ns = clock.monotonic_ns
        self._spread = spread
        self._number = UNCOUNTED
        self._taken: dict[int, Taken] = {}

    def answers(self) -> Mapping[str, Answer]:
        return {"circuit": self._change, "outcome": self._outcome, "limits.take": self._take, "limits.end": self._end}

    def close(self) -> None:
        """The worker is gone."""
        while self._taken:
            self._end(next(iter(self._taken)), 0)

    def _change(self, key: str, said: Said) -> None:
        self._health.hear(key, said)
        self._spread("circuit", key, said)

    def _outcome(self, key: str, failed: bool) -> None:
        self._health.hear_outcome(key, failed)
        self._spread("outcome", key, failed)

    def _take(self, key: str, tokens: int) -> tuple[int, int]:
        """Returns (what to end, 0), or (0, how long until there may be a place)."""
        limits, now_ns = self._health.limits(key), self._now_ns()
        if limits is None:
            return UNCOUNTED, 0
        if wait_ns := limits.wait_ns(now_ns, tokens):
            return UNCOUNTED, wait_ns
        self._number += 1
        self._taken[self._number] = limits.take(now_ns, tokens)
        return self._number, 0

    def _end(self, number: int, used_tokens: int) -> None:
        self._taken.pop(number).end(self._now_ns(), used_tokens)
