"""Pages of the ledger, in either direction."""

from __future__ import annotations

import pytest

from proxy.storage import entries
from proxy.storage.entries import Wanted
from proxy.storage.store import Store
from tests.proxy.storage.parts import START_S, MovedClock, row


async def test_what_an_entry_tells(store: Store, clock: MovedClock) -> None:
    await store.wallets.credit("team-a", 500, operation_id="op-1", actor="ann", reason="invoice 7")
    charged_row = row("req-1", 100, wallet="team-a", price='{"input": "1.00"}', price_line="100 × $1.00/M")
    await store.ledger.commit([], charged_row)
    (topup,) = await store.entries.page(limit=1)
    assert (topup.kind, topup.debit, topup.credit, topup.amount) == ("topup", "external", "wallet:team-a", 500)
    assert (topup.actor, topup.line, topup.at_ns, topup.price) == ("ann", "invoice 7", clock.now_ns(), "")
    (charged,) = await store.entries.page(after_id=topup.id)
    assert (charged.debit, charged.credit, charged.line) == ("wallet:team-a", "provider:ark", "100 × $1.00/M")
    assert charged.price == '{"input": "1.00"}'


@pytest.mark.parametrize(("looked_at", "taken"), [(1, 1), (2, 5), (7, 2), (100, 100)])
async def test_slices_make_pages(
    store: Store, clock: MovedClock, looked_at: int, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entries, "SLICE_ROWS", looked_at)
    monkeypatch.setattr(entries, "READ_ROWS", taken)
    for number in range(12):
        await store.ledger.commit([], row(f"req-{number}", 100, key=("ci", "cd")[number % 2]))
        clock.now_s += 1

    assert [entry.id for entry in await store.entries.page()] == list(range(1, 13))
    assert [entry.id for entry in await store.entries.page(limit=3, after_id=4)] == [5, 6, 7]
    ours = Wanted(account="key:cd", since_ns=(START_S + 2) * 10**9, until_ns=(START_S + 9) * 10**9)
    assert [entry.id for entry in await store.entries.page(ours)] == [4, 6, 8]
    assert [entry.id for entry in await store.entries.latest(ours, limit=2)] == [8, 6]
    assert [entry.id for entry in await store.entries.latest(Wanted(), limit=5)] == [12, 11, 10, 9, 8]
    assert await store.entries.page(Wanted(kind="topup")) == []
