"""The writer's statements, compiled once from Core: many rows in few statements.

Every statement that a database runs lets go of the interpreter's lock, and a busy event loop is slow to hand it back. So up
to 16 rows are one statement, and of more 64 or 16 at a time; each is compiled when it is first needed, and stays prepared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, Protocol

from sqlalchemy import BindParameter, Column, Select, Table, Update, bindparam, func, literal_column, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect

from proxy.storage.tables import entry, hold, hold_leg, owner, price, spending, subject, usage_row

FEW_ROWS = 16
MOST_ROWS = 64
Insert = sqlite.Insert | postgresql.Insert
Build = Callable[[Insert], Insert]


class Cursor(Protocol):
    """DB-API 2.0's cursor, as far as it is used here."""

    @property
    def rowcount(self) -> int: ...
    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Any: ...
    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...


class Rows:
    """An insert of any number of rows."""

    def __init__(self, dialect: Dialect, table: Table, columns: Sequence[Column[Any]], build: Build) -> None:
        """build: adds what is to happen on a conflict."""
        self._dialect = dialect
        self._table = table
        self._columns = columns
        self._build = build
        self._sql: dict[int, str] = {}

    def write(self, cursor: Cursor, rows: Sequence[Sequence[Any]]) -> int:
        """rows: values in the order of the columns. Returns how many were written."""
        written = position = 0
        while left := len(rows) - position:
            size = left if left <= FEW_ROWS else FEW_ROWS if left < MOST_ROWS else MOST_ROWS
            cursor.execute(self.sql(size), tuple(chain.from_iterable(rows[position : position + size])))
            written += cursor.rowcount
            position += size
        return written

    def sql(self, size: int) -> str:
        """The statement for so many rows."""
        known = self._sql.get(size)
        if known is not None:
            return known
        insert = (postgresql if self._dialect.name == "postgresql" else sqlite).insert(self._table)
        names = [[f"{column.name}_{row}_" for column in self._columns] for row in range(size)]
        parameters: list[dict[str, BindParameter[Any]]] = [
            {column.name: bindparam(name) for column, name in zip(self._columns, row, strict=True)} for row in names
        ]
        compiled = self._build(insert.values(parameters)).compile(dialect=self._dialect)
        assert compiled.positiontup == list(chain.from_iterable(names))
        self._sql[size] = str(compiled)
        return self._sql[size]


class Statements:
    """All that a batch reads and writes."""

    def __init__(self, dialect: Dialect) -> None:
        def rows(table: Table, build: Build, *, without: str = "") -> Rows:
            return Rows(dialect, table, [column for column in table.c if column.name != without], build)

        self.holds = rows(hold, _hold)
        self.legs = rows(hold_leg, lambda insert: _replace(insert, ("hold_id", "spending_id"), ("posted",)))
        self.spendings = rows(spending, lambda insert: _replace(insert, ("id",), ("credit", "posted", "pending", "overrun")))
        self.entries = rows(entry, _unless_there, without="id")
        self.usage = rows(usage_row, _unless_there)
        self.new_spendings = rows(spending, _unless_there, without="id")
        self.new_subjects = rows(subject, _unless_there, without="id")
        self.new_prices = rows(price, _unless_there, without="id")

        def sql(statement: Select[Any] | Update) -> str:
            return str(statement.compile(dialect=dialect))

        is_open = hold.c.state == literal_column("'open'")
        of_scope = (spending.c.scope == bindparam("scope"), spending.c.period == bindparam("period"))
        labels = [column for column in subject.c if column.name != "id"]
        self.open_holds = sql(select(*hold.c, *labels).join(subject).where(is_open))
        self.open_legs = sql(select(hold_leg.c.hold_id, *spending.c).join(hold).join(spending).where(is_open))
        self.exposures_of = sql(
            select(func.count()).where(
                entry.c.request_id == bindparam("request_id"), entry.c.kind == literal_column("'exposure'")
            )
        )
        self.hold_amount = sql(
            select(hold.c.amount).where(hold.c.request_id == bindparam("request_id"), hold.c.state != literal_column("'void'"))
        )
        self.latest_spending = sql(select(*spending.c).where(*of_scope).order_by(spending.c.start_s.desc()))
        self.spending_at = sql(select(*spending.c).where(*of_scope, spending.c.start_s == bindparam("start_s")))
        self.subject_id = sql(select(subject.c.id).where(*(label == bindparam(label.name) for label in labels)))
        self.price_id = sql(select(price.c.id).where(price.c.stamp == bindparam("stamp")))
        moved = (entry.c.kind, entry.c.debit, entry.c.credit, entry.c.amount)
        self.move = sql(select(*moved).where(entry.c.request_id == bindparam("request_id")))
        within = (usage_row.c.received_ns >= bindparam("start_ns"), usage_row.c.received_ns < bindparam("end_ns"))
        spent = select(func.sum(usage_row.c.debit)).where(*within)
        of_key = spent.join(subject, subject.c.id == usage_row.c.subject_id).where(subject.c.key == bindparam("key"))
        self.spent = sql(spent)
        self.spent_by_key = sql(of_key)
        self.spent_by_key_on_family = sql(of_key.where(subject.c.family == bindparam("family")))
        self.exposed = sql(
            select(func.sum(entry.c.amount)).where(
                entry.c.kind == literal_column("'exposure'"),
                entry.c.at_ns >= bindparam("start_ns"),
                entry.c.at_ns < bindparam("end_ns"),
            )
        )
        self.seen = sql(update(owner).where(owner.c.epoch == bindparam("of")).values(seen_ns=bindparam("now")))


def _unless_there(insert: Insert) -> Insert:
    return insert.on_conflict_do_nothing()


def _hold(insert: Insert) -> Insert:
    """A hold leaves the state "open" once: what is over stays as it is."""
    changing = ("subject_id", "state", "amount", "dispatched", "checkpoint", "checkpoint_input", "checkpoint_output", "posted")
    return insert.on_conflict_do_update(
        index_elements=["id"],
        set_={name: insert.excluded[name] for name in changing},
        where=hold.c.state == literal_column("'open'"),
    )


def _replace(insert: Insert, keys: Sequence[str], columns: Sequence[str]) -> Insert:
    return insert.on_conflict_do_update(index_elements=list(keys), set_={name: insert.excluded[name] for name in columns})
