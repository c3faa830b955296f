"""Metering: usage × the price of the route that answered; the debit is the model's price, the cost its vendor's."""

from __future__ import annotations

from dataclasses import replace

from proxy import Charge, ChatRequest, Outcome, RequestContext, Target, Usage, cost_bound, hookimpl

ABSURD_TOKENS = 100_000_000
"""No request has that many: such a count is an error or a forgery."""
NOTHING = Usage(input_tokens=0, output_tokens=0)


@hookimpl
def meter(ctx: RequestContext, outcome: Outcome) -> Charge | None:
    """What the request cost; nothing if nothing was served.

    Usage that contradicts itself is named in the price line and in `ctx.state["metering"]`. It is charged as the provider
    counted it, each part in full; counts beyond all reason are charged as the most that the request could have cost.
    """
    usage, target, chat = outcome.usage, outcome.target, ctx.chat
    if usage is None or target is None or chat is None:
        return Charge(amount_nanousd=0, usage=NOTHING)
    breaches = contradictions(usage)
    price_line = target.price.line(usage)
    if breaches:
        ctx.state["metering"] = breaches
        price_line = f"{price_line} [{'; '.join(breaches)}]"
    return Charge(
        amount_nanousd=_amount(usage, target, chat) if breaches else target.price.amount_nanousd(usage),
        cost_nanousd=None if target.cost is None else target.cost.amount_nanousd(usage),
        usage=usage,
        price_line=price_line,
        price=target.price.stamp,
        family=target.family,
    )


def contradictions(usage: Usage) -> tuple[str, ...]:
    """What can't be true of these counts, in words; none if they agree."""
    counts = _counts(usage)
    found = []
    if min(counts.values()) < 0 or max(counts.values()) > ABSURD_TOKENS:
        found += [f"{name} is negative" for name, count in counts.items() if count < 0]
        found += [f"{name} is absurd" for name, count in counts.items() if count > ABSURD_TOKENS]
    if usage.cached_input_tokens + usage.cache_write_tokens + usage.audio_input_tokens > usage.input_tokens:
        found.append("the parts of the input are more than the input")
    if usage.reasoning_tokens + usage.audio_output_tokens > usage.output_tokens:
        found.append("the parts of the output are more than the output")
    return tuple(found)


def _counts(usage: Usage) -> dict[str, int]:
    return {
        **{f"calls of {name}": count for name, count in usage.tool_calls.items()},
        "input": usage.input_tokens,
        "output": usage.output_tokens,
        "cached input": usage.cached_input_tokens,
        "cache write": usage.cache_write_tokens,
        "reasoning": usage.reasoning_tokens,
        "audio input": usage.audio_input_tokens,
        "audio output": usage.audio_output_tokens,
        "images": usage.images,
    }


def _amount(usage: Usage, target: Target, chat: ChatRequest) -> int:
    amount = target.price.amount_nanousd(usage)
    if max(_counts(usage).values()) <= ABSURD_TOKENS:
        return amount
    whole = replace(target, output_cap=max(target.output_cap, target.max_output_tokens))
    return min(amount, cost_bound(chat, [whole]))
