"""The ledger's entries, page by page, in slices short enough that admissions don't wait for them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, or_, select

from proxy.storage.tables import entry, price
from proxy.storage.writer import Writer

SLICE_ROWS = 5_000
"""Entries looked at in one go, a few milliseconds."""
READ_ROWS = 250
"""Entries taken in one go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An amount moved from one account to another, as it stands in the ledger."""

    id: int
    request_id: str
    """Of a request or, for a credit or an adjustment, the operation's."""
    kind: str
    debit: str
    """The account it was taken from: "wallet:team-a", "key:ci", "operator" or "external"."""
    credit: str
    """The account it went to: "provider:ark", "wallet:team-a", "exposure" or "external"."""
    amount: int
    price: str
    """The price that made it, as JSON; "" where none did."""
    actor: str
    line: str
    """How the amount comes about, or the reason that was given."""
    at_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which entries."""

    since_ns: int = 0
    until_ns: int = 2**63 - 1
    """Exclusive."""
    account: str = ""
    """Debited or credited; "": any."""
    kind: str = ""


class Entries:
    """Reads through the writer's connection."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def page(self, wanted: Wanted | None = None, *, after_id: int = 0, limit: int = 1000) -> list[Entry]:
        """The oldest `limit` entries after one of that id, oldest first. Raises: LedgerUnavailable."""
        conditions = _conditions(wanted or Wanted())
        last_id, found = await self._last_id(), list[Entry]()
        while after_id < last_id and len(found) < limit:
            end_id = after_id + SLICE_ROWS
            statement = _statement(conditions).where(entry.c.id > after_id, entry.c.id <= end_id).order_by(entry.c.id)
            few = min(limit - len(found), READ_ROWS)
            rows = await self._writer.run(partial(_read, statement.limit(few)))
            found += rows
            after_id = rows[-1].id if len(rows) == few else end_id
        return found

    async def latest(self, wanted: Wanted, *, limit: int) -> list[Entry]:
        """The newest `limit` entries, newest first. Raises: LedgerUnavailable."""
        conditions = _conditions(wanted)
        end_id, found = await self._last_id(), list[Entry]()
        while end_id > 0 and len(found) < limit:
            start_id = end_id - SLICE_ROWS
            inside = (entry.c.id > start_id, entry.c.id <= end_id)
            statement = _statement(conditions).where(*inside).order_by(entry.c.id.desc())
            few = min(limit - len(found), READ_ROWS)
            rows = await self._writer.run(partial(_read, statement.limit(few)))
            found += rows
            end_id = rows[-1].id - 1 if len(rows) == few else start_id
        return found

    async def _last_id(self) -> int:
        newest = select(func.coalesce(func.max(entry.c.id), 0))
        return await self._writer.run(lambda connection: connection.execute(newest).scalar_one())


def _conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    conditions = [entry.c.at_ns >= wanted.since_ns, entry.c.at_ns < wanted.until_ns]
    if wanted.account:
        conditions.append(or_(entry.c.debit == wanted.account, entry.c.credit == wanted.account))
    if wanted.kind:
        conditions.append(entry.c.kind == wanted.kind)
    return conditions


def _statement(conditions: list[ColumnElement[bool]]) -> Select[Any]:
    stored = [column for column in entry.c if column.name not in ("price_id", "leg")]
    stamp = func.coalesce(price.c.stamp, "").label("price")
    return select(*stored, stamp).outerjoin(price, price.c.id == entry.c.price_id).where(*conditions)


def _read(statement: Select[Any], connection: Connection) -> list[Entry]:
    return [Entry(**row) for row in connection.execute(statement).mappings()]
