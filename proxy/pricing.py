"""Prices of gateway.yaml, compiled: decimal text per 1M tokens in, exact integers out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Protocol

from proxy.money import INPUT_RATES, ONE, OUTPUT_RATES, Price, Tier, scaled


class Rates(Protocol):
    """Decimal prices per 1M tokens. None: as the plain rate of its side."""

    @property
    def input(self) -> Decimal | None: ...
    @property
    def cached_input(self) -> Decimal | None: ...
    @property
    def cache_write(self) -> Decimal | None: ...
    @property
    def audio_input(self) -> Decimal | None: ...
    @property
    def output(self) -> Decimal | None: ...
    @property
    def reasoning(self) -> Decimal | None: ...
    @property
    def audio_output(self) -> Decimal | None: ...


class TierSection(Rates, Protocol):
    """A tier as gateway.yaml has it."""

    @property
    def up_to_input_tokens(self) -> int | None: ...
    @property
    def up_to_output_tokens(self) -> int | None: ...


class PriceSection(Rates, Protocol):
    """A `price` or `cost` as gateway.yaml has it. tools: one call; service_tiers: factors."""

    @property
    def currency(self) -> str: ...
    @property
    def tiers(self) -> Sequence[TierSection]: ...
    @property
    def tools(self) -> Mapping[str, Decimal]: ...
    @property
    def service_tiers(self) -> Mapping[str, Decimal]: ...


class ExchangeRate(Protocol):
    """USD for one unit of a currency, on a day."""

    @property
    def usd(self) -> Decimal: ...
    @property
    def date(self) -> date: ...


def compile_price(section: PriceSection, exchange_rates: Mapping[str, ExchangeRate]) -> Price:
    """A price ready to be multiplied.

    Raises: ValueError: a currency without exchange rate, a negative price, or one finer than 0.000001 per 1M tokens.
    """
    usd, usd_date = ONE, ""
    if section.currency != "USD":
        if section.currency not in exchange_rates:
            raise ValueError(f"there is no exchange rate for {section.currency}: add it under exchange_rates")
        exchange = exchange_rates[section.currency]
        usd, usd_date = Fraction(exchange.usd), exchange.date.isoformat()
    return Price(
        currency=section.currency,
        tiers=tuple(_tier(tier, section) for tier in section.tiers) or (Tier(**_rates(section, section)),),
        usd=usd,
        usd_date=usd_date,
        tools={name: scaled(price, 12) for name, price in section.tools.items()},
        service_tiers={name: Fraction(factor) for name, factor in section.service_tiers.items()},
    )


def _tier(tier: TierSection, section: PriceSection) -> Tier:
    return Tier(
        up_to_input_tokens=tier.up_to_input_tokens,
        up_to_output_tokens=tier.up_to_output_tokens,
        **_rates(tier, section),
    )


def _rates(rates: Rates, general: Rates) -> dict[str, int]:
    """Pico-units per token. What a tier leaves out is the price's own, and else the plain rate of its side."""
    found: dict[str, int] = {}
    for side in (INPUT_RATES, OUTPUT_RATES):
        for name in side:
            price = next((rate for rate in (getattr(rates, name), getattr(general, name)) if rate is not None), None)
            found[name] = found.get(side[0], 0) if price is None else scaled(price, 6)
    return found
