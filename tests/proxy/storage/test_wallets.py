"""Wallets: credits and corrections, once per operation, never edited."""

from __future__ import annotations

import pytest

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


@pytest.mark.parametrize("amount", [0, -5, 10**15 + 1])
async def test_a_credit_is_an_amount(store: Store, amount: int) -> None:
    with pytest.raises(ValueError, match="a credit is above 0"):
        await store.wallets.credit("team-a", amount, operation_id="op-1", actor="ann", reason="")
    assert await store.wallets.list() == []
