"""A writer whose store another process owns: it takes the same operations, and has them done over a link.

    linked ──▶ lost         the owner is gone, and what it would have written can't be: everything is refused
           └─▶ owner        the owner has let go of the store, and this process opens it and goes on with its holds
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.engine import URL, make_url

from proxy.clock import Clock
from proxy.errors import GatewayError
from proxy.link import Link, LinkLost
from proxy.storage import wire
from proxy.storage.ledger import Posting
from proxy.storage.open_holds import OpenHolds
from proxy.storage.operations import Commit, Operation, Reserve
from proxy.storage.sqlite import StoreError
from proxy.storage.writer import QUEUE_LIMIT, Writer, unavailable

T = TypeVar("T")
NOWHERE = make_url("sqlite://")
ONLY_THE_OWNER = "only the process that owns the store can do this"


class LinkedWriter(Writer):
    """Used on one event loop until it owns the store."""

    def __init__(self, url: URL | None, durability: str, clock: Clock) -> None:
        """url: where the store is, if this process is to own it some day: what only the owner can do waits for that."""
        super().__init__(url or NOWHERE, durability, clock)
        self._link: Link | None = None
        self._heir = url is not None
        self._owns = False
        self._refusal = ""
        self._waiting: dict[Operation, None] = {}
        self._taken_over = self._open = OpenHolds()
        self._told: tuple[str | None, int] = (None, 0)

    @property
    def problem(self) -> str | None:
        return super().problem if self._owns else self._refusal or self._told[0]

    @property
    def unsettled(self) -> int:
        return super().unsettled if self._owns else self._told[1]

    @property
    def overloaded(self) -> bool:
        return super().overloaded if self._owns else len(self._waiting) > QUEUE_LIMIT

    def use(self, link: Link) -> None:
        self._link = link

    def state(self, problem: str | None, unsettled: int) -> None:
        """The owner says how the store is."""
        self._told = (problem, unsettled)

    def put(self, operation: Operation) -> None:
        if self._owns:
            super().put(operation)
        elif self._refusal:
            _answer(operation, unavailable(self._refusal))
        else:
            self._ask(operation)

    def note(self, operation: Operation) -> None:
        if self._owns:
            super().note(operation)
        else:
            self.put(operation)

    async def close(self) -> None:
        if self._owns:
            await super().close()
            return
        self._refusal = "the store is closed"
        if self._link is not None:
            self._link.close()

    def lost(self, why: str) -> None:
        """Nobody writes any more."""
        self._refusal = why
        waiting, self._waiting = self._waiting, {}
        for operation in waiting:
            _answer(operation, unavailable(why))

    async def inherit(self, first: Callable[[Connection], T]) -> T:
        """Own the store, which nobody owns any more, and do what was not answered. Returns what `first` finds in it.

        Raises: StoreError: it can be tried again.
        """
        self._link = None
        try:
            found = await asyncio.to_thread(self.start, first)
        except StoreError:
            self._over = ""
            raise
        self._owns = True
        waiting, self._waiting = self._waiting, {}
        for operation in waiting:
            if isinstance(operation, Reserve) and self._open.only(operation):
                # It may have been written: then it is given back, and made anew.
                super().put(Commit(None, (Posting(request_id=operation.request_id, charge=None),), None))
            super().put(operation)
        return found

    def _ask(self, operation: Operation) -> None:
        message = wire.encode(operation)
        if message is None and not self._heir:
            _answer(operation, unavailable(ONLY_THE_OWNER))
            return
        self._waiting[operation] = None
        self._open.asks(operation)
        if message is not None and self._link is not None:
            self._link.ask(partial(self._answered, operation), *message)

    def _answered(self, operation: Operation, answer: Any) -> None:
        if isinstance(answer, LinkLost) or operation not in self._waiting:
            return  # lost() or inherit() will see to it
        del self._waiting[operation]
        self._open.answered(operation, refused=isinstance(answer, GatewayError))
        _answer(operation, answer)


def _answer(operation: Operation, answer: Any) -> None:
    future = operation.future
    if future is None or future.done():
        return
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)
