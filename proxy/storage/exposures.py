"""Exposure: what providers may bill beyond what callers paid, until somebody looks at the provider's bill and says which.

open ──▶ reconciled        moved, by name and with a reason, to the provider as far as it billed it, else back to the operator

The entries stay as they are; what became of one is one or two entries more. A gateway's budget keeps what was counted in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Connection, Select, exists, func, insert, literal_column, select

from proxy.calendar import Calendar
from proxy.errors import BadRequest
from proxy.money import nano_to_usd
from proxy.storage.tables import entry, subject, usage_row
from proxy.storage.writer import Writer

SECOND_NS = 10**9
BACK = "operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenExposure:
    """What is open of one day, at one provider, of one model."""

    day: str
    provider: str
    """"" where a crash left no trace of it."""
    model: str
    """"" where the usage row is gone."""
    requests: int
    amount_nanousd: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """What a reconciliation closed."""

    requests: int
    billed_nanousd: int
    returned_nanousd: int


class Exposures:
    """Over the writer's connection; there are few of them, so each question is one transaction."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def open(self, since_ns: int, until_ns: int, timezone: str, provider: str | None = None) -> list[OpenExposure]:
        """Those from `since_ns` to before `until_ns`, by the timezone's days. provider: only its. Raises: LedgerUnavailable."""
        calendar = Calendar()
        await calendar.load(timezone)
        rows = await self._writer.run(partial(_rows, _open(since_ns, until_ns, provider)))
        sums: dict[tuple[str, str, str], tuple[int, int]] = {}
        for row in rows:
            day = calendar.date(row.at_ns // SECOND_NS, timezone).isoformat()
            group = (day, _provider(row.credit), row.model or "")
            requests, amount = sums.get(group, (0, 0))
            sums[group] = requests + 1, amount + row.amount
        return [
            OpenExposure(day=day, provider=of, model=model, requests=requests, amount_nanousd=amount)
            for (day, of, model), (requests, amount) in sorted(sums.items())
        ]

    async def reconcile(
        self, since_ns: int, until_ns: int, provider: str, billed_nanousd: int, *, actor: str, reason: str, now_ns: int
    ) -> Reconciled:
        """Close what is open of a provider in this span: so much of it was billed, the oldest first, the rest was not.

        Raises: BadRequest: nothing is open, or less than was billed; LedgerUnavailable.
        """
        statement = _open(since_ns, until_ns, provider)
        account = f"provider:{provider}" if provider else "provider"

        def close(connection: Connection) -> Reconciled:
            rows = _rows(statement, connection)
            whole = sum(row.amount for row in rows)
            if not rows:
                raise BadRequest("No exposure of this provider is open in this span.", param="provider")
            if billed_nanousd > whole:
                raise BadRequest(
                    f"Only {nano_to_usd(whole)} USD are open in this span; what a provider billed beyond is none of it.",
                    param="billed_usd",
                )
            left = billed_nanousd
            entries: list[dict[str, Any]] = []
            for row in rows:
                billed = min(left, row.amount)
                left -= billed
                for leg, credit, amount in ((0, account, billed), (1, BACK, row.amount - billed)):
                    if amount:
                        entries.append(
                            {"request_id": row.request_id, "kind": "reconciled", "debit": row.credit, "credit": credit,
                             "amount": amount, "price_id": None, "actor": actor, "line": reason, "at_ns": now_ns,
                             "leg": 2 * row.leg + leg}
                        )  # fmt: skip
            connection.execute(insert(entry), entries)
            return Reconciled(requests=len(rows), billed_nanousd=billed_nanousd, returned_nanousd=whole - billed_nanousd)

        return await self._writer.run(close)


def _provider(account: str) -> str:
    return account.partition(":")[2]


def _open(since_ns: int, until_ns: int, provider: str | None) -> Select[Any]:
    closing = entry.alias("closing")
    closed = exists().where(
        closing.c.request_id == entry.c.request_id,
        closing.c.kind == "reconciled",
        closing.c.leg.in_((2 * entry.c.leg, 2 * entry.c.leg + 1)),
    )
    # As text, not as a parameter: only so the index of exposures serves.
    is_exposure = entry.c.kind == literal_column("'exposure'")
    model = select(subject.c.model).join(usage_row).where(usage_row.c.request_id == entry.c.request_id)
    statement = (
        select(entry.c.request_id, entry.c.leg, entry.c.credit, entry.c.amount, entry.c.at_ns)
        .add_columns(func.coalesce(model.scalar_subquery(), "").label("model"))
        .where(is_exposure, entry.c.at_ns >= since_ns, entry.c.at_ns < until_ns, ~closed)
        .order_by(entry.c.at_ns, entry.c.id)
    )
    if provider is None:
        return statement
    return statement.where(entry.c.credit == (f"exposure:{provider}" if provider else "exposure"))


def _rows(statement: Select[Any], connection: Connection) -> list[Any]:
    return list(connection.execute(statement))
