"""Timeouts for whatever a request waits for: one timer for all of them, exact to a tenth of a second.

asyncio.timeout makes, sorts and cancels a timer each time; a stream has one for every piece, and hardly any ever expires.
"""

from __future__ import annotations

import asyncio
from functools import cached_property
from math import inf
from types import TracebackType
from typing import Protocol

TICK_S = 0.1
NEVER = inf


class Overdue(TimeoutError):
    """What was to be over by a deadline isn't."""


class Deadline(Protocol):
    """Something that is to be over in time."""

    when_s: float
    """In the loop's time; may change while it is watched."""

    def expire(self) -> None: ...


class Deadlines:
    """`with deadlines.until(loop_time):` raises Overdue, a tick late at most, if its body still waits then."""

    def __init__(self) -> None:
        self._open: set[Deadline] = set()
        self._timer: asyncio.TimerHandle | None = None

    @cached_property
    def loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    def until(self, when_s: float) -> _Deadline:
        """when_s: in the loop's time."""
        return _Deadline(self, when_s)

    def add(self, deadline: Deadline) -> None:
        """Watch it until it expires or is discarded."""
        self._open.add(deadline)
        if self._timer is None:
            self._timer = self.loop.call_later(TICK_S, self._tick)

    def discard(self, deadline: Deadline) -> None:
        self._open.discard(deadline)

    def _tick(self) -> None:
        now_s = self.loop.time()
        try:
            for deadline in [deadline for deadline in self._open if deadline.when_s <= now_s]:
                self._open.discard(deadline)
                deadline.expire()
        finally:
            # One that raises is the loop's to tell; the others are due at the next tick.
            self._timer = self.loop.call_later(TICK_S, self._tick) if self._open else None


class _Deadline:
    """One body that must be over in time; works as asyncio.timeout does, by a cancellation that it takes back."""

    __slots__ = ("_cancelling", "_expired", "_owner", "_task", "when_s")

    def __init__(self, owner: Deadlines, when_s: float) -> None:
        self._owner = owner
        self._expired = False
        self.when_s = when_s

    def expire(self) -> None:
        self._expired = True
        self._task.cancel()

    def __enter__(self) -> None:
        task = asyncio.current_task(self._owner.loop)
        assert task is not None
        self._task, self._cancelling = task, task.cancelling()
        self._owner.add(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._owner.discard(self)
        if self._expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise Overdue from error
