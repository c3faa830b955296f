"""Prices as lists show them."""

from __future__ import annotations

from fractions import Fraction

from proxy.money import FREE, INPUT_RATES, Price, Tier
from proxy.pricelist import price_line, pricing


def test_a_price_with_tiers_and_an_exchange_rate_is_one_line() -> None:
    short = Tier(up_to_input_tokens=32_000, up_to_output_tokens=200, input=600_000, output=2_000_000)
    tiers = (short, Tier(up_to_input_tokens=32_000, input=600_000, output=3_600_000), Tier(input=2_400_000, output=14_400_000))
    assert price_line(Price(currency="CNY", usd=Fraction("0.1406"), usd_date="2026-11-20", tiers=tiers), "chat") == (
        "CNY 0.60 in, 2.00 out up to 32,000 input and 200 output; 0.60 in, 3.60 out up to 32,000 input; 2.40 in, 14.40 out "
        "per 1M tokens, at 0.1406 USD/CNY of 2026-11-20"
    )


def test_embeddings_have_no_output() -> None:
    def tier(rate: int, up_to: int | None = None) -> Tier:
        return Tier(up_to_input_tokens=up_to, **dict.fromkeys(INPUT_RATES, rate))

    flat, tiers = Price(tiers=(tier(100_000),)), Price(tiers=(tier(100_000, 1000), tier(200_000)))
    assert price_line(flat, "embeddings") == "USD 0.10 in per 1M tokens"
    assert price_line(tiers, "embeddings") == "USD 0.10 in up to 1,000 input; 0.20 in per 1M tokens"
    assert pricing(flat, "embeddings") == {"currency": "USD", "input": "0.10"}
    assert pricing(tiers, "embeddings")["tiers"] == [
        {"up_to_input_tokens": 1000, "input": "0.10"},
        {"up_to_input_tokens": None, "input": "0.20"},
    ]
    assert pricing(flat, "chat") == {"currency": "USD", "input": "0.10", "output": "0.00"}


def test_what_is_free_says_so() -> None:
    assert price_line(FREE, "chat") == price_line(FREE, "embeddings") == "free"
