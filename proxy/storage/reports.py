"""Reading the usage log and the ledger, in slices short enough that admissions don't wait for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

from sqlalchemy import Connection, case, delete, func, select
from sqlalchemy.dialects.sqlite import insert

from proxy.calendar import Calendar
from proxy.storage import verification
from proxy.storage.tables import entry, meta, subject, usage_row
from proxy.storage.writer import Writer

GROUPS = ("key", "wallet", "model", "family", "route", "provider", "user", "day")
SLICE_ROWS = 5_000
"""About 3 ms."""
SECOND_NS = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageSums:
    """What the requests of one group add up to; amounts in nano-USD."""

    group: Mapping[str, str]
    """{"key": "ci", "day": "2026-11-20"}: as asked for, in that order."""
    requests: int = 0
    estimated: int = 0
    """Requests whose tokens are our own estimate."""
    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    debit_nanousd: int = 0
    cost_nanousd: int = 0
    """Of those whose vendor's price is known."""
    uncosted: int = 0
    """Requests whose vendor's price is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An amount moved from one account to another, as it stands in the ledger."""

    id: int
    request_id: str
    kind: str
    debit: str
    credit: str
    amount: int
    actor: str
    line: str
    at_ns: int


SUMS = tuple(field.name for field in fields(UsageSums) if field.name != "group")
Sums = list[int]


class Reports:
    """Reads through the writer's connection."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def unsettled(self) -> int:
        """How many holds are open. Answers from memory."""
        return self._writer.unsettled

    async def usage(self, group_by: Sequence[str], since_ns: int, until_ns: int, timezone: str = "UTC") -> list[UsageSums]:
        """What was used from `since_ns` to before `until_ns`, one item a group, in the order of the groups.

        group_by: any of GROUPS; days are the timezone's. Raises: ValueError: no such group; LedgerUnavailable.
        """
        if unknown := set(group_by) - set(GROUPS):
            raise ValueError(f"usage is grouped by {', '.join(GROUPS)}, not by {', '.join(sorted(unknown))}")
        found: dict[tuple[str, ...], Sums] = {}
        since_ns, until_ns, labels = await self._writer.run(lambda connection: _extent(connection, since_ns, until_ns))
        calendar = Calendar()
        await calendar.load(timezone)
        while since_ns < until_ns:
            end_ns, day = until_ns, ""
            if "day" in group_by:
                start_s, end_s = calendar.day(since_ns // SECOND_NS, timezone)
                end_ns = min(until_ns, end_s * SECOND_NS)
                day = calendar.date(start_s, timezone).isoformat()
            since_ns, rows = await self._writer.run(partial(_slice, since_ns, end_ns, "user" in group_by))
            for subject_id, user, *sums in rows:
                about = {**labels.get(subject_id, {}), "user": user, "day": day}
                group = tuple(about.get(name, "") for name in group_by)
                known = found.get(group)
                found[group] = sums if known is None else [old + new for old, new in zip(known, sums, strict=True)]
        return [
            UsageSums(group=dict(zip(group_by, group, strict=True)), **dict(zip(SUMS, sums, strict=True)))
            for group, sums in sorted(found.items())
        ]

    async def entries(self, *, after_id: int = 0, limit: int = 1000) -> list[Entry]:
        """A page of the ledger, oldest first: the entries after one of that id."""
        columns = [entry.c[field.name] for field in fields(Entry)]
        statement = select(*columns).where(entry.c.id > after_id).order_by(entry.c.id).limit(limit)

        def read(connection: Connection) -> list[Entry]:
            return [Entry(**row) for row in connection.execute(statement).mappings()]

        return await self._writer.run(read)

    async def verify(self) -> list[str]:
        """Compute everything anew. Returns each disagreement in words."""
        return await self._writer.run(lambda connection: list(verification.problems(connection)))

    async def forget(self, before_ns: int) -> int:
        """Delete the usage rows from before; ledger entries stay. Returns how many."""
        noted = insert(meta).values(name=verification.KEPT_SINCE, value=before_ns)
        noted = noted.on_conflict_do_update(index_elements=["name"], set_={"value": noted.excluded.value})
        old = select(usage_row.c.request_id).where(usage_row.c.received_ns < before_ns).limit(SLICE_ROWS // 10)
        statement = delete(usage_row).where(usage_row.c.request_id.in_(old))

        def remove(connection: Connection) -> int:
            connection.execute(noted)
            return connection.execute(statement).rowcount

        total = 0
        while removed := await self._writer.run(remove):
            total += removed
        return total


def _extent(connection: Connection, since_ns: int, until_ns: int) -> tuple[int, int, dict[int, dict[str, str]]]:
    """The part of a span that has rows, and the labels of every subject."""
    received = usage_row.c.received_ns
    inside = (received >= since_ns, received < until_ns)
    first = connection.scalar(select(received).where(*inside).order_by(received).limit(1))
    last = connection.scalar(select(received).where(*inside).order_by(received.desc()).limit(1))
    labels = {row["id"]: {**row} for row in connection.execute(select(subject)).mappings()}
    if first is None or last is None:
        return until_ns, until_ns, labels
    return first, last + 1, labels


def _slice(start_ns: int, end_ns: int, by_user: bool, connection: Connection) -> tuple[int, list[Any]]:
    """Sums of the next few thousand rows. Returns where the next slice begins, and (subject, user, *SUMS) rows."""
    received = usage_row.c.received_ns
    ahead = select(received).where(received >= start_ns, received < end_ns).order_by(received)
    following = connection.scalar(ahead.limit(1).offset(SLICE_ROWS))
    # So many rows may carry one and the same nanosecond that it needs a slice of its own.
    end = end_ns if following is None else max(following, start_ns + 1)
    grouped = [usage_row.c.subject_id, *([usage_row.c.user] if by_user else [])]
    sums = (
        func.count(),
        func.sum(usage_row.c.estimated),
        func.sum(usage_row.c.input_tokens),
        func.sum(usage_row.c.cached_input_tokens),
        func.sum(usage_row.c.output_tokens),
        func.sum(usage_row.c.reasoning_tokens),
        func.sum(usage_row.c.debit),
        func.coalesce(func.sum(usage_row.c.cost), 0),
        func.sum(case((usage_row.c.cost.is_(None), 1), else_=0)),
    )
    statement = select(*grouped, *sums).where(received >= start_ns, received < end).group_by(*grouped)
    rows = [tuple(row) for row in connection.execute(statement)]
    return end, rows if by_user else [(row[0], "", *row[1:]) for row in rows]
