"""Wallets: balances that keys draw on, filled and corrected by name and with a reason, never edited."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from sqlalchemy import ColumnElement, Connection, and_, insert, select

from proxy.money import MAX_NANOUSD
from proxy.storage.ledger import wallet_window
from proxy.storage.operations import Credit
from proxy.storage.tables import spending
from proxy.storage.writer import Writer


@dataclass(frozen=True, slots=True, kw_only=True)
class Wallet:
    """A wallet as it stands, in nano-USD."""

    name: str
    credited: int
    spent: int
    held: int
    """For requests that run now."""

    @property
    def balance(self) -> int:
        return self.credited - self.spent


class Wallets:
    """Wallets over a writer."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def create(self, name: str) -> bool:
        """Make an empty wallet. Returns False if there is one already. Raises: LedgerUnavailable."""
        window = wallet_window(name)
        zeros = dict.fromkeys(("credit", "posted", "pending", "overrun", "carried"), 0)
        span = {"scope": window.scope, "period": window.period, "start_s": window.start_s, "end_s": window.end_s}

        def make(connection: Connection) -> bool:
            known = connection.scalar(select(spending.c.id).where(_is_wallet(name)))
            if known is None:
                connection.execute(insert(spending).values(**span, **zeros))
            return known is None

        return await self._writer.run(make)

    async def credit(self, name: str, amount_nanousd: int, *, operation_id: str, actor: str, reason: str) -> int:
        """Add to a wallet, made by its first credit. Once per operation id. Returns the balance.

        Raises: ValueError: the amount is not above zero; BadRequest: the id was another operation's; LedgerUnavailable.
        """
        if not 0 < amount_nanousd <= MAX_NANOUSD:
            raise ValueError(f"a credit is above 0 and at most {MAX_NANOUSD} nano-USD, not {amount_nanousd}")
        return await self._move(name, amount_nanousd, operation_id, "topup", actor, reason)

    async def adjust(self, name: str, amount_nanousd: int, *, operation_id: str, actor: str, reason: str) -> int:
        """Correct a wallet, up or down. Once per operation id. Returns the balance.

        Raises: ValueError: the amount is zero or too large; BadRequest: the id was another operation's; LedgerUnavailable.
        """
        if not 0 < abs(amount_nanousd) <= MAX_NANOUSD:
            raise ValueError(f"an adjustment is not 0 and at most {MAX_NANOUSD} nano-USD, not {amount_nanousd}")
        return await self._move(name, amount_nanousd, operation_id, "adjust", actor, reason)

    async def find(self, name: str) -> Wallet | None:
        """None: it was neither made nor credited nor drawn on."""
        found = await self._writer.run(partial(_read, _is_wallet(name)))
        return found[0] if found else None

    async def list(self) -> list[Wallet]:
        """Every wallet that was ever made, credited or drawn on, by name."""
        return await self._writer.run(partial(_read, spending.c.period == "lifetime"))

    async def _move(self, name: str, amount: int, operation_id: str, kind: str, actor: str, reason: str) -> int:
        balance: int = await self._writer.ask(
            lambda future: Credit(future, name, wallet_window(name), amount, operation_id, kind, actor, reason)
        )
        return balance


def _is_wallet(name: str) -> ColumnElement[bool]:
    return and_(spending.c.scope == f"wallet:{name}", spending.c.period == "lifetime")


def _read(which: ColumnElement[bool], connection: Connection) -> list[Wallet]:
    rows = connection.execute(select(spending).where(which).order_by(spending.c.scope))
    return [Wallet(name=row.scope.partition(":")[2], credited=row.credit, spent=row.posted, held=row.pending) for row in rows]
