"""Keys made at run time: written through, found in memory, gone for good once revoked."""

from __future__ import annotations

import asyncio

import pytest

from proxy.context import Limits, RateLimit
from proxy.errors import BadRequest, NotFound, Unauthenticated
from proxy.storage.keys import KeyRecord, digest_of
from proxy.storage.ledger import Subject
from proxy.storage.store import Store
from tests.proxy.storage.conftest import Open
from tests.proxy.storage.parts import START_S, MovedClock, window

FULL = KeyRecord(
    name="ci",
    digest=digest_of("sk-pf-1"),
    hint="f-1",
    families=frozenset({"doubao", "kimi"}),
    models=frozenset({"doubao-seed"}),
    wallet="team-a",
    timezone="Asia/Singapore",
    budget=Limits(daily_nanousd=10**9, monthly_nanousd=20 * 10**9),
    family_budgets={"doubao": Limits(daily_nanousd=5 * 10**8)},
    rate_limit=RateLimit(requests_per_minute=60, concurrent=8),
    expires_s=START_S + 1000,
    created_s=START_S,
)
BARE = KeyRecord(name="bare", digest=digest_of("sk-pf-2"), created_s=START_S - 1)


async def test_keys_outlive_a_restart(store: Store, reopen: Open) -> None:
    await store.keys.create(FULL)
    await store.keys.create(BARE)
    await store.close()
    keys = (await reopen()).keys
    assert keys.list() == [BARE, FULL]
    assert keys.find(FULL.digest) == FULL
    assert keys.find(digest_of("sk-pf-3")) is None


@pytest.mark.parametrize("taken", [FULL, KeyRecord(name="other", digest=FULL.digest)])
async def test_a_name_or_a_key_that_is_taken_is_refused(store: Store, taken: KeyRecord) -> None:
    await store.keys.create(FULL)
    with pytest.raises(BadRequest) as refused:
        await store.keys.create(taken)
    assert refused.value.param == "name"
    assert store.keys.list() == [FULL]


async def test_changes_and_revocation_hold_at_once_and_after_a_restart(store: Store, reopen: Open, clock: MovedClock) -> None:
    await store.keys.create(FULL)
    changed = await store.keys.update("ci", {"families": None, "budget": Limits(daily_nanousd=1)})
    assert store.keys.find(FULL.digest) == changed
    assert (changed.families, changed.budget.daily_nanousd) == (None, 1)
    clock.now_s += 5
    revoked = await store.keys.revoke("ci")
    clock.now_s += 5
    assert await store.keys.revoke("ci") == revoked
    assert revoked.revoked_s == START_S + 5
    await store.close()
    assert (await reopen()).keys.find(FULL.digest) == revoked


@pytest.mark.parametrize("revoked_first", [True, False])
async def test_changes_at_once_build_on_each_other(store: Store, revoked_first: bool) -> None:
    await store.keys.create(FULL)
    changes = [store.keys.revoke("ci"), store.keys.update("ci", {"wallet": None})]
    await asyncio.gather(*(changes if revoked_first else reversed(changes)))
    found = store.keys.find(FULL.digest)
    assert found is not None and (found.revoked_s, found.wallet) == (START_S, None)


async def test_a_hold_is_refused_in_its_transaction_once_the_key_has_ended(store: Store, clock: MovedClock) -> None:
    await store.keys.create(FULL)
    subject = Subject(key="ci", key_digest=FULL.digest)
    await store.ledger.reserve("before", 1, [window(10)], subject=subject)
    clock.now_s += 1000
    with pytest.raises(Unauthenticated) as refused:
        await store.ledger.reserve("expired", 1, [window(10)], subject=subject)
    assert refused.value.code == "key_expired"
    await store.keys.revoke("ci")
    with pytest.raises(Unauthenticated) as refused:
        await store.ledger.reserve("revoked", 1, [window(10)], subject=subject)
    assert refused.value.code == "key_revoked"
    assert store.ledger.unsettled == 1
    await store.ledger.reserve("of no key of the store", 1, [window(10)], subject=Subject(key="ci", key_digest="0"))


async def test_what_is_not_there_or_stays_as_it_is(store: Store) -> None:
    await store.keys.create(BARE)
    with pytest.raises(NotFound):
        await store.keys.revoke("ci")
    with pytest.raises(NotFound):
        await store.keys.update("ci", {"wallet": None})
    for field in ("digest", "name", "revoked_s", "colour"):
        with pytest.raises(BadRequest):
            await store.keys.update("bare", {field: None})
