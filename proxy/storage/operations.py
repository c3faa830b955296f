"""What is asked of the writer: each operation carries its question, and the future that waits for the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Any

from sqlalchemy import Connection

from proxy.context import Charge
from proxy.errors import RequestError
from proxy.storage.books import Books
from proxy.storage.keys import KeyRecord
from proxy.storage.ledger import Exposure, Posting, Prospect, Subject, UsageRow, Window


class Operation:
    """One step in the books."""

    __slots__ = ("future",)
    lasting = False
    """It tells what has happened: kept and tried again until it is written."""

    def __init__(self, future: asyncio.Future[Any] | None = None) -> None:
        self.future = future

    def apply(self, books: Books) -> Any:
        """Returns the answer; an exception is answered too, not raised."""
        raise NotImplementedError


class Reserve(Operation):
    """Hold an amount."""

    __slots__ = ("amount", "find_key", "floor", "request_id", "subject", "windows")

    def __init__(
        self,
        future: asyncio.Future[Any] | None,
        request_id: str,
        amount: int,
        windows: Sequence[Window],
        floor: int | None,
        subject: Subject,
        find_key: Callable[[str], KeyRecord | None] | None = None,
    ) -> None:
        """find_key: {digest: key of the store}, as the writer's thread knows them."""
        self.future = future
        self.request_id = request_id
        self.amount = amount
        self.windows = windows
        self.floor = floor
        self.subject = subject
        self.find_key = find_key

    def apply(self, books: Books) -> Any:
        digest = self.subject.key_digest
        record = self.find_key(digest) if digest and self.find_key is not None else None
        return books.reserve(self.request_id, self.amount, self.windows, self.floor, self.subject, record)


class Foresee(Operation):
    """What holding an amount would come to."""

    __slots__ = ("amount", "floor", "windows")

    def __init__(self, future: asyncio.Future[Any], amount: int, windows: Sequence[Window], floor: int | None) -> None:
        self.future = future
        self.amount = amount
        self.windows = windows
        self.floor = floor

    def apply(self, books: Books) -> Prospect:
        return books.foresee(self.amount, self.windows, self.floor)


class Commit(Operation):
    """The end of a request."""

    __slots__ = ("exposures", "postings", "row")
    lasting = True

    def __init__(
        self,
        future: asyncio.Future[Any] | None,
        postings: Sequence[Posting],
        row: UsageRow | None,
        exposures: Sequence[Exposure] = (),
    ) -> None:
        self.future = future
        self.postings = postings
        self.row = row
        self.exposures = exposures

    def apply(self, books: Books) -> None:
        books.commit(self.postings, self.row, self.exposures)


class Expose(Operation):
    """A request is sent once more."""

    __slots__ = ("exposures", "request_id", "windows")

    def __init__(
        self,
        future: asyncio.Future[Any] | None,
        request_id: str,
        exposures: Sequence[Exposure],
        windows: Sequence[Window],
    ) -> None:
        self.future = future
        self.request_id = request_id
        self.exposures = exposures
        self.windows = windows

    def apply(self, books: Books) -> RequestError | None:
        return books.expose(self.request_id, self.exposures, self.windows)


class Mark(Operation):
    """A request goes to a provider or, with a charge, has come to so much."""

    __slots__ = ("charge", "provider", "request_id", "route")
    lasting = True

    def __init__(self, request_id: str, charge: Charge | None, route: str = "", provider: str = "") -> None:
        self.future = None
        self.request_id = request_id
        self.charge = charge
        self.route = route
        self.provider = provider

    def apply(self, books: Books) -> None:
        books.mark(self.request_id, self.charge, self.route, self.provider)


class Abandon(Operation):
    """Whoever ran these requests is gone: what is open of them is settled on their last checkpoints."""

    __slots__ = ("request_ids",)
    lasting = True

    def __init__(self, future: asyncio.Future[Any] | None, request_ids: Collection[str]) -> None:
        self.future = future
        self.request_ids = request_ids

    def apply(self, books: Books) -> None:
        books.abandon(self.request_ids)


class Credit(Operation):
    """Money into a wallet, or out of it."""

    __slots__ = ("actor", "amount", "kind", "line", "operation_id", "wallet", "window")

    def __init__(
        self,
        future: asyncio.Future[Any],
        wallet: str,
        window: Window,
        amount: int,
        operation_id: str,
        kind: str,
        actor: str,
        line: str,
    ) -> None:
        self.future = future
        self.wallet = wallet
        self.window = window
        self.amount = amount
        self.operation_id = operation_id
        self.kind = kind
        self.actor = actor
        self.line = line

    def apply(self, books: Books) -> Any:
        return books.credit(self.wallet, self.window, self.amount, self.operation_id, self.kind, self.actor, self.line)


class Call(Operation):
    """Something else to do on the connection, in a transaction of its own: reports, keys."""

    __slots__ = ("committed", "function")

    def __init__(
        self,
        future: asyncio.Future[Any],
        function: Callable[[Connection], Any],
        committed: Callable[[Any], None] | None = None,
    ) -> None:
        """committed: called with the answer as soon as it is durable, before anything else is written."""
        self.future = future
        self.function = function
        self.committed = committed


class Stop(Operation):
    """Write what is queued, then close."""

    __slots__ = ()
