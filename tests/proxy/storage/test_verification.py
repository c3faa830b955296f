"""One flipped row, and the ledger no longer agrees with itself."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from sqlalchemy import Connection

from proxy.storage import verification
from proxy.storage.ledger import Exposure, wallet_window
from proxy.storage.store import Store
from proxy.storage.verification import problems
from tests.proxy.storage.conftest import Open
from tests.proxy.storage.parts import charge, row, window

ARK = Exposure(provider="ark", amount_nanousd=30, line="no answer was seen")


@pytest.fixture
async def kept(store: Store, reopen: Open) -> Store:
    """A store with every kind of row in it."""
    await store.wallets.credit("team-a", 500, operation_id="op-1", actor="ann", reason="invoice 7")
    limits = [window(1000), window(9000, "gateway", param="gateway.daily"), wallet_window("team-a")]
    await store.ledger.reserve("lost", 50, limits)
    checked = await store.ledger.reserve("cut off", 100, limits)
    checked.checkpoint(charge(30))
    await store.close()
    store = await reopen()
    settled = await store.ledger.reserve("a", 100, limits)
    told = charge(130, price="{}", price_line="line")
    await store.ledger.commit([settled.settle(told)], row("a", 130, wallet="team-a", price="{}"))
    given_back = await store.ledger.reserve("b", 10, limits)
    await store.ledger.commit([given_back.void()], row("b", 0))
    await store.ledger.commit([], row("without a hold", 20))
    again = await store.ledger.reserve("again", 100, limits)
    await again.expose([ARK])
    await store.ledger.commit([again.void()], None)
    anew = await store.ledger.reserve("again", 100, limits)
    await store.ledger.commit([anew.settle(charge(40))], row("again", 40), [ARK, ARK])
    await store.ledger.reserve("running", 100, limits)
    return store


FLIPS = [
    "UPDATE spending SET posted = posted + 1 WHERE scope = 'key:ci'",
    "UPDATE spending SET pending = pending - 1 WHERE scope = 'gateway'",
    "UPDATE spending SET overrun = 0 WHERE scope = 'key:ci'",
    "UPDATE spending SET credit = credit + 1 WHERE period = 'lifetime'",
    "UPDATE hold SET posted = 129 WHERE request_id = 'a'",
    "UPDATE hold SET amount = 101 WHERE request_id = 'running'",
    "UPDATE hold SET amount = 99 WHERE request_id = 'cut off'",
    "UPDATE hold SET state = 'void' WHERE request_id = 'a'",
    "UPDATE hold SET state = 'posted' WHERE request_id = 'running'",
    "UPDATE hold SET request_id = 'c' WHERE request_id = 'a'",
    "DELETE FROM hold_leg WHERE hold_id = (SELECT id FROM hold WHERE request_id = 'a')",
    "UPDATE hold_leg SET posted = 1 WHERE hold_id = (SELECT id FROM hold WHERE request_id = 'a')",
    "UPDATE entry SET amount = amount + 1 WHERE kind = 'charge' AND request_id = 'a'",
    "UPDATE entry SET amount = amount + 1 WHERE request_id = 'without a hold'",
    "UPDATE entry SET amount = amount - 1 WHERE kind = 'exposure' AND request_id = 'cut off'",
    "UPDATE entry SET amount = amount - 1 WHERE kind = 'recovered'",
    "UPDATE entry SET amount = amount - 1 WHERE kind = 'topup'",
    "UPDATE entry SET amount = amount + 1 WHERE kind = 'exposure' AND request_id = 'again' AND leg = 0",
    "DELETE FROM entry WHERE kind = 'exposure' AND request_id = 'again' AND leg = 1",
    "UPDATE entry SET request_id = 'b' WHERE kind = 'exposure' AND request_id = 'again' AND leg = 1",
    "UPDATE entry SET debit = 'key:cd' WHERE request_id = 'a'",
    "UPDATE entry SET credit = 'provider:other' WHERE request_id = 'a'",
    "UPDATE entry SET credit = 'wallet:team-b' WHERE kind = 'topup'",
    "UPDATE entry SET request_id = 'd' WHERE request_id = 'a'",
    "DELETE FROM entry WHERE request_id = 'a'",
    "UPDATE usage_row SET debit = debit + 1 WHERE request_id = 'a'",
    "UPDATE usage_row SET debit = 1 WHERE request_id = 'b'",
    "UPDATE usage_row SET request_id = 'e' WHERE request_id = 'a'",
    "DELETE FROM usage_row WHERE request_id = 'without a hold'",
    "UPDATE subject SET key = 'cd' WHERE route <> ''",
    "UPDATE entry SET credit = 'wallet:nobody', debit = 'external' WHERE kind = 'topup'",
    "UPDATE price SET stamp = '{'",
]


async def test_what_the_ledger_wrote_agrees(kept: Store) -> None:
    assert await kept.reports.verify() == []


async def test_each_flipped_row_is_found(kept: Store) -> None:
    for flip in FLIPS:

        def flip_and_verify(connection: Connection, statement: str = flip) -> list[str]:
            connection.exec_driver_sql("SAVEPOINT before")
            assert connection.exec_driver_sql(statement).rowcount > 0, statement
            found = list(problems(connection))
            connection.exec_driver_sql("ROLLBACK TO before")
            return found

        assert await kept.writer.run(flip_and_verify), f"nobody noticed: {flip}"
    assert await kept.reports.verify() == []


async def test_what_is_charged_though_its_hold_was_void_is_found(store: Store) -> None:
    held = await store.ledger.reserve("a", 100, [window(1000)])
    await store.ledger.commit([held.void()], row("a", 5))
    assert await store.reports.verify() == ["hold of a: it is void, its entries say 5"]


async def test_what_a_window_counts_twice_is_found(store: Store) -> None:
    """Together with its hold and its sum, as a fault of the books would."""
    held = await store.ledger.reserve("a", 100, [window(1000, "gateway")])
    await store.ledger.commit([held.void()], row("a", 0), [ARK])
    twice = ["UPDATE hold_leg SET posted = 60", "UPDATE spending SET posted = 60"]
    await store.writer.run(lambda db: [db.exec_driver_sql(statement) and None for statement in twice])
    (found,) = await store.reports.verify()
    assert found == "exposure of a: the gateway's daily windows counted 60, its entries say 30"


@pytest.mark.parametrize("rows_a_slice", [1, 2, 3])
async def test_slices_find_the_same(kept: Store, rows_a_slice: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "SLICE_ROWS", rows_a_slice)
    await test_each_flipped_row_is_found(kept)


async def test_verifying_does_not_disturb_what_runs(kept: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps and requests take turns, and each step sees other books than the one before."""
    monkeypatch.setattr(verification, "SLICE_ROWS", 1)
    over = asyncio.Event()
    limits = [window(10**9), wallet_window("team-a")]

    async def spend(worker: int) -> int:
        for number in itertools.count():
            if over.is_set():
                return number
            request_id = f"{worker}-{number}"
            held = await kept.ledger.reserve(request_id, 1, limits)
            await kept.wallets.credit("team-a", 2, operation_id=f"op-{request_id}", actor="ann", reason="")
            await kept.ledger.commit([held.settle(charge(2))], row(request_id, 2, wallet="team-a"))
        raise AssertionError

    async def verify() -> list[str]:
        try:
            return await kept.reports.verify()
        finally:
            over.set()

    found, *requests = await asyncio.gather(verify(), *map(spend, range(4)))
    assert found == []
    assert sum(requests) > 20
    assert await kept.reports.verify() == []
