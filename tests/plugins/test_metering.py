"""Usage × price, and what becomes of usage that can't be true."""

from __future__ import annotations

from dataclasses import replace

from plugins.metering import meter
from proxy import ChatRequest, Outcome, Target, Usage
from proxy.money import Price, Tier
from tests.plugins.targets import context, target

PRICE = Price(tiers=(Tier(input=700_000, cached_input=140_000, cache_write=700_000, output=2_800_000, reasoning=2_800_000),))
COST = Price(tiers=(Tier(input=500_000, cached_input=500_000, output=2_000_000, reasoning=2_000_000),))
ARK = replace(target("ark"), price=PRICE, cost=COST, family="doubao", output_cap=100, max_output_tokens=100)
CHAT = ChatRequest(body={"messages": []}, body_bytes=1000, model="doubao-seed")


def ended(usage: Usage | None, served_by: Target | None = ARK) -> Outcome:
    return Outcome(end="complete", status=200, target=served_by, usage=usage)


def test_the_debit_is_the_price_and_the_cost_the_vendors() -> None:
    usage = Usage(input_tokens=1000, output_tokens=100, cached_input_tokens=400)
    charge = meter(context(chat=CHAT), ended(usage))
    assert charge is not None
    assert (charge.amount_nanousd, charge.cost_nanousd) == (600 * 700 + 400 * 140 + 100 * 2800, 1000 * 500 + 100 * 2000)
    assert charge.price_line == "600 × $0.70/M + 400 cached × $0.14/M + 100 × $2.80/M"
    assert (charge.price, charge.family, charge.usage) == (PRICE.stamp, "doubao", usage)


def test_nothing_served_costs_nothing() -> None:
    for outcome in (ended(None), ended(Usage(input_tokens=5, output_tokens=5), None)):
        charge = meter(context(chat=CHAT), outcome)
        assert charge is not None
        assert (charge.amount_nanousd, charge.cost_nanousd) == (0, None)


def test_what_was_wrong_with_the_counts_is_named() -> None:
    usage = Usage(input_tokens=100, output_tokens=10, estimated=True)
    charge = meter(context(chat=CHAT), ended(usage)._replace(anomalies=("parts", "zero")))
    assert charge is not None
    assert charge.price_line == "100 × $0.70/M + 10 × $2.80/M [the provider's counts: parts, zero]"
