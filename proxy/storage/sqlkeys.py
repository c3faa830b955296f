"""The KeyStore over a writer: written through, answered from memory.

Memory changes in the writer's thread as soon as a change is durable. So changes build on each other whoever makes them, and
a reservation that is written after a revocation knows of it.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import fields, replace
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update
from sqlalchemy.exc import IntegrityError

from proxy.clock import Clock
from proxy.context import Limits, RateLimit
from proxy.errors import BadRequest, NotFound
from proxy.storage.keys import KeyRecord
from proxy.storage.tables import virtual_key
from proxy.storage.writer import Writer

FIXED = frozenset({"name", "digest", "hint", "created_s", "revoked_s"})
CHANGEABLE = frozenset(field.name for field in fields(KeyRecord)) - FIXED


class SqlKeys:
    """Keys made at run time."""

    def __init__(self, writer: Writer, clock: Clock, records: Sequence[KeyRecord]) -> None:
        """records: what the store holds."""
        self._writer = writer
        self._clock = clock
        self._by_name = {record.name: record for record in records}
        self._by_digest = {record.digest: record for record in records}
        self.spread: Callable[[KeyRecord], Awaitable[None]] | None = None
        """Tells a change to every process that serves with this one; whoever made it waits for that."""

    def find(self, digest: str) -> KeyRecord | None:
        return self._by_digest.get(digest)

    def list(self) -> Sequence[KeyRecord]:
        return sorted(self._by_name.values(), key=lambda record: (record.created_s, record.name))

    async def create(self, record: KeyRecord) -> None:
        """Raises: BadRequest: the name is taken; LedgerUnavailable."""

        def add(connection: Connection) -> KeyRecord:
            try:
                connection.execute(insert(virtual_key).values(row_of(record)))
            except IntegrityError as error:
                known = self._by_name.get(record.name)
                ended = ", revoked; what it spent stays with its name, so take another" if known and known.revoked_s else ""
                raise BadRequest(f"There is a key named {record.name!r} already{ended}.", param="name") from error
            return record

        await self._run(add)

    async def update(self, name: str, changes: Mapping[str, Any]) -> KeyRecord:
        """Raises: NotFound; BadRequest: a field that a key has not, or that stays as it is; LedgerUnavailable."""
        check_changeable(changes)
        return await self._change(name, lambda record: replace(record, **changes))

    async def revoke(self, name: str) -> KeyRecord:
        """Raises: NotFound, LedgerUnavailable."""
        now_s = self._clock.now_ns() // 10**9
        return await self._change(
            name, lambda record: replace(record, revoked_s=now_s) if record.revoked_s is None else record
        )

    async def _change(self, name: str, changed: Callable[[KeyRecord], KeyRecord]) -> KeyRecord:
        def change(connection: Connection) -> KeyRecord:
            if name not in self._by_name:
                raise NotFound(f"There is no key named {name!r} in the store.", param="name")
            record = changed(self._by_name[name])
            connection.execute(update(virtual_key).where(virtual_key.c.name == name).values(row_of(record)))
            return record

        return await self._run(change)

    async def _run(self, change: Callable[[Connection], KeyRecord]) -> KeyRecord:
        record = await self._writer.run(change, self.remember)
        if self.spread is not None:
            await self.spread(record)
        return record

    def remember(self, record: KeyRecord) -> None:
        """From now on this is what the key of that name is."""
        self._by_name[record.name] = self._by_digest[record.digest] = record


def check_changeable(changes: Mapping[str, Any]) -> None:
    """Raises: BadRequest: a field that a key has not, or that stays as it is."""
    for field in changes:
        if field not in CHANGEABLE:
            raise BadRequest(f"{field!r} of a key can't be changed.", param=field)


def read_keys(connection: Connection) -> list[KeyRecord]:
    """Every key of the store."""
    return [record_of_row(row) for row in connection.execute(select(virtual_key))]


def row_of(record: KeyRecord) -> dict[str, Any]:
    budgets = {family: [limits.daily_nanousd, limits.monthly_nanousd] for family, limits in record.family_budgets.items()}
    return {
        "name": record.name,
        "digest": record.digest,
        "hint": record.hint,
        "families": None if record.families is None else json.dumps(sorted(record.families)),
        "models": None if record.models is None else json.dumps(sorted(record.models)),
        "wallet": record.wallet,
        "timezone": record.timezone,
        "daily_nanousd": record.budget.daily_nanousd,
        "monthly_nanousd": record.budget.monthly_nanousd,
        "family_budgets": json.dumps(budgets, sort_keys=True),
        "requests_per_minute": record.rate_limit.requests_per_minute,
        "tokens_per_minute": record.rate_limit.tokens_per_minute,
        "concurrent": record.rate_limit.concurrent,
        "expires_s": record.expires_s,
        "created_s": record.created_s,
        "revoked_s": record.revoked_s,
    }


def record_of_row(row: Row[Any] | SimpleNamespace) -> KeyRecord:
    """row: its columns as attributes."""
    budgets: dict[str, list[int | None]] = json.loads(row.family_budgets)
    return KeyRecord(
        name=row.name,
        digest=row.digest,
        hint=row.hint,
        families=None if row.families is None else frozenset(json.loads(row.families)),
        models=None if row.models is None else frozenset(json.loads(row.models)),
        wallet=row.wallet,
        timezone=row.timezone,
        budget=Limits(daily_nanousd=row.daily_nanousd, monthly_nanousd=row.monthly_nanousd),
        family_budgets={
            family: Limits(daily_nanousd=daily, monthly_nanousd=monthly) for family, (daily, monthly) in budgets.items()
        },
        rate_limit=RateLimit(
            requests_per_minute=row.requests_per_minute,
            tokens_per_minute=row.tokens_per_minute,
            concurrent=row.concurrent,
        ),
        expires_s=row.expires_s,
        created_s=row.created_s,
        revoked_s=row.revoked_s,
    )
