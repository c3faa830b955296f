"""Sums of the usage log, pages of the ledger, and what is forgotten."""

from __future__ import annotations

import pytest

from proxy.storage import reports
from proxy.storage.store import Store
from tests.proxy.storage.parts import DAY_S, START_S, MovedClock, row

SECOND_NS = 10**9
ALWAYS = (0, 2**62)


async def log(store: Store, *rows: dict[str, object]) -> None:
    for number, fields in enumerate(rows):
        await store.ledger.commit([], row(f"req-{number}", **{"debit": 100, **fields}))


async def test_usage_by_key_and_model(store: Store) -> None:
    await log(
        store,
        {"cached_input_tokens": 4, "cost_nanousd": 60},
        {"estimated": True, "reasoning_tokens": 2},
        {"key": "cd", "model": "kimi", "wallet": "team-a"},
    )
    first, second = await store.reports.usage(["key", "model"], *ALWAYS)
    assert first == reports.UsageSums(
        group={"key": "cd", "model": "kimi"},
        requests=1,
        input_tokens=10,
        output_tokens=5,
        debit_nanousd=100,
        uncosted=1,
    )
    assert second == reports.UsageSums(
        group={"key": "ci", "model": "doubao-seed"},
        requests=2,
        estimated=1,
        input_tokens=20,
        cached_input_tokens=4,
        output_tokens=10,
        reasoning_tokens=2,
        debit_nanousd=200,
        cost_nanousd=60,
        uncosted=1,
    )


async def test_only_what_is_asked_for(store: Store) -> None:
    await log(store, {}, {"user": "v"}, {"key": "cd", "user": "v"}, {"key": "cd", "family": "kimi"})
    (line,) = await store.reports.usage(["model"], *ALWAYS, where={"key": "cd", "user": "v"})
    assert (line.group, line.requests) == ({"model": "doubao-seed"}, 1)
    lines = await store.reports.usage(["user"], *ALWAYS, where={"key": "cd"})
    assert [(line.group["user"], line.requests) for line in lines] == [("u", 1), ("v", 1)]
    assert await store.reports.usage([], *ALWAYS, where={"wallet": "nobody's"}) == []


async def test_days_are_the_zones(store: Store) -> None:
    evening_ns = (START_S + 15 * 3600) * SECOND_NS
    await log(store, {"received_ns": evening_ns}, {"received_ns": evening_ns + 3600 * SECOND_NS, "user": "v"})
    singapore = await store.reports.usage(["day", "user"], *ALWAYS, "Asia/Singapore")
    assert [line.group for line in singapore] == [{"day": "2026-11-22", "user": "u"}, {"day": "2026-11-23", "user": "v"}]
    assert [line.group for line in await store.reports.usage(["day"], *ALWAYS)] == [{"day": "2026-11-22"}]


async def test_only_what_lies_in_the_span(store: Store) -> None:
    start_ns = START_S * SECOND_NS
    await log(store, *({"received_ns": start_ns + second * SECOND_NS} for second in range(10)))
    (line,) = await store.reports.usage([], start_ns + 2 * SECOND_NS, start_ns + 5 * SECOND_NS)
    assert (line.group, line.requests) == ({}, 3)
    assert await store.reports.usage(["key"], start_ns + DAY_S * SECOND_NS, 2**62) == []


@pytest.mark.parametrize("rows_a_slice", [1, 3, 7, 1000])
async def test_slices_add_up(store: Store, rows_a_slice: int, monkeypatch: pytest.MonkeyPatch) -> None:
    await log(store, *({"received_ns": START_S * SECOND_NS + number // 4} for number in range(30)))
    monkeypatch.setattr(reports, "SLICE_ROWS", rows_a_slice)
    (line,) = await store.reports.usage(["key"], *ALWAYS)
    assert (line.requests, line.debit_nanousd) == (30, 3000)


async def test_an_unknown_group_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="usage is grouped by key, wallet"):
        await store.reports.usage(["key", "colour"], *ALWAYS)


async def test_old_usage_is_forgotten_and_the_ledger_still_agrees(store: Store, clock: MovedClock) -> None:
    await log(store, *({"received_ns": (START_S + day * DAY_S) * SECOND_NS} for day in range(4)))
    assert await store.reports.forget((START_S + 2 * DAY_S) * SECOND_NS) == 2
    (line,) = await store.reports.usage(["key"], *ALWAYS)
    assert line.requests == 2
    assert len(await store.entries.page()) == 4
    assert await store.reports.verify() == []


async def test_what_was_forgotten_stays_so_when_more_is_to_be_kept(store: Store) -> None:
    await log(store, {"received_ns": START_S * SECOND_NS})
    for days in (9, 1):
        await store.reports.forget((START_S + days * DAY_S) * SECOND_NS)
    assert await store.reports.verify() == []
