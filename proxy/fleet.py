"""Fleet: the processes that serve together, as plugins see them. What each counts by itself can be gathered from all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from proxy.link import Link

Read = Callable[[], Any]
"""What this process has counted so far, as a value that JSON can carry."""
Absorb = Callable[[Any], None]
"""Adds to it what a process that has ended had counted."""


class Fleet(Protocol):
    """The processes that serve together; most often, one."""

    def offer(self, name: str, read: Read, absorb: Absorb) -> None:
        """Let what this process counts under a name be gathered. A later offer takes the place of an earlier one."""
        ...

    async def gather(self, name: str) -> Sequence[Any]:
        """What every process has counted, those that have ended included. What was once gathered is never lost.

        The process that owns the store comes first.
        """
        ...

    @property
    def workers(self) -> int:
        """How many processes serve, as far as this one knows."""
        ...

    @property
    def restarts(self) -> int:
        """How many of them ended by themselves and were replaced, as far as this one knows."""
        ...


class Alone:
    """One process does everything."""

    workers = 1
    restarts = 0

    def __init__(self) -> None:
        self.offers: dict[str, tuple[Read, Absorb]] = {}

    def offer(self, name: str, read: Read, absorb: Absorb) -> None:
        self.offers[name] = (read, absorb)

    def read(self, name: str) -> Any:
        """What this process alone has counted; None if nothing is offered under that name."""
        offered = self.offers.get(name)
        return None if offered is None else offered[0]()

    async def gather(self, name: str) -> Sequence[Any]:
        return [self.read(name)]


class Member(Alone):
    """One of several: the process at the other end of a link knows them all."""

    def __init__(self, link: Link, workers: int) -> None:
        super().__init__()
        self._link = link
        self.workers = workers

    async def gather(self, name: str) -> Sequence[Any]:
        """Raises: LinkLost."""
        gathered: Sequence[Any] = await self._link.call("gather", name)
        return gathered
