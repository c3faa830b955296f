"""Exposures against what is kept of them a second time: the gateway's windows, and what became of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, and_, func, or_, select

from proxy.storage.spendings import GATEWAY
from proxy.storage.tables import entry, hold, hold_leg, spending

if TYPE_CHECKING:
    from proxy.storage.verification import Within


class Counted:
    """What the gateway's windows counted of each request beside its charge."""

    def __init__(self) -> None:
        self._running: list[int] = []
        self._last_entry = 0
        self._legs: defaultdict[str, list[Row[Any]]] = defaultdict(list)
        """{request id: (hold, request, window, period, counted, entered) of its holds, window None where it counts in none}."""

    def begin(self, connection: Connection) -> Iterator[str]:
        """What is entered later belongs to holds that run now, or aren't made yet."""
        self._running = list(connection.scalars(select(hold.c.id).where(hold.c.state == "open")))
        self._last_entry = connection.scalar(select(func.max(entry.c.id))) or 0
        yield from ()

    def holds(self, connection: Connection, within: Within) -> Iterator[str]:
        """Gather the holds of a slice that were over at the beginning, and have to do with exposures."""
        first, last = connection.execute(select(func.min(hold.c.id), func.max(hold.c.id)).where(within(hold.c.id))).one()
        running = [hold_id for hold_id in self._running if first <= hold_id <= last]
        entered = (
            select(func.coalesce(func.sum(entry.c.amount), 0))
            .where(entry.c.request_id == hold.c.request_id, entry.c.kind == "exposure", entry.c.id <= self._last_entry)
            .scalar_subquery()
        )
        counted = func.coalesce(hold_leg.c.posted, hold.c.posted) - hold.c.posted
        gateways = hold_leg.join(spending, and_(spending.c.id == hold_leg.c.spending_id, spending.c.scope == GATEWAY))
        statement = (
            select(hold.c.id, hold.c.request_id, spending.c.id.label("window"), spending.c.period)
            .add_columns(counted.label("counted"), entered.label("entered"))
            .select_from(hold.outerjoin(gateways, hold_leg.c.hold_id == hold.c.id))
            .where(within(hold.c.id), hold.c.id.not_in(running), or_(entered > 0, counted != 0))
        )
        for row in connection.execute(statement):
            self._legs[row.request_id].append(row)
        yield from ()

    def end(self, connection: Connection) -> Iterator[str]:
        """No window counted more than was entered, and those of a period no less, if every hold of the request stood in one:
        what was entered before a window began is carried into it.
        """
        for request_id, legs in self._legs.items():
            entered, holds = legs[0].entered, {leg.id for leg in legs}
            windows: defaultdict[int | None, int] = defaultdict(int)
            for leg in legs:
                windows[leg.window] += leg.counted
            for period in sorted({leg.period for leg in legs if leg.window is not None}):
                here = [leg for leg in legs if leg.period == period]
                counted, most = sum(leg.counted for leg in here), max(windows[leg.window] for leg in here)
                if most > entered or (counted < entered and {leg.id for leg in here} == holds):
                    told = f"the gateway's {period} windows counted {counted}, its entries say {entered}"
                    yield f"exposure of {request_id}: {told}"


def reconciled(connection: Connection, within: Within) -> Iterator[str]:
    """What became of an exposure is all of it, or nothing yet."""
    part = entry.alias("part")
    exposed = select(func.coalesce(func.sum(entry.c.amount), 0)).where(
        entry.c.request_id == part.c.request_id, entry.c.kind == "exposure", entry.c.leg == part.c.leg // 2,
        entry.c.credit == part.c.debit,
    )  # fmt: skip
    other = entry.alias("other")
    whole = select(func.sum(other.c.amount)).where(
        other.c.request_id == part.c.request_id, other.c.kind == "reconciled", other.c.leg // 2 == part.c.leg // 2
    )
    wrong = select(part.c.request_id).where(
        within(part.c.id), part.c.kind == "reconciled", exposed.scalar_subquery() != whole.scalar_subquery()
    )
    for row in connection.execute(wrong):
        yield f"entry of {row.request_id}: what was reconciled is not what was exposed"
