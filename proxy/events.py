"""Live requests for those who follow them: each is told when it is over, without prompts, answers or keys.

Nobody waits for a follower. One that is too slow loses the oldest of what waits for it, and is told how many that were.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from proxy.context import Outcome, RequestContext
from proxy.money import nano_to_usd
from proxy.spanquery import iso_ms

MOST_WAITING = 1_000
"""Events that wait for one follower."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which requests to tell of."""

    key: str | None = None
    model: str | None = None
    errors: bool = False
    """Only those that were refused or failed."""

    def takes(self, event: Mapping[str, Any]) -> bool:
        return (
            self.key in (None, event["key"])
            and self.model in (None, event["model"])
            and (event["status"] >= 400 or not self.errors)
        )


class Follower:
    """What waits for one of those who follow."""

    def __init__(self, wanted: Filter) -> None:
        self._wanted = wanted
        self._waiting: deque[Mapping[str, Any]] = deque()
        self._lost = 0
        self._news = asyncio.Event()
        self._over = False

    def offer(self, event: Mapping[str, Any]) -> None:
        if not self._wanted.takes(event):
            return
        if len(self._waiting) == MOST_WAITING:
            self._waiting.popleft()
            self._lost += 1
        self._waiting.append(event)
        self._news.set()

    def end(self) -> None:
        self._over = True
        self._news.set()

    async def next(self) -> tuple[int, list[Mapping[str, Any]]] | None:
        """(how many were lost, those that came after them), once there are some; None: there will be no more."""
        await self._news.wait()
        self._news.clear()
        if self._over and not self._waiting:
            return None
        lost, events = self._lost, list(self._waiting)
        self._lost = 0
        self._waiting.clear()
        if self._over:
            self._news.set()
        return lost, events


class Events:
    """Tells every follower of every request that is over."""

    def __init__(self) -> None:
        self._followers: set[Follower] = set()
        self._over = False
        self.forward: Callable[[Mapping[str, Any]], None] | None = None
        """Tells another process, whose followers want to know."""
        self.on_followed: Callable[[bool], None] | None = None
        """Told when the first follower has come and when the last one has left."""

    @property
    def followed(self) -> bool:
        """Whether it is worth telling."""
        return bool(self._followers) or self.forward is not None

    @contextmanager
    def follow(self, wanted: Filter) -> Iterator[Follower]:
        follower = Follower(wanted)
        self._followers.add(follower)
        if self.on_followed is not None and len(self._followers) == 1:
            self.on_followed(True)
        if self._over:
            follower.end()
        try:
            yield follower
        finally:
            self._followers.discard(follower)
            if self.on_followed is not None and not self._followers:
                self.on_followed(False)

    def tell(self, event: Mapping[str, Any]) -> None:
        """event: as `event_of` makes it."""
        for follower in self._followers:
            follower.offer(event)
        if self.forward is not None:
            self.forward(event)

    def close(self) -> None:
        """Let every follower end with what it has."""
        self._over = True
        for follower in self._followers:
            follower.end()


def event_of(ctx: RequestContext, outcome: Outcome) -> dict[str, Any]:
    """What is told of a request. Nothing in it is a client's own text: an unknown model has no name."""
    charge, usage = outcome.charge, outcome.usage
    return {
        "at": iso_ms(ctx.received_ns),
        "request_id": ctx.request_id,
        "key": ctx.principal.id if ctx.principal else None,
        "model": ctx.model.name if ctx.model else None,
        "route": outcome.target.label if outcome.target else None,
        "attempts": [{"route": attempt.target.label, "outcome": attempt.outcome} for attempt in outcome.attempts],
        "status": outcome.status,
        "code": outcome.code or None,
        "stage": outcome.stage or None,
        "end": outcome.end,
        "stream": ctx.chat.stream if ctx.chat else None,
        "input_tokens": usage.input_tokens if usage else None,
        "output_tokens": usage.output_tokens if usage else None,
        "estimated": usage.estimated if usage else None,
        "debit_usd": nano_to_usd(charge.amount_nanousd) if charge else None,
        "latency_ms": round(outcome.latency_s * 1000, 1),
        "first_token_ms": None if outcome.first_token_s is None else round(outcome.first_token_s * 1000, 1),
        "overhead_ms": round(outcome.overhead_s * 1000, 2),
    }
