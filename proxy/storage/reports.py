"""Adding up the usage log, checking and trimming the store, in slices short enough that admissions don't wait for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection, bindparam, case, delete, func, literal, select
from sqlalchemy.dialects.sqlite import insert

from proxy.calendar import Calendar
from proxy.storage import verification
from proxy.storage.tables import meta, subject, usage_row
from proxy.storage.writer import Writer

GROUPS = ("key", "wallet", "model", "family", "route", "provider", "user", "day")
SLICE_ROWS = 1_500
"""Some two milliseconds."""
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


SUMS = tuple(field.name for field in fields(UsageSums) if field.name != "group")
Sums = list[int]
Group = TypeVar("Group", bound=tuple[Any, ...])
NO_FILTER: Mapping[str, str] = {}


class Reports:
    """Reads through the writer's connection."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def unsettled(self) -> int:
        """How many holds are open. Answers from memory."""
        return self._writer.unsettled

    async def usage(
        self,
        group_by: Sequence[str],
        since_ns: int,
        until_ns: int,
        timezone: str = "UTC",
        where: Mapping[str, str] = NO_FILTER,
    ) -> list[UsageSums]:
        """What was used from `since_ns` to before `until_ns`, one item a group, in the order of the groups.

        group_by: any of GROUPS; days are the timezone's. where: {a group other than "day": what it must be, exactly}.
        Raises: ValueError: no such group; LedgerUnavailable.
        """
        if unknown := set(group_by) - set(GROUPS):
            raise ValueError(f"usage is grouped by {', '.join(GROUPS)}, not by {', '.join(sorted(unknown))}")
        since_ns, until_ns = await self._writer.run(lambda connection: _extent(connection, since_ns, until_ns))
        calendar = Calendar()
        await calendar.load(timezone)
        slices = Slices(frozenset((*group_by, *where)) - {"day"})
        by_id: dict[tuple[int, str, str], Sums] = {}
        while since_ns < until_ns:
            end_ns, day = until_ns, ""
            if "day" in group_by:
                start_s, end_s = calendar.day(since_ns // SECOND_NS, timezone)
                end_ns = min(until_ns, end_s * SECOND_NS)
                day = calendar.date(start_s, timezone).isoformat()
            since_ns, rows = await self._writer.run(partial(slices.read, since_ns, end_ns))
            for subject_id, user, *sums in rows:
                _add(by_id, (subject_id, user, day), sums)
        labels = await self._writer.run(_labels)
        found: dict[tuple[str, ...], Sums] = {}
        for (subject_id, user, day), sums in by_id.items():
            about = {**labels.get(subject_id, {}), "user": user, "day": day}
            if any(about[name] != value for name, value in where.items()):
                continue
            _add(found, tuple(about[name] for name in group_by), sums)
        return [
            UsageSums(group=dict(zip(group_by, group, strict=True)), **dict(zip(SUMS, sums, strict=True)))
            for group, sums in sorted(found.items())
        ]

    async def names(self, what: str) -> set[str]:
        """Every key, wallet, model, family, route or provider that requests were for, by name. Raises: LedgerUnavailable."""
        statement = select(subject.c[what]).distinct()
        return await self._writer.run(lambda connection: set(connection.scalars(statement)))

    async def verify(self) -> list[str]:
        """Compute everything anew. Returns each disagreement in words. Raises: LedgerUnavailable."""
        found: list[str] = []
        for step in verification.steps():
            found += await self._writer.run(partial(_listed, step))
        return found

    async def forget(self, before_ns: int) -> int:
        """Delete the usage rows from before; ledger entries stay. Returns how many. Raises: LedgerUnavailable."""
        noted = insert(meta).values(name=verification.KEPT_SINCE, value=before_ns)
        # What is gone doesn't come back when more is to be kept.
        later = case((noted.excluded.value > meta.c.value, noted.excluded.value), else_=meta.c.value)
        noted = noted.on_conflict_do_update(index_elements=["name"], set_={"value": later})
        old = select(usage_row.c.request_id).where(usage_row.c.received_ns < before_ns).limit(SLICE_ROWS // 4)
        statement = delete(usage_row).where(usage_row.c.request_id.in_(old))

        def remove(connection: Connection) -> int:
            connection.execute(noted)
            return connection.execute(statement).rowcount

        total = 0
        while removed := await self._writer.run(remove):
            total += removed
        return total


def _add(sums: dict[Group, Sums], group: Group, more: Sums) -> None:
    known = sums.get(group)
    sums[group] = more if known is None else [one + other for one, other in zip(known, more, strict=True)]


def _listed(step: verification.Step, connection: Connection) -> list[str]:
    return list(step(connection))


def _extent(connection: Connection, since_ns: int, until_ns: int) -> tuple[int, int]:
    """The part of a span that has rows."""
    received = usage_row.c.received_ns
    inside = (received >= since_ns, received < until_ns)
    first = connection.scalar(select(received).where(*inside).order_by(received).limit(1))
    last = connection.scalar(select(received).where(*inside).order_by(received.desc()).limit(1))
    return (until_ns, until_ns) if first is None or last is None else (first, last + 1)


def _labels(connection: Connection) -> dict[int, dict[str, str]]:
    """What each subject's id stands for."""
    return {row["id"]: {**row} for row in connection.execute(select(subject)).mappings()}


class Slices:
    """Sums of the usage log, slice by slice. Its statements are built once: that takes longer than running them."""

    def __init__(self, groups: frozenset[str]) -> None:
        """groups: what is to be told apart, days not among it."""
        received = usage_row.c.received_ns
        inside = (received >= bindparam("start"), received < bindparam("end"))
        self._following = select(received).where(*inside).order_by(received).offset(SLICE_ROWS).limit(1)
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
        by_subject, by_user = bool(groups - {"user"}), "user" in groups
        columns = (usage_row.c.subject_id if by_subject else literal(0), usage_row.c.user if by_user else literal(""))
        grouped = [column for column, by in zip(columns, (by_subject, by_user), strict=True) if by]
        self._sums = select(*columns, *sums).where(*inside).group_by(*grouped)
        self._count = len(columns)

    def read(self, start_ns: int, end_ns: int, connection: Connection) -> tuple[int, list[Any]]:
        """The next few thousand rows. Returns where the next slice begins, and (subject id, user, *SUMS) rows."""
        following = connection.scalar(self._following, {"start": start_ns, "end": end_ns})
        # So many rows may carry one and the same nanosecond that it needs a slice of its own.
        end = end_ns if following is None else max(following, start_ns + 1)
        rows = connection.execute(self._sums, {"start": start_ns, "end": end})
        # Without a group there is a row even of nothing.
        return end, [tuple(row) for row in rows if row[self._count]]
