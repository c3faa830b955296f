"""Exposure: entered for the operator, listed until it is reconciled, never a caller's."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection

from proxy.errors import BadRequest, BudgetExhausted
from proxy.storage.exposures import OpenExposure, Reconciled
from proxy.storage.ledger import Exposure, Window
from proxy.storage.store import Store
from proxy.storage.verification import problems
from tests.proxy.storage.conftest import Open
from tests.proxy.storage.parts import DAY_S, START_S, MovedClock, charge, row, window

ALWAYS = (0, 2**62, "UTC")
ARK = Exposure(provider="ark", amount_nanousd=100, line="no answer was seen")


def gateway(limit: int) -> Window:
    return window(limit, "gateway", param="gateway.daily")


async def unanswered(store: Store, request_id: str, *exposures: Exposure, **fields: str) -> None:
    held = await store.ledger.reserve(request_id, 100, [window(1000), gateway(1000)])
    await store.ledger.commit([held.void()], row(request_id, 0, **fields), exposures or (ARK,))


async def entries(store: Store) -> list[tuple[str, str, str, int]]:
    return [(entry.kind, entry.debit, entry.credit, entry.amount) for entry in await store.entries.page()]


async def test_it_counts_for_the_gateway_and_not_for_the_key(store: Store) -> None:
    await unanswered(store, "a")
    await store.ledger.reserve("key", 1000, [window(1000)])
    with pytest.raises(BudgetExhausted):
        await store.ledger.reserve("too much", 901, [gateway(1000)])
    await store.ledger.reserve("gateway", 900, [gateway(1000)])
    assert await entries(store) == [("exposure", "operator", "exposure:ark", 100)]
    assert await store.reports.verify() == []


async def test_a_charge_and_what_another_route_may_bill_beside_it(store: Store) -> None:
    held = await store.ledger.reserve("a", 100, [window(1000), gateway(1000)])
    relay = Exposure(provider="relay", amount_nanousd=30, line="it failed")
    await store.ledger.commit([held.settle(charge(80))], row("a", 80), [ARK, relay])
    assert await store.reports.verify() == []
    with pytest.raises(BudgetExhausted):
        await store.ledger.reserve("b", 1000 - 210 + 1, [gateway(1000)])
    open_ones = await store.exposures.open(*ALWAYS)
    assert [(one.provider, one.amount_nanousd) for one in open_ones] == [("ark", 100), ("relay", 30)]


async def test_without_a_hold_it_is_listed_all_the_same(store: Store) -> None:
    await store.ledger.commit([], row("a", 0), [ARK])
    assert [one.amount_nanousd for one in await store.exposures.open(*ALWAYS)] == [100]
    assert await store.reports.verify() == []


async def test_told_twice_it_counts_once(store: Store) -> None:
    held = await store.ledger.reserve("a", 100, [gateway(1000)])
    for _ in range(2):
        await store.ledger.commit([held.void()], row("a", 0), [ARK])
    assert len(await entries(store)) == 1
    assert await store.reports.verify() == []


async def test_sent_once_more_it_is_entered_at_once_and_the_hold_stands(store: Store) -> None:
    held = await store.ledger.reserve("a", 100, [window(100), gateway(300)])
    await held.expose([ARK])
    await held.expose([ARK])
    assert await entries(store) == [("exposure", "operator", "exposure:ark", 100)]
    with pytest.raises(BudgetExhausted):
        await store.ledger.reserve("too much", 101, [gateway(300)])
    relay = Exposure(provider="relay", amount_nanousd=100, line="it failed")
    await held.expose([ARK, relay])
    await store.ledger.commit([held.settle(charge(70))], row("a", 70), [ARK, relay])
    owed = [("exposure:ark", 100), ("exposure:relay", 100), ("provider:ark", 70)]
    assert [entry[2:] for entry in await entries(store)] == owed
    await store.ledger.reserve("the rest", 30, [window(100), gateway(300)])
    assert await store.reports.verify() == []


async def test_where_there_is_no_room_for_both_nothing_changes(store: Store) -> None:
    held = await store.ledger.reserve("a", 100, [window(100), gateway(199)])
    with pytest.raises(BudgetExhausted) as refused:
        await held.expose([ARK])
    assert refused.value.param == "gateway.daily"
    assert await entries(store) == []
    await store.ledger.commit([held.void()], row("a", 0), [ARK])
    assert len(await entries(store)) == 1
    assert await store.reports.verify() == []


async def test_a_crash_between_two_attempts_loses_neither(store: Store, reopen: Open) -> None:
    held = await store.ledger.reserve("a", 100, [gateway(300)])
    await held.expose([ARK])
    await store.close()
    store = await reopen()
    assert [one.amount_nanousd for one in await store.exposures.open(*ALWAYS)] == [100, 100]
    assert await store.reports.verify() == []
    with pytest.raises(BudgetExhausted):
        await store.ledger.reserve("b", 101, [gateway(300)])


async def test_held_anew_it_counts_once_what_was_entered_before(store: Store, reopen: Open) -> None:
    held = await store.ledger.reserve("a", 60, [gateway(1000)])
    await held.expose([ARK])
    await store.ledger.commit([held.void()], None)
    await store.close()
    store = await reopen()  # as when another process takes over in between
    again = await store.ledger.reserve("a", 120, [gateway(1000)])
    relay = Exposure(provider="relay", amount_nanousd=30, line="it failed")
    await again.expose([ARK, relay])
    await store.ledger.commit([again.settle(charge(70))], row("a", 70), [ARK, relay])
    assert [entry[3] for entry in await entries(store)] == [100, 30, 70]
    assert await store.reports.verify() == []
    await store.ledger.reserve("the rest", 1000 - 200, [gateway(1000)])
    with pytest.raises(BudgetExhausted):
        await store.ledger.reserve("too much", 1, [gateway(1000)])


async def test_by_day_provider_and_model(store: Store, clock: MovedClock) -> None:
    await unanswered(store, "a")
    await unanswered(store, "b")
    await unanswered(store, "c", Exposure(provider="relay", amount_nanousd=7, line=""))
    clock.now_s = START_S + DAY_S
    await unanswered(store, "d", model="kimi")
    assert await store.exposures.open(*ALWAYS) == [
        OpenExposure(day="2026-11-22", provider="ark", model="doubao-seed", requests=2, amount_nanousd=200),
        OpenExposure(day="2026-11-22", provider="relay", model="doubao-seed", requests=1, amount_nanousd=7),
        OpenExposure(day="2026-11-23", provider="ark", model="kimi", requests=1, amount_nanousd=100),
    ]
    assert [one.day for one in await store.exposures.open(0, 2**62, "America/New_York", "ark")] == ["2026-11-21", "2026-11-22"]
    assert await store.exposures.open(clock.now_ns(), 2**62, "UTC", "relay") == []


async def reconcile(store: Store, billed: int, provider: str = "ark") -> Reconciled:
    return await store.exposures.reconcile(0, 2**62, provider, billed, actor="ann", reason="bill 7", now_ns=START_S * 10**9)


async def test_what_was_billed_goes_to_the_provider_and_the_rest_back(store: Store) -> None:
    await unanswered(store, "a")
    await unanswered(store, "b")
    assert await reconcile(store, 130) == Reconciled(requests=2, billed_nanousd=130, returned_nanousd=70)
    assert (await entries(store))[2:] == [
        ("reconciled", "exposure:ark", "provider:ark", 100),
        ("reconciled", "exposure:ark", "provider:ark", 30),
        ("reconciled", "exposure:ark", "operator", 70),
    ]
    last = (await store.entries.page())[-1]
    assert (last.request_id, last.actor, last.line) == ("b", "ann", "bill 7")
    assert await store.exposures.open(*ALWAYS) == []
    assert await store.reports.verify() == []
    with pytest.raises(BadRequest, match="No exposure of this provider"):
        await reconcile(store, 0)


async def test_no_more_than_is_open(store: Store) -> None:
    await unanswered(store, "a")
    with pytest.raises(BadRequest, match=r"Only 0\.0000001 USD are open"):
        await reconcile(store, 101)
    with pytest.raises(BadRequest):
        await reconcile(store, 0, "relay")
    assert len(await store.exposures.open(*ALWAYS)) == 1


async def test_after_a_crash_it_is_known_where_a_request_went(store: Store, reopen: Open) -> None:
    (await store.ledger.reserve("sent", 60, [window(200)])).dispatched(route="ark-lite", provider="ark")
    far = await store.ledger.reserve("streaming", 60, [gateway(200)])
    far.dispatched(route="ark-lite", provider="ark")
    far.checkpoint(charge(20))
    await store.ledger.reserve("unsent", 60, [window(200)])
    await store.close()
    store = await reopen()
    assert await store.reports.verify() == []
    open_ones = await store.exposures.open(*ALWAYS)
    assert [(one.provider, one.requests, one.amount_nanousd) for one in open_ones] == [("", 1, 60), ("ark", 2, 100)]
    _, ark = await store.reports.usage(["provider", "route"], 0, 2**62)
    assert (ark.group, ark.debit_nanousd) == ({"provider": "ark", "route": "ark-lite"}, 20)
    assert (await reconcile(store, 0, "")).returned_nanousd == 60


@pytest.mark.parametrize(
    "flip",
    [
        "UPDATE entry SET amount = amount - 1 WHERE kind = 'reconciled'",
        "UPDATE entry SET amount = amount + 1 WHERE kind = 'exposure'",
        "UPDATE entry SET credit = 'exposure:other' WHERE kind = 'exposure'",
        "DELETE FROM entry WHERE kind = 'exposure'",
    ],
)
async def test_a_flipped_row_is_found(store: Store, flip: str) -> None:
    await unanswered(store, "a")
    await reconcile(store, 40)

    def flip_and_verify(connection: Connection) -> list[str]:
        connection.exec_driver_sql(flip)
        return list(problems(connection))

    assert await store.reports.verify() == []
    assert await store.writer.run(flip_and_verify)
