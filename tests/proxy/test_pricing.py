"""Prices as gateway.yaml has them, compiled."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from proxy.config import PriceConfig
from proxy.configsections import ExchangeRateConfig
from proxy.money import Price, Tier
from proxy.pricing import compile_price

RATES = {"CNY": ExchangeRateConfig(usd=Decimal("0.1406"), date=date(2026, 11, 20))}


def price(**section: Any) -> Price:
    return compile_price(PriceConfig(**section), RATES)


def test_rates_that_are_left_out_follow_the_plain_one_of_their_side() -> None:
    (tier,) = price(input=Decimal("0.70"), output=Decimal("2.80"), cached_input=Decimal("0.14")).tiers
    assert tier == Tier(
        input=700_000,
        cached_input=140_000,
        cache_write=700_000,
        audio_input=700_000,
        output=2_800_000,
        reasoning=2_800_000,
        audio_output=2_800_000,
    )


def test_tiers_take_what_they_leave_out_from_the_price_itself() -> None:
    first, last = price(
        currency="CNY",
        cached_input=Decimal("0.12"),
        tiers=[
            {"up_to_input_tokens": 32_000, "input": Decimal("0.6"), "output": Decimal("3.6")},
            {"input": Decimal("1.2"), "output": Decimal("7.2"), "cached_input": Decimal("0.24")},
        ],
    ).tiers
    assert (first.up_to_input_tokens, first.input, first.cached_input, first.output) == (32_000, 600_000, 120_000, 3_600_000)
    assert (last.up_to_input_tokens, last.cached_input, last.reasoning) == (None, 240_000, 7_200_000)


def test_exchange_rate_tools_and_service_tiers() -> None:
    compiled = price(
        currency="CNY",
        input=Decimal(1),
        output=Decimal(1),
        tools={"web_search": Decimal("0.004")},
        service_tiers={"flex": Decimal("0.5")},
    )
    assert (compiled.usd, compiled.usd_date) == (Fraction("0.1406"), "2026-11-20")
    assert compiled.tools == {"web_search": 4 * 10**9}
    assert compiled.service_tiers == {"flex": Fraction(1, 2)}


def test_a_currency_without_exchange_rate_is_refused() -> None:
    with pytest.raises(ValueError, match="no exchange rate for JPY: add it under exchange_rates"):
        compile_price(PriceConfig.model_construct(currency="JPY", input=Decimal(1), output=Decimal(1)), RATES)
