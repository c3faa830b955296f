"""Does the ledger agree with itself? Everything that is kept twice is computed again and compared.

The work is cut into steps of a few milliseconds, so that a gateway goes on in between. That is sound because what a step
compares was written in one transaction or doesn't change any more: the windows are read at the beginning, and only what
was over by then is added up afterwards.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Row, and_, case, exists, func, literal, literal_column, or_, select

from proxy.money import price_of, usage_of
from proxy.storage.exposurechecks import Counted, reconciled
from proxy.storage.tables import entry, hold, hold_leg, meta, price, spending, subject, usage_row

SPENT = ("charge", "recovered", "late")
"""Entries that a request was charged by."""
MOVED = ("topup", "adjust")
COUNTS = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens")
KEPT_SINCE = "usage_kept_since_ns"
"""In `meta`: usage rows from before may be gone."""
LONGEST_REQUEST_NS = 86_400 * 10**9
SLICE_ROWS = 500
"""Looked at in one step."""
WHOLE_FILE_BYTES = 32 * 2**20
"""Up to this size SQLite checks the file as a whole; a larger one is checked when it is opened, or as it is read."""
Step = Callable[[Connection], Iterator[str]]
Within = Callable[[Column[Any]], ColumnElement[bool]]
"""Whether a column's value lies in the slice."""
Check = Callable[[Connection, Within], Iterator[str]]


def problems(connection: Connection) -> Iterator[str]:
    """Every disagreement, in words; nothing if there is none. All steps on one connection."""
    for step in steps():
        yield from step(connection)


def steps() -> Iterator[Step]:
    """What to do, each step in a transaction of its own, and to its end before the next is asked for."""
    windows, counted = Windows(), Counted()
    work = (
        Slices(hold.c.id, windows.holds),
        Slices(entry.c.id, windows.entries),
        Slices(hold.c.id, counted.holds),
        Slices(hold.c.id, _holds),
        Slices(hold.c.id, _legs),
        Slices(usage_row.c.request_id, _usage),
        Slices(entry.c.id, _entries),
        Slices(entry.c.id, _charges),
        Slices(price.c.id, _prices),
    )

    def begin(connection: Connection) -> Iterator[str]:
        for slices in work:
            slices.begin(connection)
        yield from windows.begin(connection)
        yield from counted.begin(connection)

    yield _file
    yield begin
    for slices in work:
        while slices.left:
            yield slices.check_next
    yield windows.end
    yield counted.end


class Slices:
    """A check over all rows that a table has at the beginning, slice after slice of its key."""

    def __init__(self, key: Column[Any], check: Check) -> None:
        self._key = key
        self._check = check
        self._done: Any = None
        self._last: Any = None

    @property
    def left(self) -> bool:
        return bool(self._done != self._last)

    def begin(self, connection: Connection) -> None:
        self._last = connection.scalar(select(func.max(self._key)))

    def check_next(self, connection: Connection) -> Iterator[str]:
        key, begun = self._key, self._done
        ahead = (key <= self._last,) if begun is None else (key > begun, key <= self._last)
        found = connection.scalar(select(key).where(*ahead).order_by(key).offset(SLICE_ROWS - 1).limit(1))
        end = self._done = self._last if found is None else found

        def within(column: Column[Any]) -> ColumnElement[bool]:
            return column <= end if begun is None else and_(column > begun, column <= end)

        return self._check(connection, within)


def _file(connection: Connection) -> Iterator[str]:
    if connection.dialect.name != "sqlite":
        return
    (pages,), (page_bytes,) = (connection.exec_driver_sql(f"PRAGMA {name}").one() for name in ("page_count", "page_size"))
    if pages * page_bytes <= WHOLE_FILE_BYTES:
        for (finding,) in connection.exec_driver_sql("PRAGMA quick_check"):
            if finding != "ok":
                yield f"the file: {finding}"


class Windows:
    """posted, pending and overrun of every window against holds; credit against entries."""

    def __init__(self) -> None:
        self._stored: list[Row[Any]] = []
        self._open: list[int] = []
        self._sums: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0, 0])
        """{spending: [posted, pending, overrun]}."""
        self._credits: defaultdict[str, int] = defaultdict(int)

    def begin(self, connection: Connection) -> Iterator[str]:
        """Read the windows, and which holds are open while they say so."""
        self._stored = list(connection.execute(select(spending)))
        self._open = list(connection.scalars(select(hold.c.id).where(hold.c.state == "open")))
        pending = select(hold_leg.c.spending_id, func.sum(hold.c.amount)).join(hold).where(hold.c.state == "open")
        for spending_id, amount in connection.execute(pending.group_by(hold_leg.c.spending_id)):
            self._sums[spending_id][1] += amount
        yield from ()

    def holds(self, connection: Connection, within: Within) -> Iterator[str]:
        """Add up what the holds of a slice posted that were over at the beginning."""
        first, last = connection.execute(select(func.min(hold.c.id), func.max(hold.c.id)).where(within(hold.c.id))).one()
        running = [hold_id for hold_id in self._open if first <= hold_id <= last]
        part = func.coalesce(hold_leg.c.posted, hold.c.posted)
        statement = (
            select(
                hold_leg.c.spending_id,
                func.sum(part),
                func.sum(case((part > hold.c.amount, part - hold.c.amount), else_=0)),
            )
            .join(hold)
            .where(within(hold_leg.c.hold_id), hold_leg.c.hold_id.not_in(running))
            .group_by(hold_leg.c.spending_id)
        )
        for spending_id, posted, overrun in connection.execute(statement):
            sums = self._sums[spending_id]
            sums[0] += posted
            sums[2] += overrun
        yield from ()

    def entries(self, connection: Connection, within: Within) -> Iterator[str]:
        """Add up what was moved into wallets and out of them."""
        statement = select(entry.c.debit, entry.c.credit, entry.c.amount).where(within(entry.c.id), entry.c.kind.in_(MOVED))
        for debit, credit, amount in connection.execute(statement):
            self._credits[debit] -= amount
            self._credits[credit] += amount
        yield from ()

    def end(self, connection: Connection) -> Iterator[str]:
        """Compare."""
        for row in self._stored:
            posted, pending, overrun = self._sums[row.id]
            credit = self._credits.pop(row.scope, 0) if row.period == "lifetime" else 0
            posted += row.carried
            true = {"posted": posted, "pending": pending, "overrun": overrun, "credit": credit}
            for name, value in true.items():
                if (stored := getattr(row, name)) != value:
                    yield f"{row.scope} {row.period} from {row.start_s}: {name} is {stored}, its holds and entries say {value}"
        for account, amount in self._credits.items():
            if account != "external" and amount:
                yield f"{account}: its entries say {amount}, but there is no such wallet"


def _spent(request_id: ColumnElement[str]) -> ColumnElement[int]:
    amounts = select(func.coalesce(func.sum(entry.c.amount), 0)).where(
        entry.c.request_id == request_id, entry.c.kind.in_(SPENT)
    )
    return amounts.scalar_subquery()


def _holds(connection: Connection, within: Within) -> Iterator[str]:
    """What each hold posted against its entries."""
    spent = _spent(hold.c.request_id)
    over = hold.c.state.in_(("posted", "recovered"))
    statement = select(hold, spent.label("spent")).where(
        within(hold.c.id), or_(and_(over, hold.c.posted != spent), and_(~over, hold.c.posted != 0))
    )
    for row in connection.execute(statement):
        yield f"hold of {row.request_id}: it posted {row.posted}, its entries say {row.spent}"
    other = hold.alias("other")
    settled = exists().where(other.c.request_id == hold.c.request_id, other.c.state != literal_column("'void'"))
    for row in connection.execute(
        select(hold.c.request_id, spent.label("spent")).where(within(hold.c.id), hold.c.state == "void", spent != 0, ~settled)
    ):
        yield f"hold of {row.request_id}: it is void, its entries say {row.spent}"
    exposed = (
        select(func.coalesce(func.sum(entry.c.amount), 0))
        .where(entry.c.request_id == hold.c.request_id, entry.c.kind == "exposure", entry.c.actor == "recovery")
        .scalar_subquery()
    )
    left = case((hold.c.amount > hold.c.posted, hold.c.amount - hold.c.posted), else_=0)
    recovered = select(hold.c.request_id).where(within(hold.c.id), hold.c.state == "recovered", exposed != left)
    for row in connection.execute(recovered):
        yield f"hold of {row.request_id}: its exposure is not what was held and not charged"
    for row in connection.execute(
        select(hold.c.request_id).where(within(hold.c.id), ~exists().where(subject.c.id == hold.c.subject_id))
    ):
        yield f"hold of {row.request_id}: whom it is for is not there"


def _legs(connection: Connection, within: Within) -> Iterator[str]:
    """Each hold's windows are there."""
    lost = (
        select(hold.c.request_id)
        .join(hold_leg)
        .where(within(hold_leg.c.hold_id), ~exists().where(spending.c.id == hold_leg.c.spending_id))
    )
    for row in connection.execute(lost):
        yield f"hold of {row.request_id}: a window it stands in is not there"


def _usage(connection: Connection, within: Within) -> Iterator[str]:
    """Each usage row's debit against its entries, and who paid against whose row it is."""
    spent = _spent(usage_row.c.request_id)
    for row in connection.execute(
        select(usage_row, spent.label("spent")).where(within(usage_row.c.request_id), usage_row.c.debit != spent)
    ):
        yield f"usage of {row.request_id}: its debit is {row.debit}, its entries say {row.spent}"
    account = case((subject.c.wallet != "", literal("wallet:") + subject.c.wallet), else_=literal("key:") + subject.c.key)
    provider = case((subject.c.provider != "", literal("provider:") + subject.c.provider), else_="provider")
    paid = (
        select(entry.c.request_id, entry.c.debit, entry.c.credit)
        .join(usage_row, usage_row.c.request_id == entry.c.request_id)
        .outerjoin(subject, subject.c.id == usage_row.c.subject_id)
        .where(
            within(usage_row.c.request_id),
            entry.c.kind.in_(SPENT),
            or_(subject.c.id.is_(None), entry.c.debit != account, entry.c.credit != provider),
        )
    )
    for row in connection.execute(paid):
        yield f"entry of {row.request_id}: {row.debit} paid {row.credit}, the usage row says otherwise"


def _entries(connection: Connection, within: Within) -> Iterator[str]:
    """Charges of requests that nothing else knows of, and of prices that are not there."""
    kept_since = connection.scalar(select(meta.c.value).where(meta.c.name == KEPT_SINCE))
    known = or_(
        exists().where(usage_row.c.request_id == entry.c.request_id),
        exists().where(hold.c.request_id == entry.c.request_id),
    )
    lone = select(entry.c.request_id).where(within(entry.c.id), entry.c.kind.in_((*SPENT, "exposure")), ~known)
    if kept_since is not None:
        lone = lone.where(entry.c.at_ns >= kept_since + LONGEST_REQUEST_NS)
    for row in connection.execute(lone):
        yield f"entry of {row.request_id}: no hold and no usage row knows of it"
    yield from reconciled(connection, within)
    unpriced = select(entry.c.request_id).where(
        within(entry.c.id), entry.c.price_id.is_not(None), ~exists().where(price.c.id == entry.c.price_id)
    )
    for row in connection.execute(unpriced):
        yield f"entry of {row.request_id}: the price that made it is not there"


def _charges(connection: Connection, within: Within) -> Iterator[str]:
    """Each charge against its tokens × its stamped price; those that a plugin priced its own way are taken as they are."""
    statement = (
        select(entry.c.request_id, entry.c.amount, price.c.stamp, usage_row)
        .join(price, price.c.id == entry.c.price_id)
        .join(usage_row, usage_row.c.request_id == entry.c.request_id)
        .where(within(entry.c.id), entry.c.kind == "charge")
    )
    for row in connection.execute(statement):
        try:
            stamp, also = json.loads(row.stamp), json.loads(row.also_counted or "{}")
            if not isinstance(stamp, dict) or "currency" not in stamp:
                continue
            counts = {name: getattr(row, name) for name in COUNTS}
            amount = price_of(stamp).amount_nanousd(usage_of({**counts, **also}))
        except (ValueError, TypeError, KeyError, ArithmeticError) as error:
            yield f"entry of {row.request_id}: its price or its counts can't be read ({type(error).__name__})"
            continue
        if amount != row.amount:
            yield f"entry of {row.request_id}: it charged {row.amount}, its tokens at its price come to {amount}"


def _prices(connection: Connection, within: Within) -> Iterator[str]:
    for row in connection.execute(select(price).where(within(price.c.id), func.json_valid(price.c.stamp) == 0)):
        yield f"price {row.id} is not readable"
