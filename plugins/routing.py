"""route: lower priority first, weights share one priority, the rest is fallback.

The order is a pure function of the candidates, which are the routes that can be asked now, and of `ctx.turn`, the number of
requests before this one that took a turn: over as many turns as the weights of a priority add up to, each route comes first
exactly as often as its weight says, spread out evenly. Where the model is `sticky`, what a request names as its
prompt_cache_key, or else its user, decides instead, and no turn is taken: each stays on its route while that can be asked, and
only then moves (rendezvous hashing).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache, partial
from hashlib import blake2b
from itertools import accumulate, groupby
from math import gcd, log

from proxy import RequestContext, Target, hookimpl

LONGEST_CYCLE = 10_000
"""Turns that are laid out beforehand; it takes some milliseconds."""
GOLDEN = 0.618034
"""Steps of this part of a circle are the ones that spread most evenly."""


@hookimpl
def route(ctx: RequestContext, candidates: Sequence[Target]) -> Sequence[Target]:
    return plan(candidates, ctx.turn, _prefix(ctx))


def plan(candidates: Sequence[Target], turn: int, prefix: str | None = None) -> list[Target]:
    """Every candidate in the order to try: the model asked for, then its fallbacks in their order.

    prefix: what requests that share a cached prompt have in common; None: nothing.
    """
    if len(candidates) == 1:
        return list(candidates)
    ordered: list[Target] = []
    for _, pool in groupby(candidates, key=lambda target: target.model):
        tiers = groupby(sorted(pool, key=lambda target: target.priority), key=lambda target: target.priority)
        for _, tier in tiers:
            ordered += _share(list(tier), turn) if prefix is None else sorted(tier, key=partial(_distance, prefix))
    return ordered


def _prefix(ctx: RequestContext) -> str | None:
    """Of one key's requests those that share a prompt."""
    if ctx.model is None or not ctx.model.sticky or ctx.chat is None or ctx.chat.shared_prompt is None:
        return None
    return f"{ctx.principal.id if ctx.principal else ''}\n{ctx.chat.shared_prompt}"


def _distance(prefix: str, target: Target) -> float:
    """How far a route is from a prefix: the nearest is asked, and is so for as many prefixes as its weight says."""
    digest = blake2b(f"{target.label}\n{prefix}".encode(errors="replace"), digest_size=8).digest()
    return -log((int.from_bytes(digest) + 1) / 2**64) / target.weight


def _share(tier: list[Target], turn: int) -> list[Target]:
    """One priority's routes: whose turn it is comes first, those who fail over are shared out in the same way."""
    ordered: list[Target] = []
    while len(tier) > 1:
        weights = tuple(target.weight for target in tier)
        ends, stride = _circle(weights)
        if not ordered and ends[-1] <= LONGEST_CYCLE:
            place = _cycle(weights)[turn % ends[-1]]
        else:
            place = bisect_right(ends, turn * stride % ends[-1])
        ordered.append(tier.pop(place))
        turn //= ends[-1]
    return ordered + tier


@lru_cache(maxsize=1024)
def _circle(weights: tuple[int, ...]) -> tuple[tuple[int, ...], int]:
    """(where each route's part of a circle ends, the step from one turn to the next, which meets every point once)."""
    divisor = gcd(*weights)
    ends = tuple(accumulate(weight // divisor for weight in weights))
    stride = max(1, int(ends[-1] * GOLDEN))
    while gcd(stride, ends[-1]) > 1:
        stride += 1
    return ends, stride


@lru_cache(maxsize=256)
def _cycle(weights: tuple[int, ...]) -> tuple[int, ...]:
    """Positions, each as often as its weight, none bunched: the one that is furthest behind its share is next."""
    divisor = gcd(*weights)
    shares = [weight // divisor for weight in weights]
    total = sum(shares)
    behind = [0] * len(shares)
    cycle = []
    for _ in range(total):
        behind = [lag + share for lag, share in zip(behind, shares, strict=True)]
        chosen = behind.index(max(behind))
        behind[chosen] -= total
        cycle.append(chosen)
    return tuple(cycle)
