"""Marks that linger are not lost with a batch that fails."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from proxy.storage.books import Books
from proxy.storage.ledger import Exposure, Posting
from proxy.storage.operations import Commit, Expose, Mark, Operation, Reserve
from proxy.storage.owner import begin_epoch
from proxy.storage.sqlite import Database
from proxy.storage.statements import Statements
from tests.proxy.storage.parts import START_S, SUBJECT, charge

NOW_NS = START_S * 10**9
ONE_S = 10**9
VOID = Commit(None, [Posting(request_id="a", charge=None)], None)
MORE = Expose(None, "a", [Exposure(provider="ark", amount_nanousd=60, line="")], [])


class Gateway:
    """The books of one life of a gateway on a store."""

    def __init__(self, database: Database) -> None:
        self._database = database
        epoch = begin_epoch(database, NOW_NS)
        self.books = Books(database.cursor, Statements(database.engine.dialect), epoch)
        database.begin()
        self.books.recover(NOW_NS)
        database.commit()

    def do(self, *operations: Operation, at_ns: int = NOW_NS, fails: bool = False) -> None:
        self._database.begin()
        self.books.apply(operations, at_ns)
        if fails:
            self.books.forget()
            self._database.rollback()
        else:
            self._database.commit()


@pytest.fixture
def database() -> Iterator[Database]:
    made = Database(make_url("sqlite://"), "process")
    yield made
    made.close()


@pytest.fixture
def gateway(database: Database) -> Gateway:
    """A request runs, and has told what nobody has written yet."""
    made = Gateway(database)
    made.do(Reserve(None, "a", 60, [], None, SUBJECT))
    made.do(Mark("a", None, "ark-lite", "ark"))
    made.do(Mark("a", charge(20)))
    assert made.books.unwritten
    return made


def left(database: Database) -> list[tuple[Any, ...]]:
    """(kind, credit, amount) of what the next gateway finds that this one left open."""
    Gateway(database)
    database.begin()
    database.cursor.execute("SELECT kind, credit, amount FROM entry ORDER BY id")
    found = database.cursor.fetchall()
    database.commit()
    return list(found)


SENT_AND_SEEN = [("recovered", "provider:ark", 20), ("exposure", "exposure:ark", 40)]
OTHER = Reserve(None, "b", 0, [], None, SUBJECT)


@pytest.mark.parametrize("failing", [OTHER, VOID, MORE, Mark("a", charge(20))])
@pytest.mark.parametrize("times", [1, 2])
def test_a_batch_fails_before_they_are_written(database: Database, gateway: Gateway, failing: Operation, times: int) -> None:
    for _ in range(times):
        gateway.do(failing, fails=True)
    assert gateway.books.unwritten
    gateway.do()
    assert not gateway.books.unwritten
    assert left(database) == SENT_AND_SEEN


def test_the_batch_that_writes_them_fails(database: Database, gateway: Gateway) -> None:
    gateway.do(OTHER, at_ns=NOW_NS + ONE_S, fails=True)
    gateway.do(OTHER, at_ns=NOW_NS + ONE_S)
    gateway.do(at_ns=NOW_NS + 2 * ONE_S)
    assert left(database)[:2] == SENT_AND_SEEN


def test_they_are_not_told_of_another_hold(database: Database, gateway: Gateway) -> None:
    gateway.do(MORE)
    gateway.do(OTHER, fails=True)
    gateway.do()
    assert left(database) == [("exposure", "exposure:ark", 60), ("exposure", "exposure", 60)]


def test_what_is_over_stays_over(database: Database, gateway: Gateway) -> None:
    gateway.do(VOID)
    gateway.do(OTHER, fails=True)
    gateway.do()
    assert left(database) == []


def test_how_many_are_open_is_known_while_the_store_fails(gateway: Gateway) -> None:
    gateway.do(OTHER, fails=True)
    assert gateway.books.unsettled >= 1
