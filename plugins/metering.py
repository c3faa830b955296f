"""Metering: usage × the price of the route that answered; the debit is the model's price, the cost its vendor's."""

from __future__ import annotations

from proxy import Charge, Outcome, RequestContext, Usage, hookimpl

NOTHING = Usage(input_tokens=0, output_tokens=0)


@hookimpl
def meter(ctx: RequestContext, outcome: Outcome) -> Charge | None:
    """What the request cost; nothing if nothing was served. What was wrong with the provider's counts is named."""
    usage, target = outcome.usage, outcome.target
    if usage is None or target is None:
        return Charge(amount_nanousd=0, usage=NOTHING)
    amount, price_line = target.price.bill(usage)
    if outcome.anomalies:
        price_line = f"{price_line} [the provider's counts: {', '.join(outcome.anomalies)}]"
    return Charge(
        amount_nanousd=amount,
        cost_nanousd=None if target.cost is None else target.cost.amount_nanousd(usage),
        usage=usage,
        price_line=price_line,
        price=target.price.stamp,
        family=target.family,
    )
