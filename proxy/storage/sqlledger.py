"""The Ledger over a writer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from proxy.context import Charge
from proxy.storage.keys import KeyRecord
from proxy.storage.ledger import Exposure, Posting, Prospect, Subject, UsageRow, Window
from proxy.storage.operations import Commit, Expose, Foresee, Mark, Reserve
from proxy.storage.records import checked_amount
from proxy.storage.spendings import GATEWAY
from proxy.storage.writer import Writer, unavailable

NOBODY = Subject(key="")


class SqlReservation:
    """A hold that stands in the ledger."""

    __slots__ = ("_request_id", "_windows", "_writer", "amount_nanousd")

    def __init__(self, writer: Writer, request_id: str, amount_nanousd: int, windows: Sequence[Window] = ()) -> None:
        self._writer = writer
        self._request_id = request_id
        self._windows = windows
        self.amount_nanousd = amount_nanousd

    def settle(self, charge: Charge) -> Posting:
        """Raises: ValueError: the amount is no integer of nano-USD, negative or above MAX_NANOUSD."""
        checked_amount(charge.amount_nanousd)
        return Posting(request_id=self._request_id, charge=charge)

    def void(self) -> Posting:
        return Posting(request_id=self._request_id, charge=None)

    def dispatched(self, *, route: str = "", provider: str = "") -> None:
        self._writer.note(Mark(self._request_id, None, route, provider))

    async def expose(self, exposures: Sequence[Exposure]) -> None:
        """Raises: BudgetExhausted, LedgerUnavailable."""
        gateways = [window for window in self._windows if window.scope == GATEWAY]
        await self._writer.ask(lambda future: Expose(future, self._request_id, exposures, gateways))

    def checkpoint(self, charge: Charge) -> None:
        checked_amount(charge.amount_nanousd)
        self._writer.note(Mark(self._request_id, charge))


class SqlLedger:
    """Reserves and commits in the writer's batches."""

    def __init__(self, writer: Writer, find_key: Callable[[str], KeyRecord | None]) -> None:
        """find_key: {digest: key of the store}; called in the writer's thread."""
        self._writer = writer
        self._find_key = find_key

    @property
    def problem(self) -> str | None:
        """What keeps the store from writing, None if nothing does."""
        return self._writer.problem

    @property
    def unsettled(self) -> int:
        """How many holds are open."""
        return self._writer.unsettled

    async def reserve(
        self,
        request_id: str,
        amount_nanousd: int,
        windows: Sequence[Window],
        *,
        floor_nanousd: int | None = None,
        subject: Subject | None = None,
    ) -> SqlReservation:
        """Raises: BudgetExhausted, WalletEmpty, Unauthenticated, LedgerUnavailable; ValueError: the amount is none."""
        checked_amount(amount_nanousd)
        if self._writer.overloaded:
            raise unavailable("too many operations are waiting")
        try:
            held: int = await self._writer.ask(
                lambda future: Reserve(
                    future, request_id, amount_nanousd, windows, floor_nanousd, subject or NOBODY, self._find_key
                )
            )
        except asyncio.CancelledError:
            # Whoever asked is gone, and the hold may have been made: give it back, in the order of the queue.
            self._writer.put(Commit(None, (Posting(request_id=request_id, charge=None),), None))
            raise
        return SqlReservation(self._writer, request_id, held, windows)

    async def foresee(self, amount_nanousd: int, windows: Sequence[Window], *, floor_nanousd: int | None = None) -> Prospect:
        """Raises: LedgerUnavailable; ValueError: the amount is none."""
        checked_amount(amount_nanousd)
        if self._writer.problem is not None:
            raise unavailable(self._writer.problem)
        prospect: Prospect = await self._writer.ask(lambda future: Foresee(future, amount_nanousd, windows, floor_nanousd))
        return prospect

    async def commit(self, postings: Sequence[Posting], row: UsageRow | None, exposures: Sequence[Exposure] = ()) -> None:
        """Raises: LedgerUnavailable: not durable yet; it is kept and written as soon as the store can."""
        for posting in postings:
            if posting.charge is not None:
                checked_amount(posting.charge.amount_nanousd)
        if row is not None:
            checked_amount(row.debit_nanousd)
        await self._writer.ask(lambda future: Commit(future, postings, row, exposures))
