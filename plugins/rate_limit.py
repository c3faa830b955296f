"""Rate limits of keys: requests and tokens in a minute, and requests at once; a request gets all three or none.

Tokens count when a request is admitted: the prompt by its bytes, and the output cap that the client asked for or else a usual
answer; what the provider reports corrects it at the end. One request never counts for more than the whole limit before it is
answered, so none is refused for ever. A request that fails gives its tokens back but stays counted as a request. All processes
of a gateway share the counts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from typing import Literal

from proxy import (
    App,
    Charge,
    ChatRequest,
    Clock,
    Forecast,
    RateLimit,
    RateLimited,
    Rates,
    RequestContext,
    Room,
    Standing,
    expected_tokens,
    hookimpl,
)

SECOND_NS = 10**9
UNLIMITED = RateLimit()


class Admitted:
    """A request that runs: one of those at once, with the tokens that it is counted for."""

    __slots__ = ("_number", "_rates")

    def __init__(self, rates: Rates, number: int) -> None:
        self._rates = rates
        self._number = number

    def settle(self, charge: Charge) -> None:
        usage = charge.usage
        self._rates.end(self._number, max(0, usage.input_tokens) + max(0, usage.output_tokens))

    def void(self) -> None:
        self._rates.end(self._number, 0)


class RateLimits:
    """Holds each key to its `rate_limit`, as it stands when a request is admitted."""

    _rates: Rates
    _clock: Clock

    @hookimpl
    def startup(self, app: App) -> None:
        self._rates, self._clock = app.rates, app.clock

    @hookimpl
    def reserve(self, ctx: RequestContext) -> Admitted | Awaitable[Admitted] | None:
        """Raises: RateLimited; `param` is the limit that takes longest to give way."""
        principal, chat = ctx.principal, ctx.chat
        if principal is None or chat is None or principal.rate_limit == UNLIMITED:
            return None
        limit = principal.rate_limit
        tokens = _tokens(ctx, chat, limit)
        # A request that grows on its way is reserved for twice; it is one request all the same.
        requests = 0 if "rate_limit" in ctx.state else 1
        standing = self._rates.take(principal.id, limit, requests, tokens)
        if isinstance(standing, Standing):
            return self._admit(ctx, limit, requests, tokens, standing)
        return self._admit_later(ctx, limit, requests, tokens, standing)

    @hookimpl
    async def foresee(self, ctx: RequestContext) -> Forecast | None:
        principal, chat = ctx.principal, ctx.chat
        if principal is None or principal.rate_limit == UNLIMITED:
            return None
        limit = principal.rate_limit
        requests, tokens = (0, 0) if chat is None else (1, _tokens(ctx, chat, limit))
        answer = self._rates.look(principal.id, limit, requests, tokens)
        standing = answer if isinstance(answer, Standing) else await answer
        refused = chat is not None and standing.param
        return Forecast(
            rooms=tuple(_rooms(f"key:{principal.id}", limit, standing, self._clock.now_ns())),
            refusal=_refusal(limit, requests, tokens, standing) if refused else None,
        )

    async def _admit_later(
        self, ctx: RequestContext, limit: RateLimit, requests: int, tokens: int, standing: Awaitable[Standing]
    ) -> Admitted:
        return self._admit(ctx, limit, requests, tokens, await standing)

    def _admit(self, ctx: RequestContext, limit: RateLimit, requests: int, tokens: int, standing: Standing) -> Admitted:
        _tell(ctx, limit, standing)
        if not standing.number:
            raise _refusal(limit, requests, tokens, standing)
        ctx.state["rate_limit"] = "counted"
        return Admitted(self._rates, standing.number)


def _tokens(ctx: RequestContext, chat: ChatRequest, limit: RateLimit) -> int:
    """About how many tokens the request will come to, at most the whole limit."""
    tokens = expected_tokens(chat, max([target.output_cap for target in ctx.candidates], default=0))
    return tokens if limit.tokens_per_minute is None else min(tokens, limit.tokens_per_minute)


def _rooms(scope: str, limit: RateLimit, standing: Standing, now_ns: int) -> Iterator[Room]:
    requests_s, tokens_s = _seconds(now_ns + standing.requests_reset_ns), _seconds(now_ns + standing.tokens_reset_ns)
    limits: tuple[tuple[str, Literal["requests", "tokens"], int | None, int, int | None], ...] = (
        ("requests_per_minute", "requests", limit.requests_per_minute, standing.requests, requests_s),
        ("tokens_per_minute", "tokens", limit.tokens_per_minute, standing.tokens, tokens_s),
        ("concurrent", "requests", limit.concurrent, standing.running, None),
    )
    for param, unit, most, taken, resets_s in limits:
        if most is not None:
            yield Room(scope=scope, param=param, unit=unit, limit=most, left=most - taken, resets_s=resets_s)


def _seconds(ns: int) -> int:
    return -(-ns // SECOND_NS)


def _refusal(limit: RateLimit, requests: int, tokens: int, standing: Standing) -> RateLimited:
    match standing.param:
        case "requests_per_minute":
            told = _minute(limit.requests_per_minute, "requests", standing.requests, requests)
        case "tokens_per_minute":
            told = _minute(limit.tokens_per_minute, "tokens", standing.tokens, tokens)
        case _:
            told = f"requests at once is {limit.concurrent}: {standing.running} running now"
    return RateLimited(
        f"This key's limit on {told}. Try again in {_duration(standing.wait_ns)}.",
        param=standing.param,
        retry_after_s=standing.wait_ns / SECOND_NS,
    )


def _minute(most: int | None, what: str, taken: int, asked: int) -> str:
    return f"{what} in a minute is {most}: {taken} taken already, {asked} needed now"


def _tell(ctx: RequestContext, limit: RateLimit, standing: Standing) -> None:
    """OpenAI's headers, for the limits that the key has."""
    for what, taken, reset_ns, most in (
        ("requests", standing.requests, standing.requests_reset_ns, limit.requests_per_minute),
        ("tokens", standing.tokens, standing.tokens_reset_ns, limit.tokens_per_minute),
    ):
        if most is not None:
            ctx.reply_headers[f"x-ratelimit-limit-{what}"] = str(most)
            ctx.reply_headers[f"x-ratelimit-remaining-{what}"] = str(max(0, most - taken))
            ctx.reply_headers[f"x-ratelimit-reset-{what}"] = _duration(reset_ns)


def _duration(ns: int) -> str:
    """As OpenAI writes one, rounded up to milliseconds: "120ms", "1s", "59.94s", "1m0s"."""
    whole_ms = -(-ns // 10**6)
    if whole_ms < 1000:
        return f"{whole_ms}ms" if whole_ms else "0s"
    minutes, rest_ms = divmod(whole_ms, 60_000)
    seconds = f"{rest_ms / 1000:.3f}".rstrip("0").rstrip(".")
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"
