"""Many rows in few statements."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest
from sqlalchemy.dialects import postgresql, sqlite

from proxy.storage.statements import Rows, Statements
from proxy.storage.tables import meta


class Counting:
    """A cursor that counts statements."""

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self._cursor = cursor
        self.statements = 0

    @property
    def rowcount(self) -> int:
        return self._cursor.rowcount

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        self.statements += 1
        return self._cursor.execute(sql, parameters)

    def fetchone(self) -> Any:
        return self._cursor.fetchone()

    def fetchall(self) -> list[Any]:
        return self._cursor.fetchall()


@pytest.mark.parametrize(("rows", "statements"), [(0, 0), (1, 1), (16, 1), (17, 2), (64, 1), (81, 3), (200, 4)])
def test_rows_are_written_in_few_statements(rows: int, statements: int) -> None:
    raw = sqlite3.connect(":memory:")
    raw.execute("CREATE TABLE meta (name PRIMARY KEY, value)")
    cursor = Counting(raw.cursor())
    write = Rows(sqlite.dialect(), meta, list(meta.c), lambda insert: insert.on_conflict_do_nothing()).write
    given = [(f"name {number}", number) for number in range(rows)]
    assert write(cursor, given) == rows
    assert cursor.statements == statements
    assert write(cursor, given) == 0
    assert raw.execute("SELECT name, value FROM meta ORDER BY value").fetchall() == given
    raw.close()


def test_the_same_text_compiles_for_postgresql() -> None:
    statements = Statements(postgresql.dialect(paramstyle="format"))
    assert "ON CONFLICT (id) DO UPDATE SET subject_id = excluded.subject_id, amount = excluded.amount" in statements.holds.sql(
        2
    )
    assert "hold.state = 'open'" in statements.open_holds
