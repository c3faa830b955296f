"""Integer money, and price × usage against a reference in fractions."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.chat import Usage
from proxy.money import FREE, MAX_NANOUSD, Price, Tier, nano_to_usd, price_of, usage_of, usd_to_nano

M = 10**6
"""Pico-units per token in one unit per 1M tokens."""
CNY = Price(
    currency="CNY",
    tiers=(
        Tier(
            input=3_200_000,
            cached_input=640_000,
            cache_write=3_200_000,
            audio_input=3_200_000,
            output=16 * M,
            reasoning=16 * M,
            audio_output=16 * M,
        ),
    ),
    usd=Fraction("0.1406"),
    usd_date="2026-11-20",
)


@pytest.mark.parametrize(
    ("nanousd", "text"),
    [
        (0, "0.00"),
        (20_000_000, "0.02"),
        (10**9, "1.00"),
        (12_345, "0.000012345"),
        (-1_500_000_000, "-1.50"),
        (10**18, "1000000000.00"),
    ],
)
def test_usd_is_exact_text(nanousd: int, text: str) -> None:
    assert nano_to_usd(nanousd) == text
    assert nanousd < 0 or usd_to_nano(Decimal(text)) == nanousd


@pytest.mark.parametrize("usd", ["0.0000000001", "-1"])
def test_usd_that_nano_cannot_hold_is_refused(usd: str) -> None:
    with pytest.raises(ValueError, match=r"decimals|negative"):
        usd_to_nano(Decimal(usd))


def test_amount_and_line_of_a_price_in_yuan() -> None:
    usage = Usage(input_tokens=20_000, output_tokens=400)
    # (20,000 × 3.20 + 400 × 16.00) / 1M × 0.1406 USD
    assert CNY.amount_nanousd(usage) == 9_898_240
    assert CNY.bill(usage)[1] == "20,000 × ¥3.20/M + 400 × ¥16.00/M, at 0.1406 USD/CNY of 2026-11-20"


def test_parts_have_rates_of_their_own_and_kinds_without_one_are_counted_with_the_plain_ones() -> None:
    usage = Usage(input_tokens=1000, output_tokens=400, cached_input_tokens=600, reasoning_tokens=100)
    assert CNY.bill(usage)[1].startswith("400 × ¥3.20/M + 600 cached × ¥0.64/M + 400 × ¥16.00/M")
    assert CNY.amount_nanousd(usage) == ceil(Fraction(400 * 3_200_000 + 600 * 640_000 + 400 * 16 * M, 1000) * CNY.usd)


def test_one_ceiling_per_request() -> None:
    price = Price(tiers=(Tier(input=1, output=1),))
    assert price.amount_nanousd(Usage(input_tokens=1, output_tokens=0)) == 1
    assert price.amount_nanousd(Usage(input_tokens=500, output_tokens=500)) == 1
    assert price.amount_nanousd(Usage(input_tokens=501, output_tokens=500)) == 2


TIERED = Price(
    tiers=(
        Tier(up_to_input_tokens=32_000, up_to_output_tokens=200, input=1000, output=2000),
        Tier(up_to_input_tokens=32_000, input=1000, output=8000),
        Tier(up_to_input_tokens=128_000, input=3000, output=9000),
    )
)


@pytest.mark.parametrize(
    ("input_tokens", "output_tokens", "rates"),
    [
        (32_000, 200, (1, 2)),
        (32_000, 201, (1, 8)),
        (32_001, 1, (3, 9)),
        (500_000, 1, (3, 9)),
    ],
)
def test_the_whole_request_has_the_rates_of_its_tier(input_tokens: int, output_tokens: int, rates: tuple[int, int]) -> None:
    usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens)
    assert TIERED.amount_nanousd(usage) == input_tokens * rates[0] + output_tokens * rates[1]


def test_the_bound_leaves_out_tiers_that_are_out_of_reach() -> None:
    assert TIERED.bound_nanousd(1000, 100) == 1000 + 200
    assert TIERED.bound_nanousd(1000, 300) == 1000 + 2400
    assert TIERED.bound_nanousd(40_000, 300) == 120_000 + 2700


def test_service_tiers_and_tools() -> None:
    price = Price(
        tiers=(Tier(input=M, output=M),),
        tools={"web_search": 5 * 10**9},
        service_tiers={"flex": Fraction("0.5"), "priority": Fraction(2)},
    )
    plain = Usage(input_tokens=1000, output_tokens=0)
    flex = Usage(input_tokens=1000, output_tokens=0, service_tier="flex", tool_calls={"web_search": 2})
    assert price.amount_nanousd(plain) == 1_000_000
    assert price.amount_nanousd(flex) == (1_000_000 + 10_000_000) // 2
    assert price.bill(flex)[1] == "(1,000 × $1.00/M + 2 web_search calls × $0.005) × 0.5 for flex"
    assert price.bound_nanousd(1000, 0, tool_calls={"web_search": 2}) == 2 * (11_000_000)


def test_images_of_earlier_versions_keep_their_price() -> None:
    price = price_of({"currency": "USD", "input": "1.00", "output": "2.00", "image": "0.03", "tools": {"web_search": "0.005"}})
    usage = usage_of({"input_tokens": 1000, "output_tokens": 0, "images": 2, "tool_calls": {"web_search": 1}})
    assert price.amount_nanousd(usage) == 1_000_000 + 60_000_000 + 5_000_000
    assert usage_of({"input_tokens": 1, "output_tokens": 2, "images": 0}) == Usage(input_tokens=1, output_tokens=2)


def test_counts_that_contradict_each_other_never_make_a_charge_negative() -> None:
    usage = Usage(input_tokens=-5, output_tokens=10, cached_input_tokens=100, reasoning_tokens=50)
    assert CNY.amount_nanousd(usage) == ceil(Fraction(100 * 640_000 + 50 * 16 * M, 1000) * CNY.usd)


def test_an_amount_is_capped() -> None:
    assert CNY.amount_nanousd(Usage(input_tokens=10**30, output_tokens=0)) == MAX_NANOUSD


def test_free() -> None:
    assert FREE.free
    assert not CNY.free
    assert FREE.amount_nanousd(Usage(input_tokens=10**6, output_tokens=10**6)) == 0
    assert FREE.bound_nanousd(10**6, 10**6) == 0


def test_prices_per_million_show_only_what_differs() -> None:
    assert CNY.per_million() == {
        "currency": "CNY",
        "input": "3.20",
        "cached_input": "0.64",
        "output": "16.00",
        "exchange_rate": {"usd": "0.1406", "date": "2026-11-20"},
    }


rates = st.integers(0, 10**8)
counts = st.integers(0, 10**6)


@st.composite
def tiers(draw: st.DrawFn) -> tuple[Tier, ...]:
    limits = st.one_of(st.none(), st.integers(1, 10**6))
    return tuple(
        Tier(
            up_to_input_tokens=draw(limits),
            up_to_output_tokens=draw(limits),
            **{name: draw(rates) for name in ("input", "cached_input", "cache_write", "audio_input")},
            **{name: draw(rates) for name in ("output", "reasoning", "audio_output")},
        )
        for _ in range(draw(st.integers(1, 3)))
    )


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Consistent ones: parts lie within their wholes and do not overlap."""
    input_parts = [draw(counts) for _ in range(4)]
    output_parts = [draw(counts) for _ in range(3)]
    return Usage(
        input_tokens=sum(input_parts),
        output_tokens=sum(output_parts),
        cached_input_tokens=input_parts[0],
        cache_write_tokens=input_parts[1],
        audio_input_tokens=input_parts[2],
        reasoning_tokens=output_parts[0],
        audio_output_tokens=output_parts[1],
        service_tier=draw(st.sampled_from([None, "flex", "priority", "unknown"])),
        tool_calls=draw(st.dictionaries(st.sampled_from(["web_search", "other"]), st.integers(0, 5))),
    )


def prices(tier_list: tuple[Tier, ...]) -> Price:
    return Price(
        currency="CNY",
        tiers=tier_list,
        usd=Fraction("0.1406"),
        usd_date="2026-11-20",
        tools={"web_search": 10**9},
        service_tiers={"flex": Fraction("0.37"), "priority": Fraction("1.7")},
    )


@settings(max_examples=80, deadline=None)
@given(tiers(), usages())
def test_amount_is_the_reference_after_one_ceiling(tier_list: tuple[Tier, ...], usage: Usage) -> None:
    price = prices(tier_list)
    tier = next((tier for tier in tier_list if tier.covers(usage.input_tokens, usage.output_tokens)), tier_list[-1])
    exact = Fraction(usage.tool_calls.get("web_search", 0) * 10**9)
    exact += usage.cached_input_tokens * tier.cached_input + usage.cache_write_tokens * tier.cache_write
    exact += usage.audio_input_tokens * tier.audio_input
    plain = usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens - usage.audio_input_tokens
    exact += plain * tier.input + usage.reasoning_tokens * tier.reasoning
    exact += usage.audio_output_tokens * tier.audio_output
    exact += (usage.output_tokens - usage.reasoning_tokens - usage.audio_output_tokens) * tier.output
    factor = price.service_tiers.get(usage.service_tier or "", Fraction(1))
    assert price.amount_nanousd(usage) == min(MAX_NANOUSD, ceil(exact * factor * price.usd / 1000))


@settings(max_examples=120, deadline=None)
@given(tiers(), usages(), counts, counts)
def test_no_consistent_usage_costs_more_than_its_bound(
    tier_list: tuple[Tier, ...], usage: Usage, spare_input: int, spare_output: int
) -> None:
    price = prices(tier_list)
    most = price.bound_nanousd(
        usage.input_tokens + spare_input, usage.output_tokens + spare_output, tool_calls=usage.tool_calls
    )
    assert price.amount_nanousd(usage) <= most
