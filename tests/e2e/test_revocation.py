"""Revoked keys and changed limits hold at the next admission, even for a request that is past the door already."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from proxy.context import Limits, RateLimit
from proxy.storage.keys import KeyRecord, digest_of
from tests.e2e import files
from tests.e2e.conftest import Answered, Serve, Served
from tests.fakes import FakeOpenAI

MEDDLER = """
from proxy import Limits, RateLimit, hookimpl

CHANGES = {
    "no money": {"budget": Limits(daily_nanousd=0)},
    "no place": {"rate_limit": RateLimit(requests_per_minute=1)},
    "no models": {"models": frozenset({"other"})},
    "no time": {"expires_s": 1},
}


@hookimpl
def startup(app):
    global keys
    keys = app.keys


async def change(ctx, hook):
    where, _, what = ctx.headers.get("x-meddle", "").partition(" ")
    if where != hook or ctx.target is not None:
        return
    if what == "revoke":
        await keys.revoke(ctx.principal.id)
    else:
        await keys.update(ctx.principal.id, CHANGES[what])


@hookimpl
async def authorize(ctx):
    await change(ctx, "authorize")


@hookimpl
async def reserve(ctx):
    await change(ctx, "reserve")
"""
"""Changes the key of a request on its way."""
SECRET = "sk-store-0123456789-0123456789"
BUDGET = Limits(daily_nanousd=10**10)


async def started(serve: Serve, fake: FakeOpenAI, **members: Any) -> Served:
    served = await serve(
        providers={"relay": files.relay(fake)},
        models={
            "doubao-seed": files.model(files.route("relay", "relay")),
            "other": files.model(files.route("relay", "relay")),
        },
        plugins=["virtual_keys", "model_scope", "./meddler.py", "rate_limit", "budget", "routing", "metering", "metrics"],
        also={"meddler.py": MEDDLER},
    )
    await served.gateway.store.keys.create(KeyRecord(name="ann", digest=digest_of(SECRET), created_s=1, **members))
    served.key = SECRET
    return served


async def meddled(served: Served, how: str) -> Answered:
    return await served.chat(headers={"x-meddle": how})


@pytest.mark.parametrize(
    ("members", "how", "status", "code"),
    [
        ({}, "authorize revoke", 401, "key_revoked"),
        ({}, "authorize no time", 401, "key_expired"),
        ({}, "authorize no money", 429, "budget_exceeded"),
        ({}, "authorize no models", 403, "model_not_allowed"),
        ({"budget": BUDGET}, "authorize revoke", 401, "key_revoked"),
        ({"budget": BUDGET}, "authorize no money", 429, "budget_exceeded"),
        ({"budget": BUDGET, "rate_limit": RateLimit(concurrent=1)}, "reserve revoke", 401, "key_revoked"),
        ({"budget": BUDGET}, "reserve no time", 401, "key_expired"),
    ],
)
async def test_a_key_that_changes_between_the_door_and_the_books(
    serve: Serve, fake_openai: FakeOpenAI, members: Any, how: str, status: int, code: str
) -> None:
    served = await started(serve, fake_openai, **members)
    answered = await meddled(served, how)
    assert (answered.status, answered.error["code"]) == (status, code)
    assert fake_openai.requests == []
    assert await served.metric("paifang_ledger_unsettled") == 0


async def test_a_lowered_rate_limit_is_that_of_the_request_itself(serve: Serve, fake_openai: FakeOpenAI) -> None:
    served = await started(serve, fake_openai, rate_limit=RateLimit(requests_per_minute=9))
    assert (await served.chat()).headers["x-ratelimit-remaining-requests"] == "8"
    answered = await meddled(served, "authorize no place")
    assert (answered.status, answered.headers["x-ratelimit-limit-requests"]) == (429, "1")


async def test_a_budget_that_comes_in_the_middle_of_the_day_counts_what_was_spent(
    serve: Serve, fake_openai: FakeOpenAI
) -> None:
    served = await started(serve, fake_openai)
    spent = [(await served.chat(max_tokens=6)).json["usage"]["cost"] for _ in range(2)]
    fake_openai.delay(before_s=0.5)
    running = asyncio.ensure_future(served.chat(max_tokens=6))
    async with asyncio.timeout(5):
        while len(fake_openai.requests) < 3:
            await asyncio.sleep(0.01)
    fake_openai.delay()
    limit_nanousd = 3 * round(spent[0] * 10**9)
    await served.gateway.store.keys.update("ann", {"budget": Limits(daily_nanousd=limit_nanousd, monthly_nanousd=10**12)})
    assert (await served.chat(max_tokens=1)).error["param"] == "key.daily"
    assert (await running).status == 200
    assert (await served.chat(max_tokens=1)).error["param"] == "key.daily"
    assert await served.gateway.store.reports.verify() == []


async def test_a_key_of_the_file_is_its_own_whatever_the_store_says(serve: Serve, fake_openai: FakeOpenAI) -> None:
    served = await serve(
        providers={"relay": files.relay(fake_openai)},
        models={"doubao-seed": files.model(files.route("relay", "relay"))},
        keys=[files.key("ann", files.KEY, budget={"daily_usd": 1})],
    )
    await served.gateway.store.keys.create(KeyRecord(name="ann", digest=digest_of(files.KEY), created_s=1, revoked_s=2))
    assert (await served.chat()).status == 200
