"""What the operator is told as time goes by."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from proxy.aging import aging, today_of
from tests.fakes.sections import config_of
from tests.proxy.storage.parts import MovedClock

TODAY = date(2026, 11, 22)
RATES = "exchange_rates: {CNY: {usd: 0.14, date: 2026-11-20}}\n"
OTHERS = "; `paifang models --catalogue` lists others"


def notices(inside: str, folder: Path, today: date = TODAY) -> list[str]:
    """What is said of a model m."""
    text = f"providers: {{p: {{adapter: simulator}}}}\n{RATES}models:\n  m: {{{inside}}}\n"
    return list(aging(config_of(text, folder), today))


def free(route: str) -> str:
    return f"family: f, free: true, routes: [{route}]"


@pytest.mark.parametrize(
    ("route", "said"),
    [
        ("{provider: p, model: kimi-k2.6}", []),
        ("{provider: p, model: Kimi-K2.5}", []),
        ("{provider: p, model: kimi-k2.5, enabled: false}", []),
        ("{provider: p, model: kimi-k2.5}", [f"model m: kimi-k2.5 was retired by its vendor on 2026-08-31 (route p){OTHERS}"]),
        (
            "{provider: p, model: step-3}, {name: again, provider: p, model: step-3}",
            [f"model m: step-3 was retired by its vendor on 2026-07-08 (route p, again){OTHERS}"],
        ),
        (
            "{provider: p, model: doubao-seed-1-8-251228}",
            [f"model m: doubao-seed-1-8-251228 is being retired by its vendor (route p){OTHERS}"],
        ),
        ("{provider: p, model: yi-large}", [f"model m: yi-large may not be served by its vendor any more (route p){OTHERS}"]),
    ],
)
def test_routes_to_models_that_end(route: str, said: list[str], tmp_path: Path) -> None:
    assert notices(free(route), tmp_path) == said


@pytest.mark.parametrize(("today", "verb"), [(date(2026, 7, 23), "is"), (date(2026, 7, 24), "was"), (TODAY, "was")])
def test_an_announced_end_comes_and_goes(today: date, verb: str, tmp_path: Path) -> None:
    said = notices(free("{provider: p, model: deepseek-chat}"), tmp_path, today)
    assert said[0] == f"model m: deepseek-chat {verb} to be retired by its vendor on 2026-07-24 (route p){OTHERS}"


def test_a_preset_s_price_is_told_when_it_is_older_than_ninety_days(tmp_path: Path) -> None:
    inside = "preset: glm-5, routes: [{provider: p}]"
    assert notices(inside, tmp_path, date(2026, 12, 28)) == []
    assert notices(inside, tmp_path, date(2026, 12, 29)) == [
        "the price of model m (z.ai, as a third party lists it) is of 2026-09-29, 91 days old: compare it with the vendor's, "
        "and write it into gateway.yaml"
    ]


def test_a_price_of_the_file_ages_if_it_has_a_day(tmp_path: Path) -> None:
    price = "{input: 1, output: 2, date: 2026-08-01}"
    inside = f"preset: glm-5, price: {price}, routes: [{{provider: p, cost: {price}}}]"
    assert notices(inside, tmp_path) == [
        "the price of model m is of 2026-08-01, 113 days old: compare it with the vendor's, and write it into gateway.yaml",
        "the cost of model m's route p is of 2026-08-01, 113 days old: compare it with the provider's",
    ]
    assert notices(inside.replace(", date: 2026-08-01", ""), tmp_path) == []


def test_an_exchange_rate_ages(tmp_path: Path) -> None:
    inside = free("{provider: p, model: m}")
    assert notices(inside, tmp_path, date(2027, 2, 18)) == []
    assert notices(inside, tmp_path, date(2027, 2, 19)) == [
        "the exchange rate for CNY is of 2026-11-20, 91 days old: write today's under exchange_rates"
    ]


def test_the_day_is_that_of_utc() -> None:
    clock = MovedClock(1_700_006_399)
    assert today_of(clock) == date(2023, 11, 14)
    clock.now_s += 1
    assert today_of(clock) == date(2023, 11, 15)
