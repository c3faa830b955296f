"""The usage log, request by request, in slices short enough that admissions don't wait for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, or_, select

from proxy.storage.tables import entry, subject, usage_row
from proxy.storage.writer import Writer

SLICE_ROWS = 2_000
"""Rows looked at in one go, a few milliseconds."""
READ_ROWS = 200
"""Rows taken in one go."""
FILTERS = ("key", "wallet", "model", "family", "route", "provider", "user", "request")
"""What requests are chosen by; "request" is our id or the client's."""
Place = tuple[int, str]
"""Where a page ended: received_ns and request_id of its last request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedRequest:
    """One request, as the usage log keeps it; amounts in nano-USD."""

    request_id: str
    client_request_id: str
    received_ns: int
    key: str
    wallet: str
    user: str
    model: str
    family: str
    route: str
    provider: str
    attempts: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    reasoning_tokens: int
    estimated: bool
    debit: int
    cost: int | None
    price_line: str
    latency_ms: int
    first_token_ms: int | None
    overhead_ms: int
    status: int
    code: str
    ended: str
    stream: bool

    @property
    def place(self) -> Place:
        return self.received_ns, self.request_id


class RequestLog:
    """Reads through the writer's connection."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def page(
        self, since_ns: int, until_ns: int, where: Mapping[str, str], *, limit: int, before: Place | None = None
    ) -> list[LoggedRequest]:
        """Requests received from `since_ns` to before `until_ns`, the newest first.

        where: {one of FILTERS: what it must be, exactly}. before: the place of the page before. Raises: LedgerUnavailable.
        """
        conditions = [_condition(name, value) for name, value in where.items()]
        found: list[LoggedRequest] = []
        place: Place | None = before or (until_ns, "")
        while place is not None and len(found) < limit:
            few = min(limit - len(found), READ_ROWS)
            rows, place = await self._writer.run(partial(_slice, since_ns, place, conditions, few))
            found += rows
        return found


def _condition(name: str, value: str) -> ColumnElement[bool]:
    match name:
        case "request":
            return or_(usage_row.c.request_id == value, usage_row.c.client_request_id == value)
        case "user":
            return usage_row.c.user == value
        case _:
            return subject.c[name] == value


def _slice(
    since_ns: int, before: Place, conditions: Sequence[ColumnElement[bool]], limit: int, connection: Connection
) -> tuple[list[LoggedRequest], Place | None]:
    """At most `limit` out of the next few thousand rows, and the place where to go on; None: there are no more."""
    received, request_id = usage_row.c.received_ns, usage_row.c.request_id
    newest_first = (received.desc(), request_id.desc())
    older = and_(received <= before[0], or_(received < before[0], request_id < before[1]))
    ahead = select(received, request_id).where(received >= since_ns, older).order_by(*newest_first)
    last = connection.execute(ahead.offset(SLICE_ROWS - 1).limit(1)).first()
    # SQLite looks up one lower bound, whichever stands first.
    inside = received >= since_ns
    if last is not None:
        inside = and_(received >= last[0], or_(received > last[0], request_id >= last[1]))
    line = (
        select(entry.c.line)
        .where(entry.c.request_id == request_id, entry.c.kind.in_(("charge", "recovered")))
        .limit(1)
        .scalar_subquery()
    )
    columns = [column for column in (*usage_row.c, *subject.c) if column.name in NAMES]
    statement = select(*columns, line.label("price_line")).join(subject).where(inside, older, *conditions)
    rows = [_logged(row) for row in connection.execute(statement.order_by(*newest_first).limit(limit)).mappings()]
    if len(rows) == limit:
        return rows, rows[-1].place
    return rows, None if last is None else (last[0], last[1])


def _logged(row: Mapping[Any, Any]) -> LoggedRequest:
    flags = {name: bool(row[name]) for name in ("estimated", "stream")}
    return LoggedRequest(**{**row, **flags, "price_line": row["price_line"] or ""})


NAMES = frozenset(field.name for field in fields(LoggedRequest))
