"""The windows of budgets as they are stored: found in memory, else in the store; and what a new one begins with.

A window that was begun lasts: neither a clock that goes back nor a zone that changes cuts it anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import WeakValueDictionary

from proxy.storage.ledger import Window
from proxy.storage.records import Spending
from proxy.storage.statements import Cursor, Statements

GATEWAY = "gateway"


class Spendings:
    """Used inside a transaction of the writer's."""

    def __init__(self, cursor: Cursor, statements: Statements) -> None:
        self._cursor = cursor
        self._sql = statements
        self._latest: dict[tuple[str, str], Spending] = {}
        self._known: WeakValueDictionary[int, Spending] = WeakValueDictionary()

    def find(self, window: Window, now_ns: int) -> Spending | None:
        """The window's own row, or the newest of its scope while that lasts: clocks and zones may change, a window doesn't.

        Holds where the asked window overlaps the newest or ends where that begins; so a clock that goes back over
        midnight stays in the new day, while one that was a year ahead for a while does not bind the scope to that year.
        """
        scope, period, start_s = window.scope, window.period, window.start_s
        latest = self._latest.get((scope, period))
        if latest is not None and latest.start_s == start_s:
            return latest
        if latest is None:
            row = self._cursor.execute(self._sql.latest_spending, (scope, period)).fetchone()
            if row is not None:
                latest = self._latest[scope, period] = self.of_row(row)
        if latest is not None:
            lasts = now_ns < latest.end_s * 10**9
            if lasts and start_s < latest.end_s and window.end_s >= latest.start_s:
                return latest
        return self._stored(window)

    def begin(self, window: Window) -> Spending:
        """Make the row of a window that has none, with what the usage log has of its span."""
        carried = self.spent_before(window)
        row = (window.scope, window.period, window.start_s, window.end_s, 0, carried, 0, 0, carried)
        self._sql.new_spendings.write(self._cursor, [row])
        found = self._stored(window)
        assert found is not None
        return found

    def of_row(self, row: Sequence[Any]) -> Spending:
        """The one object of a stored window."""
        known = self._known.get(row[0])
        if known is None:
            known = self._known[row[0]] = Spending(row)
        return known

    def spent_before(self, window: Window) -> int:
        """What the usage log has of this window. It is kept long enough for any."""
        sql, span = self._sql, (window.start_s * 10**9, window.end_s * 10**9)
        key, family = key_of(window.scope), window.scope.partition("/family:")[2]
        if window.scope == GATEWAY:
            return self._sum(sql.spent, *span) + self._sum(sql.exposed, *span)
        if not key:
            return 0
        return self._sum(sql.spent_by_key_on_family, *span, key, family) if family else self._sum(sql.spent_by_key, *span, key)

    def _stored(self, window: Window) -> Spending | None:
        row = self._cursor.execute(self._sql.spending_at, (window.scope, window.period, window.start_s)).fetchone()
        if row is None:
            return None
        found = self.of_row(row)
        latest = self._latest.get((found.scope, found.period))
        if latest is None or found.start_s > latest.start_s:
            self._latest[found.scope, found.period] = found
        return found

    def _sum(self, statement: str, *parameters: Any) -> int:
        return self._cursor.execute(statement, parameters).fetchone()[0] or 0


def key_of(scope: str) -> str:
    """ "ci" of "key:ci" and "key:ci/family:doubao"; "" of what is no key's."""
    kind, _, name = scope.partition(":")
    return name.partition("/family:")[0] if kind == "key" else ""
