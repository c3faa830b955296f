"""Counts that can't be true: named, counted in a metric, and never billed as if they were.

unusable   a count is missing, negative, absurd or no integer: our own estimate is billed
parts      a part is more than the whole it is part of, or negative: that side is billed at its plain price, for the larger
           of what was counted and what we estimate
falling    a cumulative count fell: the higher one is billed
zero       no output was counted although text came: billed as the provider counts
"""

from __future__ import annotations

from collections.abc import Callable

from proxy.chat import Usage

ABSURD_TOKENS = 100_000_000
"""No request has that many: such a count is an error or a forgery."""


def judged(usage: Usage, received_tokens: int, estimate: Callable[[], Usage]) -> tuple[Usage, tuple[str, ...]]:
    """What to bill, and the kinds of anomaly found; the same usage where all is well.

    received_tokens: of output, by our own estimate. estimate: our own of it all; asked for only where it is needed.
    """
    inputs = usage.cached_input_tokens, usage.cache_write_tokens, usage.audio_input_tokens
    outputs = usage.reasoning_tokens, usage.audio_output_tokens
    wholes = usage.input_tokens, usage.output_tokens, *usage.tool_calls.values()
    if min(wholes) < 0 or max(wholes) > ABSURD_TOKENS:
        return estimate()._replace(service_tier=usage.service_tier), ("unusable",)
    found: list[str] = []
    if received_tokens and not usage.output_tokens:
        found.append("zero")
    bad_input = min(inputs) < 0 or sum(inputs) > usage.input_tokens
    bad_output = min(outputs) < 0 or sum(outputs) > usage.output_tokens
    if bad_input or bad_output:
        found.append("parts")
        ours = estimate()
        if bad_input:
            usage = usage._replace(
                input_tokens=max(usage.input_tokens, ours.input_tokens),
                cached_input_tokens=0,
                cache_write_tokens=0,
                audio_input_tokens=0,
            )
        if bad_output:
            usage = usage._replace(
                output_tokens=max(usage.output_tokens, ours.output_tokens),
                reasoning_tokens=0,
                audio_output_tokens=0,
            )
        usage = usage._replace(estimated=True, reported=None)
    return usage, tuple(found)
