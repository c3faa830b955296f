"""Does the ledger agree with itself? Everything that is kept twice is computed again and compared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, case, exists, func, literal, or_, select

from proxy.storage.tables import entry, hold, hold_leg, meta, price, spending, subject, usage_row

SPENT = ("charge", "recovered", "late")
"""Entries that a request was charged by."""
KEPT_SINCE = "usage_kept_since_ns"
"""In `meta`: usage rows from before may be gone."""
LONGEST_REQUEST_NS = 86_400 * 10**9


def problems(connection: Connection) -> Iterator[str]:
    """Every disagreement, in words; nothing if there is none."""
    if connection.dialect.name == "sqlite":
        for (finding,) in connection.exec_driver_sql("PRAGMA quick_check"):
            if finding != "ok":
                yield f"the file: {finding}"
        for table, row, parent, _ in connection.exec_driver_sql("PRAGMA foreign_key_check"):
            yield f"{table} row {row}: what it refers to in {parent} is not there"
    yield from _spendings(connection)
    yield from _holds(connection)
    yield from _usage(connection)
    yield from _lone_entries(connection)
    for row in connection.execute(select(price).where(func.json_valid(price.c.stamp) == 0)):
        yield f"price {row.id} is not readable"


def _spendings(connection: Connection) -> Iterator[str]:
    """posted, pending and overrun against holds; credit against entries."""
    is_open = hold.c.state == "open"
    whole = hold_leg.c.posted.is_(None)
    legs = (
        select(
            hold_leg.c.spending_id.label("id"),
            func.sum(func.coalesce(hold_leg.c.posted, hold.c.posted)).label("posted"),
            func.sum(case((is_open, hold.c.amount), else_=0)).label("pending"),
            func.sum(case((and_(whole, hold.c.posted > hold.c.amount), hold.c.posted - hold.c.amount), else_=0)).label(
                "overrun"
            ),
        )
        .join(hold)
        .group_by(hold_leg.c.spending_id)
        .subquery()
    )
    moved = entry.c.kind.in_(("topup", "adjust"))
    given = select(func.coalesce(func.sum(entry.c.amount), 0)).where(moved, entry.c.credit == spending.c.scope)
    taken = select(func.coalesce(func.sum(entry.c.amount), 0)).where(moved, entry.c.debit == spending.c.scope)
    credit = case((spending.c.period == "lifetime", given.scalar_subquery() - taken.scalar_subquery()), else_=0)
    columns = [func.coalesce(legs.c[name], 0).label(f"true_{name}") for name in ("posted", "pending", "overrun")]
    statement = select(spending, *columns, credit.label("true_credit")).outerjoin(legs, legs.c.id == spending.c.id)
    for row in connection.execute(statement):
        for name in ("posted", "pending", "overrun", "credit"):
            stored, true = getattr(row, name), getattr(row, f"true_{name}")
            if stored != true:
                yield f"{row.scope} {row.period} from {row.start_s}: {name} is {stored}, its holds and entries say {true}"


def _spent(request_id: ColumnElement[str]) -> ColumnElement[int]:
    amounts = select(func.coalesce(func.sum(entry.c.amount), 0)).where(
        entry.c.request_id == request_id, entry.c.kind.in_(SPENT)
    )
    return amounts.scalar_subquery()


def _holds(connection: Connection) -> Iterator[str]:
    """What each hold posted against its entries."""
    spent = _spent(hold.c.request_id)
    over = hold.c.state.in_(("posted", "recovered"))
    statement = select(hold, spent.label("spent")).where(
        or_(and_(over, hold.c.posted != spent), and_(~over, hold.c.posted != 0))
    )
    for row in connection.execute(statement):
        yield f"hold of {row.request_id}: it posted {row.posted}, its entries say {row.spent}"
    exposed = (
        select(func.coalesce(func.sum(entry.c.amount), 0))
        .where(entry.c.request_id == hold.c.request_id, entry.c.kind == "exposure")
        .scalar_subquery()
    )
    left = case((hold.c.amount > hold.c.posted, hold.c.amount - hold.c.posted), else_=0)
    recovered = select(hold.c.request_id).where(hold.c.state == "recovered", exposed != left)
    for row in connection.execute(recovered):
        yield f"hold of {row.request_id}: its exposure is not what was held and not charged"


def _usage(connection: Connection) -> Iterator[str]:
    """Each usage row's debit against its entries, and who paid against whose row it is."""
    spent = _spent(usage_row.c.request_id)
    for row in connection.execute(select(usage_row, spent.label("spent")).where(usage_row.c.debit != spent)):
        yield f"usage of {row.request_id}: its debit is {row.debit}, its entries say {row.spent}"
    account = case((subject.c.wallet != "", literal("wallet:") + subject.c.wallet), else_=literal("key:") + subject.c.key)
    provider = case((subject.c.provider != "", literal("provider:") + subject.c.provider), else_="provider")
    paid: Select[Any] = (
        select(entry.c.request_id, entry.c.debit, entry.c.credit)
        .join(usage_row, usage_row.c.request_id == entry.c.request_id)
        .join(subject)
        .where(entry.c.kind.in_(SPENT), or_(entry.c.debit != account, entry.c.credit != provider))
    )
    for row in connection.execute(paid):
        yield f"entry of {row.request_id}: {row.debit} paid {row.credit}, the usage row says otherwise"


def _lone_entries(connection: Connection) -> Iterator[str]:
    """Charges of requests that nothing else knows of."""
    kept_since = connection.scalar(select(meta.c.value).where(meta.c.name == KEPT_SINCE))
    known = or_(
        exists().where(usage_row.c.request_id == entry.c.request_id),
        exists().where(hold.c.request_id == entry.c.request_id),
    )
    lone = select(entry.c.request_id).where(entry.c.kind.in_((*SPENT, "exposure")), ~known)
    if kept_since is not None:
        lone = lone.where(entry.c.at_ns >= kept_since + LONGEST_REQUEST_NS)
    for row in connection.execute(lone):
        yield f"entry of {row.request_id}: no hold and no usage row knows of it"
