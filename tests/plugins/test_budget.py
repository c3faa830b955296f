"""Budgets: which windows a request must fit into, what is held, what a short budget does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from plugins.budget import Budget, BudgetOptions, Held
from proxy import BadRequest, BudgetExhausted, Charge, ChatRequest, Limits, Principal, Usage, WalletEmpty
from proxy.context import RequestContext, Target
from proxy.money import FREE, Price, Tier
from proxy.storage.store import Store, open_store
from tests.plugins.targets import context, target
from tests.proxy.storage.parts import DAY_S, START_S, MovedClock

PRICE = Price(tiers=(Tier(input=1000, cached_input=0, output=3000, reasoning=3000),))
"""1 nano-USD an input token, 3 an output token."""
ARK = replace(target("ark"), price=PRICE, family="doubao", output_cap=100, max_output_tokens=100)
KIMI = replace(ARK, family="kimi", model="kimi")
CHAT = ChatRequest(body={"messages": [{"role": "user", "content": "hi"}]}, body_bytes=100, model="doubao-seed")
BOUND = 100 + 300
NO_LIMITS = Limits()
REJECT, CLAMP = BudgetOptions(), BudgetOptions(when_short="clamp")


@pytest.fixture
def clock() -> MovedClock:
    return MovedClock()


@pytest.fixture
async def store(clock: MovedClock) -> AsyncIterator[Store]:
    store = await asyncio.to_thread(open_store, "sqlite://", "process", clock)
    yield store
    await store.close()


@pytest.fixture
def budget(store: Store, clock: MovedClock) -> Budget:
    plugin = Budget()
    plugin.startup(SimpleNamespace(ledger=store.ledger, clock=clock))
    return plugin


requests = iter(range(10**6))


def asking(
    principal: Principal, *targets: Target, gateway: Limits = NO_LIMITS, chat: ChatRequest = CHAT, **members: Any
) -> RequestContext:
    return context(
        request_id=f"req-{next(requests)}",
        snapshot=SimpleNamespace(gateway_budget=gateway),
        chat=chat,
        principal=principal,
        candidates=targets or (ARK,),
        **members,
    )


def key(daily: int | None = None, monthly: int | None = None, **members: Any) -> Principal:
    return Principal(id="ci", budget=Limits(daily_nanousd=daily, monthly_nanousd=monthly), **members)


async def spend(budget: Budget, store: Store, ctx: RequestContext, amount: int, family: str = "doubao") -> None:
    hold = await budget.reserve(ctx, REJECT)
    assert hold is not None
    usage = Usage(input_tokens=1, output_tokens=1)
    await store.ledger.commit([hold.settle(Charge(amount_nanousd=amount, usage=usage, family=family))], None)


@pytest.mark.parametrize(
    ("principal", "gateway", "param"),
    [
        (key(daily=BOUND - 1, monthly=10**9), Limits(daily_nanousd=10**9), "key.daily"),
        (key(daily=10**9, monthly=BOUND - 1), Limits(), "key.monthly"),
        (key(), Limits(daily_nanousd=BOUND - 1), "gateway.daily"),
        (key(), Limits(monthly_nanousd=BOUND - 1), "gateway.monthly"),
        (key(family_budgets={"doubao": Limits(daily_nanousd=BOUND - 1)}), Limits(), "family.daily"),
        (key(family_budgets={"doubao": Limits(monthly_nanousd=BOUND - 1)}), Limits(), "family.monthly"),
    ],
)
async def test_every_limit_holds(budget: Budget, principal: Principal, gateway: Limits, param: str) -> None:
    with pytest.raises(BudgetExhausted) as refused:
        await budget.reserve(asking(principal, gateway=gateway), REJECT)
    assert refused.value.param == param


async def test_what_fits_exactly_is_admitted_once(budget: Budget) -> None:
    hold = await budget.reserve(asking(key(daily=BOUND)), REJECT)
    assert hold is not None
    with pytest.raises(BudgetExhausted):
        await budget.reserve(asking(key(daily=BOUND)), REJECT)


async def test_a_wallet_that_cannot_cover_it_refuses(budget: Budget, store: Store) -> None:
    with pytest.raises(WalletEmpty) as refused:
        await budget.reserve(asking(key(wallet="team-a")), REJECT)
    assert (refused.value.status, refused.value.param) == (402, "wallet")
    await store.wallets.credit("team-a", BOUND, operation_id="op-1", actor="ann", reason="")
    assert await budget.reserve(asking(key(wallet="team-a")), REJECT) is not None


async def test_what_costs_nothing_is_not_held(budget: Budget, store: Store) -> None:
    assert await budget.reserve(asking(key(daily=0), replace(ARK, price=FREE)), REJECT) is None
    assert store.reports.unsettled() == 0


async def test_without_a_limit_it_is_held_for_a_crash_to_find(budget: Budget, store: Store) -> None:
    held = await budget.reserve(asking(key()), REJECT)
    assert held is not None and held.amount_nanousd == BOUND
    assert store.reports.unsettled() == 1


async def test_fallbacks_of_other_families_are_held_for_and_given_back(budget: Budget, store: Store) -> None:
    limits = {"doubao": Limits(daily_nanousd=1000), "kimi": Limits(daily_nanousd=BOUND)}
    both = asking(key(family_budgets=limits), ARK, KIMI)
    await spend(budget, store, both, 200)
    assert await budget.reserve(asking(key(family_budgets=limits), KIMI), REJECT) is not None
    with pytest.raises(BudgetExhausted, match="The key's kimi daily budget"):
        await budget.reserve(asking(key(family_budgets=limits), ARK, KIMI), REJECT)
    assert await budget.reserve(asking(key(family_budgets=limits), ARK), REJECT) is not None


async def test_a_lowered_limit_holds_at_the_next_admission(budget: Budget, store: Store) -> None:
    await spend(budget, store, asking(key(daily=10_000)), 500)
    with pytest.raises(BudgetExhausted):
        await budget.reserve(asking(key(daily=800)), REJECT)
    assert await budget.reserve(asking(key(daily=900)), REJECT) is not None


async def test_a_new_day_and_a_new_month(budget: Budget, store: Store, clock: MovedClock) -> None:
    ask = key(daily=BOUND, monthly=3 * BOUND)
    for _ in range(2):
        await spend(budget, store, asking(ask), BOUND)
        with pytest.raises(BudgetExhausted):
            await budget.reserve(asking(ask), REJECT)
        clock.now_s += DAY_S
    await spend(budget, store, asking(ask), BOUND)
    clock.now_s += DAY_S
    with pytest.raises(BudgetExhausted) as refused:
        await budget.reserve(asking(ask), REJECT)
    assert refused.value.param == "key.monthly"
    clock.now_s = START_S + 9 * DAY_S  # the first of December
    assert await budget.reserve(asking(ask), REJECT) is not None


async def test_days_begin_in_the_zone_of_the_key(budget: Budget, store: Store, clock: MovedClock) -> None:
    clock.now_s = START_S + 15 * 3600
    ask = key(daily=BOUND, timezone="Asia/Singapore")
    await spend(budget, store, asking(ask), BOUND)
    clock.now_s += 3600 - 1
    with pytest.raises(BudgetExhausted):
        await budget.reserve(asking(ask), REJECT)
    clock.now_s += 1
    assert await budget.reserve(asking(ask), REJECT) is not None


async def test_clamp_lowers_the_cap_to_what_is_affordable(budget: Budget, store: Store) -> None:
    hold = await budget.reserve(asking(key(daily=100 + 3 * 40 + 2), target=ARK), CLAMP)
    assert isinstance(hold, Held)
    assert hold.output_cap == 40
    hold.dispatched()
    told = Charge(amount_nanousd=200, usage=Usage(input_tokens=1, output_tokens=1))
    hold.checkpoint(told)
    await store.ledger.commit([hold.settle(told)], None)
    with pytest.raises(BudgetExhausted):
        await budget.reserve(asking(key(daily=200 + 100 + 2)), CLAMP)
    last = await budget.reserve(asking(key(daily=200 + 100 + 3)), CLAMP)
    assert isinstance(last, Held)
    assert last.output_cap == 1
    await store.ledger.commit([last.void()], None)
    assert await store.reports.verify() == []


async def test_a_price_for_everything_that_costs(budget: Budget) -> None:
    searching = replace(CHAT, body={**CHAT.body, "tools": [{"type": "web_search"}]})
    with pytest.raises(BadRequest):
        await budget.reserve(asking(key(), chat=searching), REJECT)


def test_options() -> None:
    assert Budget().config_model()() == BudgetOptions(when_short="reject")
    with pytest.raises(ValidationError):
        BudgetOptions(when_short="maybe")  # type: ignore[arg-type]


async def test_what_is_left_and_what_would_be_refused(budget: Budget, store: Store) -> None:
    families = {"doubao": Limits(daily_nanousd=500), "glm": Limits(monthly_nanousd=9)}
    principal = key(daily=BOUND + 50, wallet="team", family_budgets=families)
    await store.wallets.credit("team", 10**6, operation_id="op", actor="ann", reason="invoice")
    asked = asking(principal, gateway=Limits(monthly_nanousd=10**9))
    assert (await budget.foresee(asked, REJECT)).refusal is None
    await spend(budget, store, asked, 51)
    forecast = await budget.foresee(asked, REJECT)
    assert [(room.param, room.scope, room.limit, room.left, room.resets_s) for room in forecast.rooms] == [
        ("gateway.monthly", "gateway", 10**9, 10**9 - 51, START_S + 9 * DAY_S),
        ("key.daily", "key:ci", 450, 399, START_S + DAY_S),
        ("family.daily", "key:ci/family:doubao", 500, 449, START_S + DAY_S),
        ("wallet", "wallet:team", None, 10**6 - 51, None),
    ]
    assert forecast.refusal is not None and forecast.refusal.param == "key.daily"
    clamped = await budget.foresee(asked, CLAMP)
    hold = await budget.reserve(replace(asked, request_id="clamped"), CLAMP)
    assert hold is not None
    assert (clamped.refusal, clamped.output_cap) == (None, hold.output_cap)
    general = await budget.foresee(replace(asked, chat=None, candidates=()), REJECT)
    assert general.refusal is None
    assert [room.param for room in general.rooms] == [
        "gateway.monthly", "key.daily", "family.daily", "family.monthly", "wallet",
    ]  # fmt: skip


async def test_what_is_free_would_not_be_refused(budget: Budget, store: Store) -> None:
    await spend(budget, store, asking(key(daily=BOUND)), 2 * BOUND)
    forecast = await budget.foresee(asking(key(daily=BOUND), replace(ARK, price=FREE)), REJECT)
    assert (forecast.refusal, [room.left for room in forecast.rooms]) == (None, [-BOUND])
