"""Wallets: credits and corrections, once per operation, never edited."""

from __future__ import annotations

import asyncio

import pytest

from proxy.errors import BadRequest
from proxy.storage.store import Store
from proxy.storage.wallets import Wallet
from tests.proxy.storage.conftest import Open


async def test_credit_and_adjust(store: Store, reopen: Open) -> None:
    by = {"actor": "ann", "reason": "invoice 7"}
    assert await store.wallets.credit("team-a", 500, operation_id="op-1", **by) == 500
    assert await store.wallets.adjust("team-a", -100, operation_id="op-2", **by) == 400
    assert await store.wallets.credit("team-b", 7, operation_id="op-3", **by) == 7
    await store.close()
    store = await reopen()
    assert await store.wallets.list() == [
        Wallet(name="team-a", credited=400, spent=0, held=0),
        Wallet(name="team-b", credited=7, spent=0, held=0),
    ]
    assert await store.reports.verify() == []


async def test_an_operation_counts_once(store: Store) -> None:
    for _ in range(3):
        assert await store.wallets.credit("team-a", 500, operation_id="op-1", actor="ann", reason="") == 500
    assert len(await store.entries.page()) == 1


async def test_an_operation_counts_once_within_a_batch(store: Store) -> None:
    credits = (store.wallets.credit("team-a", 500, operation_id="op-1", actor="ann", reason="") for _ in range(20))
    assert await asyncio.gather(*credits) == [500] * 20
    assert len(await store.entries.page()) == 1
    assert await store.reports.verify() == []


async def test_an_operation_id_stands_for_one_operation(store: Store) -> None:
    by = {"operation_id": "op-1", "actor": "ann", "reason": ""}
    await store.wallets.credit("team-a", 500, **by)
    for other in (
        store.wallets.credit("team-a", 501, **by),
        store.wallets.credit("team-b", 500, **by),
        store.wallets.adjust("team-a", 500, **by),
        store.wallets.adjust("team-a", -500, **by),
    ):
        with pytest.raises(BadRequest, match="'op-1' was another one"):
            await other
    assert [(wallet.name, wallet.balance) for wallet in await store.wallets.list()] == [("team-a", 500), ("team-b", 0)]
    assert await store.reports.verify() == []


async def test_a_wallet_that_was_made(store: Store) -> None:
    assert await store.wallets.find("team-a") is None
    assert [await store.wallets.create("team-a") for _ in range(2)] == [True, False]
    assert await store.wallets.find("team-a") == Wallet(name="team-a", credited=0, spent=0, held=0)
    assert await store.wallets.credit("team-a", 5, operation_id="op-1", actor="ann", reason="") == 5
    assert await store.wallets.create("team-a") is False
    assert await store.reports.verify() == []


async def test_a_balance_has_an_end(store: Store) -> None:
    await store.wallets.create("team-a")
    await store.writer.run(lambda db: db.exec_driver_sql("UPDATE spending SET credit = 8999999999999999999"))
    with pytest.raises(BadRequest, match="can't hold that much"):
        await store.wallets.credit("team-a", 2, operation_id="op-1", actor="ann", reason="")
    assert await store.wallets.credit("team-a", 1, operation_id="op-1", actor="ann", reason="") == 9 * 10**18


@pytest.mark.parametrize("amount", [0, -5, 10**15 + 1])
async def test_a_credit_is_an_amount(store: Store, amount: int) -> None:
    with pytest.raises(ValueError, match="a credit is above 0"):
        await store.wallets.credit("team-a", amount, operation_id="op-1", actor="ann", reason="")
    assert await store.wallets.list() == []
