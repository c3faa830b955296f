"""A store that another process owns: the same answers over a link, holds that are settled for who is gone, and inheritance."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.context import Limits
from proxy.errors import BadRequest, BudgetExhausted, LedgerUnavailable, NotFound, Unauthenticated
from proxy.peers import Peer, Peers
from proxy.storage.guest import Guest
from proxy.storage.keys import KeyRecord, digest_of
from proxy.storage.ledger import Posting, Subject
from proxy.storage.store import Store, parsed_url
from tests.proxy.storage.parts import SUBJECT, MovedClock, charge, row, window

KEY = KeyRecord(name="ci", digest=digest_of("sk-pf-1"), models=frozenset({"m"}), budget=Limits(daily_nanousd=5))


class Pair:
    """An owner, and processes that work on its store; all of them in this one."""

    def __init__(self, store: Store, clock: MovedClock, path: Path) -> None:
        self.store = store
        self.peers = Peers(store)
        self._clock = clock
        self._url = parsed_url(f"sqlite:///{path}")

    async def join(self, *, heir: bool = False) -> tuple[Guest, Peer]:
        ours, theirs = socket.socketpair()
        guest = Guest(self._url if heir else None, "process", self._clock)
        connecting = asyncio.create_task(guest.connect(theirs, {}, lambda: None))
        peer = await self.peers.add(ours, "guest", {}, lambda: None)
        await connecting
        return guest, peer


@pytest.fixture
async def pair(store: Store, clock: MovedClock, tmp_path: Path) -> AsyncIterator[Pair]:
    made = Pair(store, clock, tmp_path / "paifang.db")
    yield made
    await made.peers.close()


async def test_budgets_are_one_whoever_asks(pair: Pair) -> None:
    (first, _), (second, _) = await pair.join(), await pair.join()
    held = await first.store.ledger.reserve("a", 6, [window(10)], subject=SUBJECT)
    with pytest.raises(BudgetExhausted) as refused:
        await second.store.ledger.reserve("b", 6, [window(10)], subject=SUBJECT)
    assert refused.value.param == "key.daily" and "budget" in refused.value.message
    with pytest.raises(BudgetExhausted):
        await pair.store.ledger.reserve("c", 6, [window(10)], subject=SUBJECT)
    assert (await second.store.ledger.reserve("d", 6, [window(10)], floor_nanousd=1)).amount_nanousd == 4
    held.dispatched()
    await first.store.ledger.commit([held.settle(charge(5))], row("a", 5))
    await second.store.ledger.commit([Posting(request_id="d", charge=None)], None)
    assert (pair.store.ledger.unsettled, await pair.store.reports.verify()) == (0, [])
    assert [usage.debit_nanousd for usage in await pair.store.reports.usage(("key",), 0, 2**62)] == [5]


async def test_who_is_gone_has_its_holds_settled_as_after_a_crash(pair: Pair) -> None:
    guest, _ = await pair.join()
    await guest.store.ledger.reserve("void", 10, [window(100)], subject=SUBJECT)
    seen = await guest.store.ledger.reserve("seen", 10, [window(100)], subject=SUBJECT)
    seen.dispatched()
    seen.checkpoint(charge(4))
    done = await guest.store.ledger.reserve("done", 10, [window(100)], subject=SUBJECT)
    await guest.store.ledger.commit([done.settle(charge(7))], row("done", 7))
    await pair.store.ledger.reserve("ours", 10, [window(100)], subject=SUBJECT)
    guest.link.close()
    async with asyncio.timeout(2):
        while pair.store.ledger.unsettled > 1:
            await asyncio.sleep(0.01)
    entries = await pair.store.entries.page()
    assert [(entry.request_id, entry.kind, entry.amount) for entry in entries] == [
        ("done", "charge", 7),
        ("void", "exposure", 10),
        ("seen", "recovered", 4),
        ("seen", "exposure", 6),
    ]
    assert await pair.store.reports.verify() == []


async def test_a_change_of_a_key_holds_everywhere_once_it_is_answered(pair: Pair) -> None:
    await pair.store.keys.create(KEY)
    (first, _), (second, _) = await pair.join(), await pair.join()
    assert first.store.keys.find(KEY.digest) == KEY
    changed = await first.store.keys.update("ci", {"models": None, "budget": Limits(monthly_nanousd=7)})
    assert (changed.models, changed.budget) == (None, Limits(monthly_nanousd=7))
    await second.store.keys.revoke("ci")
    found = [store.keys.find(KEY.digest) for store in (first.store, second.store, pair.store)]
    assert found[0] is not None and found[0].revoked_s and found == [found[0]] * 3
    with pytest.raises(Unauthenticated):
        await first.store.ledger.reserve("a", 1, [window(10)], subject=Subject(key="ci", key_digest=KEY.digest))
    with pytest.raises(BadRequest):
        await first.store.keys.create(KEY)
    with pytest.raises(BadRequest):
        await first.store.keys.update("ci", {"digest": ""})
    with pytest.raises(NotFound):
        await first.store.keys.revoke("nobody")


async def test_without_its_owner_nothing_is_spent(pair: Pair) -> None:
    guest, peer = await pair.join()
    held = await guest.store.ledger.reserve("a", 1, [window(10)])
    with pytest.raises(LedgerUnavailable):
        await guest.store.reports.verify()
    peer.link.close()
    await guest.link.closed
    guest.writer.lost("gone")
    assert guest.store.ledger.problem == "gone"
    for work in (guest.store.ledger.reserve("b", 1, [window(10)]), guest.store.ledger.commit([held.void()], None)):
        with pytest.raises(LedgerUnavailable):
            await work


async def test_an_heir_goes_on_with_its_holds_and_what_was_not_answered(pair: Pair) -> None:
    heir, peer = await pair.join(heir=True)
    before = await heir.store.ledger.reserve("before", 4, [window(10)], subject=SUBJECT)
    await pair.store.ledger.reserve("left by a crash", 1, [window(10)], subject=SUBJECT)
    await pair.store.keys.create(KEY)
    # The owner hears nothing more, and closes.
    peer.link.stop_reading()
    reserving = asyncio.create_task(heir.store.ledger.reserve("between", 5, [window(10)], subject=SUBJECT))
    verifying = asyncio.create_task(heir.store.reports.verify())
    await asyncio.sleep(0.05)
    await pair.store.close()
    await pair.peers.close()
    await heir.link.closed
    await heir.inherit()
    assert (await reserving).amount_nanousd == 5
    assert await verifying == []
    assert heir.store.ledger.unsettled == 2
    with pytest.raises(BudgetExhausted):
        await heir.store.ledger.reserve("too much", 2, [window(10)], subject=SUBJECT)
    await heir.store.ledger.commit([before.settle(charge(4))], row("before", 4))
    await heir.store.keys.revoke("ci")
    await heir.store.close()
