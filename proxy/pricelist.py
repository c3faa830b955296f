"""Prices as lists show them, to people and to programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from proxy.chat import Task
from proxy.money import Price


def pricing(price: Price, task: Task) -> dict[str, Any]:
    """Decimal text per 1M tokens, as `Price.per_million`; of embeddings, which have no output, no output's."""
    rates = price.per_million()
    if task == "chat":
        return rates
    if "tiers" in rates:
        rates["tiers"] = [_of_input(tier) for tier in rates["tiers"]]
    return _of_input(rates)


def price_line(price: Price, task: Task) -> str:
    """For lists: "USD 0.70 in, 2.80 out per 1M tokens", with every tier, and the exchange rate of another currency."""
    if price.free:
        return "free"
    per_million = pricing(price, task)
    tiers = [_tier_line(tier) for tier in per_million.get("tiers", (per_million,))]
    rate = per_million.get("exchange_rate")
    at = f", at {rate['usd']} USD/{price.currency} of {rate['date']}" if rate else ""
    return f"{price.currency} {'; '.join(tiers)} per 1M tokens{at}"


def _of_input(rates: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in rates.items() if name not in ("output", "up_to_output_tokens")}


def _tier_line(tier: Mapping[str, Any]) -> str:
    rates = [f"{tier[side]} {way}" for side, way in (("input", "in"), ("output", "out")) if side in tier]
    ends = [f"{tier[f'up_to_{side}_tokens']:,} {side}" for side in ("input", "output") if tier.get(f"up_to_{side}_tokens")]
    told = ", ".join(rates)
    return f"{told} up to {' and '.join(ends)}" if ends else told
