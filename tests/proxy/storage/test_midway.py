"""A limit that comes in the middle of its window: what was spent in it before counts, and what runs is held for."""

from __future__ import annotations

import pytest

from proxy.errors import BudgetExhausted
from proxy.storage.ledger import Exposure, Subject, Window
from proxy.storage.store import Store
from tests.proxy.storage.parts import DAY_S, START_S, SUBJECT, MovedClock, charge, row, window

OTHER = Subject(key="cd", model="doubao-seed", family="doubao")
MONTH = Window(
    scope="key:ci",
    period="monthly",
    start_s=START_S - 21 * DAY_S,
    end_s=START_S + 9 * DAY_S,
    limit_nanousd=100,
    param="key.monthly",
)


async def spend(store: Store, request_id: str, amount: int, *, day: int = 0, **fields: object) -> None:
    held = await store.ledger.reserve(request_id, amount, [], subject=SUBJECT)
    logged = row(request_id, amount, received_ns=(START_S + day * DAY_S) * 10**9, **fields)
    await store.ledger.commit([held.settle(charge(amount))], logged)


async def left(store: Store, limits: Window) -> int:
    """What a request may hold at most; foreseen and then held."""
    foreseen = await store.ledger.foresee(10**6, [limits], floor_nanousd=0)
    held = await store.ledger.reserve(f"probe {limits.scope}", 10**6, [limits], floor_nanousd=0)
    await store.ledger.commit([held.void()], None)
    assert foreseen.left == ((held.amount_nanousd, limits.end_s),)
    return held.amount_nanousd


async def test_what_a_key_has_spent_counts(store: Store) -> None:
    await spend(store, "a", 30)
    await spend(store, "yesterday", 20, day=-1)
    await spend(store, "last month", 1, day=-22)
    await spend(store, "another key", 7, key="cd")
    await spend(store, "another family", 5, family="kimi")
    assert await left(store, window(100)) == 65
    assert await left(store, MONTH) == 45
    assert await left(store, window(100, "key:ci/family:doubao")) == 70
    assert await left(store, window(100, "gateway")) == 58
    assert await left(store, window(100, "other:ci")) == 100
    assert await store.reports.verify() == []
    with pytest.raises(BudgetExhausted):
        await store.ledger.reserve("b", 66, [window(100)])


async def test_of_a_wallets_key_too(store: Store) -> None:
    await spend(store, "a", 30, wallet="team-a")
    assert await left(store, window(100)) == 70


async def test_exposure_counts_for_the_gateway(store: Store) -> None:
    await store.ledger.commit([], row("a", 0), [Exposure(provider="ark", amount_nanousd=40, line="")])
    assert await left(store, window(100, "gateway")) == 60


async def test_what_runs_is_held_for_and_charged(store: Store, clock: MovedClock) -> None:
    running = await store.ledger.reserve("running", 60, [], subject=SUBJECT)
    await store.ledger.reserve("of another", 60, [], subject=OTHER)
    assert await left(store, window(100)) == 40
    with pytest.raises(BudgetExhausted):
        await store.ledger.reserve("b", 41, [window(100)])
    await store.ledger.commit([running.settle(charge(25))], row("running", 25))
    assert await left(store, window(100)) == 75
    assert await store.reports.verify() == []
    # Of a window that begins later it is none.
    late = await store.ledger.reserve("late", 60, [], subject=SUBJECT)
    clock.now_s += DAY_S
    assert await left(store, window(100, day=1)) == 100
    await store.ledger.commit([late.void()], None)


async def test_a_window_that_was_watched_all_along_counts_once(store: Store) -> None:
    held = await store.ledger.reserve("a", 30, [window(100)], subject=SUBJECT)
    await store.ledger.commit([held.settle(charge(30))], row("a", 30))
    assert await left(store, window(100)) == 70
    assert await store.reports.verify() == []
