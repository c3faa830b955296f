"""The writer when the store fails it: what is refused, what is kept, what is told."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

import pytest
from sqlalchemy import Connection

from proxy.errors import LedgerUnavailable
from proxy.storage.books import Books
from proxy.storage.operations import Operation
from proxy.storage.store import Store
from tests.fakes import eventually
from tests.proxy.storage.conftest import Open
from tests.proxy.storage.parts import charge, row, window


async def fill_the_disk(store: Store) -> None:
    """No page more for the file; SQLite then answers as it does when the disk is full."""

    def limit(connection: Connection) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    await store.writer.run(limit)
    for number in range(1000):
        await store.ledger.commit([], row(f"filler-{number}", 1, user="x" * 250))
        if store.problem is not None:
            break


async def make_room(store: Store) -> None:
    await store.writer.run(lambda connection: connection.exec_driver_sql("PRAGMA max_page_count = 1000000"))


async def test_a_full_disk_refuses_what_is_new_and_keeps_what_has_happened(store: Store) -> None:
    reservations = [await store.ledger.reserve(f"req-{number}", 10, [window(1000)]) for number in range(50)]
    await fill_the_disk(store)
    assert store.problem == "the ledger can't write: database or disk is full"
    with pytest.raises(LedgerUnavailable) as refused:
        await store.ledger.reserve("new", 10, [window(1000)])
    assert refused.value.status == 503
    for number, reservation in enumerate(reservations):
        await store.ledger.commit([reservation.settle(charge(7))], row(f"req-{number}", 7))

    await make_room(store)
    await eventually(lambda: store.problem is None)
    assert store.reports.unsettled() == 0
    assert await store.reports.verify() == []
    (spent,) = await store.reports.usage(["key"], 0, 2**62)
    assert spent.debit_nanousd >= 50 * 7
    with pytest.raises(Exception, match="budget"):
        await store.ledger.reserve("too much", 1000 - 50 * 7 + 1, [window(1000)])


class Broken(Operation):
    """Something that no store takes."""

    def __init__(self, future: asyncio.Future[Any], error: BaseException) -> None:
        super().__init__(future)
        self.error = error

    def apply(self, books: Books) -> None:
        raise self.error


async def test_one_that_cannot_be_written_does_not_fail_the_others(store: Store) -> None:
    answers = await asyncio.gather(
        *(store.ledger.reserve(f"before-{number}", 10, [window(100)]) for number in range(3)),
        store.writer.ask(lambda future: Broken(future, sqlite3.IntegrityError("CHECK constraint failed"))),
        *(store.ledger.reserve(f"after-{number}", 10, [window(100)]) for number in range(3)),
        return_exceptions=True,
    )
    assert isinstance(answers[3], LedgerUnavailable)
    assert [getattr(answer, "amount_nanousd", None) for answer in answers] == [10, 10, 10, None, 10, 10, 10]
    assert store.problem is None
    assert await store.reports.verify() == []


async def test_a_damaged_file_is_the_stores_fault(store: Store) -> None:
    broken = store.writer.ask(lambda future: Broken(future, sqlite3.DatabaseError("database disk image is malformed")))
    with pytest.raises(LedgerUnavailable):
        await broken
    assert store.problem == "the ledger can't write: database disk image is malformed"


async def test_a_writer_that_dies_stays_down_and_says_so(store: Store, reopen: Open) -> None:
    reservation = await store.ledger.reserve("a", 10, [window(100)])
    with pytest.raises(LedgerUnavailable):
        await store.writer.ask(lambda future: Broken(future, SystemExit("gone")))
    assert store.problem == "the ledger's writer failed: SystemExit('gone')"
    with pytest.raises(LedgerUnavailable):
        await store.ledger.reserve("b", 10, [window(100)])
    with pytest.raises(LedgerUnavailable):
        await store.reports.verify()
    # What has been served is kept for the next start.
    await store.ledger.commit([reservation.settle(charge(3))], row("a", 3))
    await store.close()
    store = await reopen()
    (spent,) = await store.reports.usage(["key"], 0, 2**62)
    assert (spent.debit_nanousd, await store.reports.verify()) == (3, [])


async def test_closing_writes_what_is_queued(reopen: Open) -> None:
    store = await reopen()
    (await store.ledger.reserve("a", 10, [window(100)])).dispatched()
    waiting = [asyncio.ensure_future(store.ledger.commit([], row(f"req-{number}", 1))) for number in range(100)]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*waiting)
    (spent,) = await (await reopen()).reports.usage([], 0, 2**62)
    assert spent.requests == 101


async def test_a_flag_that_nobody_waits_for_is_soon_written(store: Store) -> None:
    (await store.ledger.reserve("a", 10, [window(100)])).dispatched()
    found: list[Any] = []
    for _ in range(50):
        found = list(await store.writer.run(lambda db: db.exec_driver_sql("SELECT dispatched FROM hold").scalars().all()))
        if found == [1]:
            break
        await asyncio.sleep(0.01)
    assert found == [1]


async def test_a_function_that_fails_leaves_nothing(store: Store) -> None:
    def fail(connection: Connection) -> None:
        connection.exec_driver_sql("INSERT INTO meta (name, value) VALUES ('a', 1)")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        await store.writer.run(fail)
    assert await store.writer.run(lambda db: db.exec_driver_sql("SELECT count(*) FROM meta").scalar()) == 0
