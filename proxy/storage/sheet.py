"""The sheet: what the operations of a batch come to, gathered in memory and written together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from proxy.storage.ledger import Exposure, UsageRow
from proxy.storage.records import Held, Spending, bounded_count, bounded_text, payer
from proxy.storage.statements import Cursor, Statements


class Sheet:
    """Used inside a transaction of the writer's; after one that failed another sheet is begun."""

    def __init__(self, cursor: Cursor, statements: Statements) -> None:
        self._cursor = cursor
        self._sql = statements
        self._subjects: dict[tuple[str, ...], int] = {}
        self._prices: dict[str, int] = {}
        self._usage: list[tuple[Any, ...]] = []
        self.now_ns = 0
        """When what is entered happens."""
        self.holds: dict[int, Held] = {}
        """{id: hold} of those that are new or changed."""
        self.spendings: set[Spending] = set()
        """The windows that changed."""
        self.legs: dict[tuple[int, int], int | None] = {}
        """{(hold, window): what it posted there, None for the same as everywhere} of those that are new or changed."""
        self.entries: list[tuple[Any, ...]] = []
        """Rows of `entry`."""

    def write(self) -> None:
        """Begin empty again."""
        holds = [held.row() for held in self.holds.values()]
        if self._sql.holds.write(self._cursor, holds) != len(holds):
            raise RuntimeError("a hold that was open in memory is over in the store")
        self._sql.legs.write(self._cursor, [(*ids, posted) for ids, posted in self.legs.items()])
        self._sql.spendings.write(self._cursor, [spending.row() for spending in self.spendings])
        self._sql.entries.write(self._cursor, self.entries)
        self._sql.usage.write(self._cursor, self._usage)
        self.holds.clear()
        self.spendings.clear()
        self.legs.clear()
        self.entries.clear()
        self._usage.clear()

    def log(self, row: UsageRow) -> None:
        """A request in the usage log, and its charge."""
        wallet = row.wallet or ""
        subject_id = self.subject_id(row.key, wallet, row.model, row.family, row.route, row.provider)
        counts = (row.input_tokens, row.cached_input_tokens, row.output_tokens, row.reasoning_tokens)
        self._usage.append(
            (row.request_id, bounded_text(row.client_request_id), row.received_ns, subject_id, bounded_text(row.user),
             row.attempts, *map(bounded_count, counts), int(row.estimated), row.debit_nanousd, row.cost_nanousd,
             row.latency_ms, row.first_token_ms, row.overhead_ms, row.status, row.code, row.end, int(row.stream),
             row.also_counted)
        )  # fmt: skip
        account = payer(row.key, wallet)
        self.charge(row.request_id, account, row.provider, row.debit_nanousd, row.price, row.price_line)

    def charge(self, request_id: str, account: str, provider: str, amount: int, price: str, line: str) -> None:
        if amount:
            price_id = self._price_id(price) if price else None
            account_there = f"provider:{provider}" if provider else "provider"
            self.enter(request_id, "charge", account, account_there, amount, price_id, "", line)

    def expose_all(self, request_id: str, exposures: Sequence[Exposure], entered: int) -> None:
        """exposures: all of the request's. entered: how many of them, the first ones, are in the ledger already."""
        for leg, exposure in enumerate(exposures):
            if leg >= entered:
                self._expose(request_id, exposure.provider, exposure.amount_nanousd, "", exposure.line, leg)

    def recover(self, held: Held, charged: int, exposed: int, leg: int) -> None:
        """A request that nobody ends any more: what it is charged, and what may be owed beside that."""
        line = "the last checkpoint before a crash"
        if charged:
            account = f"provider:{held.provider}" if held.provider else "provider"
            self.enter(held.request_id, "recovered", held.payer, account, charged, None, "recovery", line)
        if exposed:
            self._expose(held.request_id, held.provider, exposed, "recovery", line, leg)
        self._usage.append(
            (held.request_id, "", held.created_ns, held.subject_id, held.user, 0, held.checkpoint_input, 0,
             held.checkpoint_output, 0, 1, charged, None, 0, None, 0, 0, "", "recovered", 0, "")
        )  # fmt: skip

    def enter(
        self,
        key: str,
        kind: str,
        debit: str,
        credit: str,
        amount: int,
        price_id: int | None,
        actor: str,
        line: str,
        leg: int = 0,
    ) -> None:
        """Move an amount from one account to another."""
        self.entries.append((key, kind, debit, credit, amount, price_id, actor, line, self.now_ns, leg))

    def subject_id(self, *labels: str) -> int:
        """labels: (key, wallet, model, family, route, provider)."""
        found = self._subjects.get(labels)
        if found is None:
            self._sql.new_subjects.write(self._cursor, [labels])
            (found,) = self._cursor.execute(self._sql.subject_id, labels).fetchone()
            self._subjects[labels] = found
        return found

    def _expose(self, request_id: str, provider: str, amount: int, actor: str, line: str, leg: int) -> None:
        account = f"exposure:{provider}" if provider else "exposure"
        self.enter(request_id, "exposure", "operator", account, amount, None, actor, line, leg)

    def _price_id(self, stamp: str) -> int:
        found = self._prices.get(stamp)
        if found is None:
            self._sql.new_prices.write(self._cursor, [(stamp,)])
            (found,) = self._cursor.execute(self._sql.price_id, (stamp,)).fetchone()
            self._prices[stamp] = found
        return found
