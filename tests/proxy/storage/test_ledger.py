"""Reserve, settle and void through the writer: what callers see."""

from __future__ import annotations

import asyncio

import pytest

from proxy.errors import BudgetExhausted, LedgerUnavailable, WalletEmpty
from proxy.storage.ledger import wallet_window
from proxy.storage.store import Store
from tests.proxy.storage.conftest import Open
from tests.proxy.storage.parts import DAY_S, START_S, MovedClock, charge, row, window

CENT = 10**7
HOUR_S = 3600


async def spend(store: Store, request_id: str, amount: int, limit: int, *, day: int = 0) -> None:
    reservation = await store.ledger.reserve(request_id, amount, [window(limit, day=day)])
    received_ns = (START_S + day * DAY_S) * 10**9
    await store.ledger.commit([reservation.settle(charge(amount))], row(request_id, amount, received_ns=received_ns))


async def test_two_hundred_at_once_on_a_budget_for_ten_admit_exactly_ten(store: Store) -> None:
    limits = [window(10 * CENT), window(1000 * CENT, "gateway", param="gateway.daily")]
    answers = await asyncio.gather(
        *(store.ledger.reserve(f"req-{number}", CENT, limits) for number in range(200)), return_exceptions=True
    )
    admitted = [answer for answer in answers if not isinstance(answer, BaseException)]
    assert len(admitted) == 10
    assert all(isinstance(answer, BudgetExhausted) for answer in answers if answer not in admitted)
    await store.ledger.commit([reservation.settle(charge(CENT // 2)) for reservation in admitted], None)
    assert store.reports.unsettled() == 0
    for number in range(5):
        await spend(store, f"more-{number}", CENT, 10 * CENT)
    with pytest.raises(BudgetExhausted):
        await spend(store, "last", 1, 10 * CENT)
    assert await store.reports.verify() == []


async def test_all_windows_or_none(store: Store) -> None:
    short = window(5, "key:ci/family:doubao", param="family.daily")
    with pytest.raises(BudgetExhausted) as refused:
        await store.ledger.reserve("a", 10, [window(100), short])
    assert refused.value.param == "family.daily"
    await store.ledger.reserve("b", 100, [window(100)])


async def test_a_refusal_says_what_is_left_and_when_more_comes(store: Store) -> None:
    await spend(store, "a", 98 * CENT, 100 * CENT)
    with pytest.raises(BudgetExhausted) as refused:
        await store.ledger.reserve("b", 5 * CENT, [window(100 * CENT)])
    assert refused.value.message == (
        "The key's daily budget of $1.00 has $0.02 left; this request may cost up to $0.05. It resets at "
        "2026-11-23T00:00:00+00:00; until then, lower max_tokens."
    )
    assert (refused.value.status, refused.value.code, refused.value.param) == (429, "budget_exceeded", "key.daily")
    assert refused.value.headers() == {"x-should-retry": "false"}
    with pytest.raises(BudgetExhausted, match=r"up to \$1.01. The whole budget would not cover it: lower max_tokens, or send"):
        await store.ledger.reserve("b", 101 * CENT, [window(100 * CENT)])


async def test_a_wallet_pays_from_its_credit(store: Store) -> None:
    await store.wallets.credit("team-a", 5 * CENT, operation_id="op-1", actor="ann", reason="invoice 7")
    reservation = await store.ledger.reserve("a", 3 * CENT, [wallet_window("team-a")])
    with pytest.raises(WalletEmpty) as refused:
        await store.ledger.reserve("b", 3 * CENT, [wallet_window("team-a")])
    assert refused.value.message == (
        "The wallet 'team-a' has $0.02 left; this request may cost up to $0.03. Top it up, or ask for less."
    )
    await store.ledger.commit([reservation.settle(charge(CENT))], row("a", CENT, wallet="team-a"))
    await store.ledger.reserve("b", 4 * CENT, [wallet_window("team-a")])
    assert await store.reports.verify() == []


async def test_a_clamped_hold_takes_what_is_left(store: Store) -> None:
    await spend(store, "a", 70, 100)
    reservation = await store.ledger.reserve("b", 50, [window(100), window(1000, "gateway")], floor_nanousd=20)
    assert reservation.amount_nanousd == 30
    with pytest.raises(BudgetExhausted):
        await store.ledger.reserve("c", 50, [window(100)], floor_nanousd=1)


async def test_more_than_was_held_is_posted_in_full_and_refuses_the_next(store: Store) -> None:
    reservation = await store.ledger.reserve("a", 60, [window(100)])
    await store.ledger.commit([reservation.settle(charge(130))], row("a", 130))
    with pytest.raises(BudgetExhausted, match=r"has \$0.00 left"):
        await store.ledger.reserve("b", 0, [window(100)])
    assert await store.reports.verify() == []
    overruns = await store.writer.run(lambda db: db.exec_driver_sql("SELECT overrun FROM spending").scalars().all())
    assert overruns == [70]


async def test_saying_it_again_changes_nothing(store: Store) -> None:
    first = await store.ledger.reserve("a", 60, [window(100)])
    again = await store.ledger.reserve("a", 60, [window(100)])
    assert again.amount_nanousd == first.amount_nanousd
    for _ in range(2):
        await store.ledger.commit([first.settle(charge(50))], row("a", 50))
    await store.ledger.commit([again.void()], None)
    assert (await store.ledger.reserve("a", 40, [window(100)])).amount_nanousd == 60
    await store.ledger.reserve("b", 50, [window(100)])
    assert await store.reports.verify() == []


async def test_a_second_plugin_adds_its_windows_to_the_requests_one_hold(store: Store) -> None:
    theirs = window(70, "team:a", param="team.daily")
    first = await store.ledger.reserve("a", 60, [window(100)])
    second = await store.ledger.reserve("a", 70, [window(100), theirs])
    assert second.amount_nanousd == 70
    with pytest.raises(BudgetExhausted):
        await store.ledger.reserve("b", 31, [window(100)])
    with pytest.raises(BudgetExhausted) as refused:
        await store.ledger.reserve("b", 1, [theirs])
    assert refused.value.param == "team.daily"
    await store.ledger.commit([first.settle(charge(50)), second.settle(charge(50))], row("a", 50))
    await store.ledger.reserve("b", 20, [window(100), theirs])
    with pytest.raises(BudgetExhausted):
        await store.ledger.reserve("c", 1, [theirs])
    assert await store.reports.verify() == []


async def test_a_second_plugins_window_that_is_full_refuses_and_leaves_the_hold(store: Store) -> None:
    first = await store.ledger.reserve("a", 60, [window(100)])
    with pytest.raises(BudgetExhausted):
        await store.ledger.reserve("a", 60, [window(0, "team:a")])
    await store.ledger.commit([first.void()], None)
    await store.ledger.reserve("b", 100, [window(100)])
    assert await store.reports.verify() == []


async def test_a_hold_that_was_given_back_may_be_made_anew(store: Store) -> None:
    first = await store.ledger.reserve("a", 60, [window(100)])
    await store.ledger.commit([first.void()], None)
    second = await store.ledger.reserve("a", 90, [window(100)])
    await store.ledger.commit([second.settle(charge(80))], row("a", 80))
    assert await store.reports.verify() == []


async def test_whoever_stops_waiting_leaves_no_hold(store: Store) -> None:
    for number in range(20):
        task = asyncio.create_task(store.ledger.reserve(f"req-{number}", 100, [window(100)]))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await store.ledger.reserve("b", 100, [window(100)])
    assert store.reports.unsettled() == 1


async def test_only_the_family_that_served_is_charged(store: Store) -> None:
    families = [window(100, f"key:ci/family:{name}", param="family.daily") for name in ("doubao", "kimi")]
    reservation = await store.ledger.reserve("a", 80, families)
    await store.ledger.commit([reservation.settle(charge(80, family="kimi"))], row("a", 80))
    await store.ledger.reserve("b", 100, families[:1])
    with pytest.raises(BudgetExhausted):
        await store.ledger.reserve("c", 21, families[1:])
    assert await store.reports.verify() == []


async def test_a_charge_belongs_to_the_window_of_its_admission(store: Store, clock: MovedClock) -> None:
    clock.now_s = START_S + DAY_S - 1
    reservation = await store.ledger.reserve("a", 60, [window(100)])
    clock.now_s = START_S + DAY_S
    await store.ledger.reserve("b", 100, [window(100, day=1)])
    await store.ledger.commit([reservation.settle(charge(60))], row("a", 60))
    with pytest.raises(BudgetExhausted):
        await store.ledger.reserve("c", 1, [window(100, day=1)])
    assert await store.reports.verify() == []


async def test_a_clock_that_goes_back_over_midnight_stays_in_the_new_day(store: Store, clock: MovedClock) -> None:
    await spend(store, "a", 40, 100)
    clock.now_s = START_S + DAY_S
    await spend(store, "b", 90, 100, day=1)
    clock.now_s = START_S + DAY_S - HOUR_S
    with pytest.raises(BudgetExhausted):
        await store.ledger.reserve("c", 20, [window(100)])


async def test_a_clock_that_was_a_year_ahead_for_a_while_does_not_bind_the_budget(store: Store, clock: MovedClock) -> None:
    clock.now_s = START_S + 365 * DAY_S
    await spend(store, "a", 100, 100, day=365)
    clock.now_s = START_S
    await spend(store, "b", 100, 100)
    with pytest.raises(BudgetExhausted):
        await store.ledger.reserve("c", 1, [window(100)])


async def test_a_change_of_zone_begins_with_the_next_boundary(store: Store, clock: MovedClock) -> None:
    clock.now_s = START_S + 17 * HOUR_S
    await spend(store, "a", 100, 100)
    singapore = window(100)._replace(start_s=START_S + 16 * HOUR_S, end_s=START_S + 40 * HOUR_S)
    with pytest.raises(BudgetExhausted):
        await store.ledger.reserve("b", 1, [singapore])
    clock.now_s = START_S + 25 * HOUR_S
    await store.ledger.reserve("c", 100, [singapore])


async def test_spending_and_open_holds_outlive_a_restart(store: Store, reopen: Open) -> None:
    await spend(store, "a", 30, 100)
    await store.close()
    store = await reopen()
    with pytest.raises(BudgetExhausted):
        await store.ledger.reserve("b", 71, [window(100)])
    await store.ledger.reserve("c", 70, [window(100)])


async def test_what_a_gateway_left_open_is_settled_on_its_last_checkpoint(store: Store, reopen: Open) -> None:
    limits = [window(1000), window(1000, "gateway", param="gateway.daily")]
    (await store.ledger.reserve("sent", 300, limits)).dispatched()
    far = await store.ledger.reserve("streaming", 300, limits)
    far.dispatched()
    far.checkpoint(charge(120))
    await store.ledger.reserve("unsent", 300, limits)
    await store.close()

    store = await reopen()
    assert store.reports.unsettled() == 0
    assert await store.reports.verify() == []
    entries = [(entry.request_id, entry.kind, entry.amount) for entry in await store.entries.page()]
    assert sorted(entries) == [
        ("sent", "exposure", 300),
        ("streaming", "exposure", 180),
        ("streaming", "recovered", 120),
        ("unsent", "exposure", 300),
    ]
    await store.ledger.reserve("key may still", 880, [window(1000)])
    with pytest.raises(BudgetExhausted):
        await store.ledger.reserve("gateway may", 101, [window(1000, "gateway", param="gateway.daily")])


@pytest.mark.parametrize("amount", [1.0, True, -1, 10**15 + 1])
async def test_an_amount_that_is_none_is_refused(store: Store, amount: int) -> None:
    reservation = await store.ledger.reserve("a", 10, [window(100)])
    with pytest.raises(ValueError, match="an amount is an integer"):
        reservation.settle(charge(amount))
    with pytest.raises(ValueError, match="an amount is an integer"):
        await store.ledger.reserve("b", amount, [window(100)])


async def test_what_a_client_calls_itself_is_stored_safely(store: Store) -> None:
    await store.ledger.commit([], row("a", 5, user="x\ud800\0" + "y" * 300, client_request_id="\udfff"))
    (line,) = await store.reports.usage(["user"], 0, 2**62)
    assert line.group["user"].startswith("x?�y")
    assert len(line.group["user"]) == 256


async def test_a_closed_ledger_takes_nothing(store: Store) -> None:
    await store.close()
    with pytest.raises(LedgerUnavailable):
        await store.ledger.reserve("a", 1, [window(100)])
    assert store.problem == "the store is closed"


async def test_what_is_only_foreseen_is_neither_held_nor_begun(store: Store) -> None:
    await spend(store, "a", 70, 100)
    windows = [window(100), wallet_window("nobody's")]
    for _ in range(2):
        foreseen = await store.ledger.foresee(50, windows, floor_nanousd=0)
        assert (foreseen.granted_nanousd, foreseen.refusal) == (0, None)
        assert foreseen.left == ((30, START_S + DAY_S), (0, wallet_window("").end_s))
    refused = (await store.ledger.foresee(50, [window(100)])).refusal
    assert isinstance(refused, BudgetExhausted) and refused.param == "key.daily"
    assert (store.ledger.unsettled, await store.wallets.list()) == (0, [])
    assert (await store.ledger.reserve("b", 30, [window(100)])).amount_nanousd == 30
    assert await store.reports.verify() == []
