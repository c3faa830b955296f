"""route: lower priority first, weights share one priority, the rest is fallback.

The order is a pure function of the candidates and of `ctx.turn`, the number of requests before this one: over as many turns
as the weights of a priority add up to, each route comes first exactly as often as its weight says, spread out evenly.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby
from math import gcd

from proxy import RequestContext, Target, hookimpl


@hookimpl
def route(ctx: RequestContext, candidates: Sequence[Target]) -> Sequence[Target]:
    return plan(candidates, ctx.turn)


def plan(candidates: Sequence[Target], turn: int) -> list[Target]:
    """Every candidate in the order to try: the model asked for, then its fallbacks in their order."""
    if len(candidates) == 1:
        return list(candidates)
    ordered: list[Target] = []
    for _, pool in groupby(candidates, key=lambda target: target.model):
        tiers = groupby(sorted(pool, key=lambda target: target.priority), key=lambda target: target.priority)
        for _, tier in tiers:
            ordered += _share(list(tier), turn)
    return ordered


def _share(tier: list[Target], turn: int) -> list[Target]:
    """One priority's routes: whose turn it is comes first, those who fail over are shared out in the same way."""
    ordered = []
    while len(tier) > 1:
        cycle = _cycle(tuple(target.weight for target in tier))
        ordered.append(tier.pop(cycle[turn % len(cycle)]))
        turn //= len(cycle)
    return ordered + tier


@lru_cache(maxsize=1024)
def _cycle(weights: tuple[int, ...]) -> tuple[int, ...]:
    """Positions, each as often as its weight, none bunched: the one that is furthest behind its share is next."""
    divisor = gcd(*weights)
    shares = [weight // divisor for weight in weights]
    total = sum(shares)
    behind = [0] * len(shares)
    cycle = []
    for _ in range(total):
        behind = [lag + share for lag, share in zip(behind, shares, strict=True)]
        chosen = max(range(len(behind)), key=behind.__getitem__)
        behind[chosen] -= total
        cycle.append(chosen)
    return tuple(cycle)
