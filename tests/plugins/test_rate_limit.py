"""Rate limits on a clock that the tests move: what fits, what doesn't, and when it does again."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from plugins.rate_limit import Admitted, RateLimits
from proxy import Charge, ChatRequest, Principal, RateLimit, RateLimited, Usage
from proxy.context import RequestContext
from proxy.rates import KeptRates
from tests.plugins.targets import context, target

SECOND_NS = 10**9
CHAT = ChatRequest(body={}, body_bytes=40, model="doubao-seed", max_output_tokens=10)
"""Counts for 20 tokens: 40 bytes are ten, and the cap is ten."""


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic_ns(self) -> int:
        return round(self.now_s * SECOND_NS)

    now_ns = monotonic_ns


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rates(clock: Clock) -> KeptRates:
    return KeptRates(clock)  # type: ignore[arg-type]


@pytest.fixture
def limits(rates: KeptRates, clock: Clock) -> RateLimits:
    plugin = RateLimits()
    plugin.startup(SimpleNamespace(rates=rates, clock=clock))  # type: ignore[arg-type]
    return plugin


def asking(key: str = "ci", chat: ChatRequest = CHAT, cap: int = 10, **limit: int) -> RequestContext:
    principal = Principal(id=key, rate_limit=RateLimit(**limit))
    return context(principal=principal, chat=chat, candidates=(target("a", output_cap=cap),))


def admit(limits: RateLimits, ctx: RequestContext) -> Admitted:
    hold = limits.reserve(ctx)
    assert isinstance(hold, Admitted)
    return hold


def refused(limits: RateLimits, ctx: RequestContext) -> tuple[str | None, float | None]:
    with pytest.raises(RateLimited) as caught:
        limits.reserve(ctx)
    assert (caught.value.status, caught.value.code, caught.value.retriable) == (429, "rate_limit_exceeded", True)
    return caught.value.param, caught.value.retry_after_s


def used(input_tokens: int, output_tokens: int) -> Charge:
    return Charge(amount_nanousd=0, usage=Usage(input_tokens=input_tokens, output_tokens=output_tokens))


def headers(ctx: RequestContext, what: str) -> list[str]:
    return [ctx.reply_headers[f"x-ratelimit-{name}-{what}"] for name in ("limit", "remaining", "reset")]


def test_no_sixty_seconds_hold_more_than_a_minute_s_requests(limits: RateLimits, clock: Clock) -> None:
    for clock.now_s in (0, 58, 59):
        admit(limits, asking(requests_per_minute=3)).void()
    for clock.now_s, wait_s in ((59, 1), (59.75, 0.25)):
        assert refused(limits, asking(requests_per_minute=3)) == ("requests_per_minute", wait_s)
    clock.now_s = 60
    admit(limits, asking(requests_per_minute=3)).void()
    assert refused(limits, asking(requests_per_minute=3)) == ("requests_per_minute", 58)
    clock.now_s = 118
    admit(limits, asking(requests_per_minute=3))
    assert refused(limits, asking(requests_per_minute=3)) == ("requests_per_minute", 1)


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        ({"requests_per_minute": 1}, "requests in a minute is 1: 1 taken already, 1 needed now. Try again in 1m0s."),
        ({"tokens_per_minute": 30}, "tokens in a minute is 30: 20 taken already, 20 needed now. Try again in 1m0s."),
        ({"concurrent": 1}, "requests at once is 1: 1 running now. Try again in 1s."),
    ],
)
def test_a_refusal_says_what_is_taken(limits: RateLimits, limit: dict[str, int], told: str) -> None:
    admit(limits, asking(**limit))
    with pytest.raises(RateLimited) as caught:
        limits.reserve(asking(**limit))
    assert caught.value.message == f"This key's limit on {told}"


def test_a_refused_request_counts_for_nothing(limits: RateLimits, clock: Clock) -> None:
    both = {"requests_per_minute": 2, "tokens_per_minute": 30, "concurrent": 2}
    admit(limits, asking(**both))
    clock.now_s = 1
    assert refused(limits, asking(**both)) == ("tokens_per_minute", 59)
    small = ChatRequest(body={}, body_bytes=4, model="m", max_output_tokens=9)
    admit(limits, asking(chat=small, cap=9, **both)).void()
    clock.now_s = 2
    assert refused(limits, asking(**both)) == ("requests_per_minute", 58)
    clock.now_s = 60
    admit(limits, asking(**both))


def test_tokens_are_what_was_asked_for_until_they_are_known(limits: RateLimits, clock: Clock) -> None:
    first = admit(limits, asking(tokens_per_minute=50))
    second = admit(limits, asking(tokens_per_minute=50))
    assert refused(limits, asking(tokens_per_minute=50)) == ("tokens_per_minute", 60)
    clock.now_s = 10
    first.settle(used(8, 2))
    third = admit(limits, asking(tokens_per_minute=50))
    second.void()
    third.settle(used(10, 25))
    ctx = asking(tokens_per_minute=50)
    clock.now_s = 20
    assert refused(limits, ctx) == ("tokens_per_minute", 50)
    assert headers(ctx, "tokens") == ["50", "5", "50s"]


def test_what_a_long_answer_takes_beyond_its_count_counts_from_its_end(limits: RateLimits, clock: Clock) -> None:
    long = admit(limits, asking(tokens_per_minute=40))
    clock.now_s = 90
    long.settle(used(20, 30))
    clock.now_s = 100
    assert refused(limits, asking(tokens_per_minute=40)) == ("tokens_per_minute", 50)
    clock.now_s = 149.999
    assert refused(limits, asking(tokens_per_minute=40)) == ("tokens_per_minute", pytest.approx(0.001))
    clock.now_s = 150
    late = admit(limits, asking(tokens_per_minute=40))
    clock.now_s = 300
    late.void()
    ctx = asking(tokens_per_minute=40)
    admit(limits, ctx)
    assert headers(ctx, "tokens") == ["40", "20", "1m0s"]


@pytest.mark.parametrize(
    ("chat", "cap", "tokens"),
    [
        ({"body_bytes": 1}, 10, 11),
        ({"body_bytes": 400, "max_output_tokens": 50}, 50, 150),
        ({"body_bytes": 400, "max_output_tokens": 50, "n": 3}, 50, 250),
        ({"body_bytes": 400}, 16_384, 1124),
        ({"body_bytes": 10**7, "max_output_tokens": 16_384}, 16_384, 100_000),
    ],
)
def test_how_much_a_request_counts_for(limits: RateLimits, chat: dict[str, Any], cap: int, tokens: int) -> None:
    ctx = asking(chat=ChatRequest(body={}, model="m", **chat), cap=cap, tokens_per_minute=100_000)
    admit(limits, ctx)
    assert int(ctx.reply_headers["x-ratelimit-remaining-tokens"]) == 100_000 - tokens


def test_concurrency_is_given_back_however_a_request_ends(limits: RateLimits) -> None:
    running = [admit(limits, asking(concurrent=8)) for _ in range(8)]
    assert refused(limits, asking(concurrent=8)) == ("concurrent", 1)
    running.pop().void()
    running.append(admit(limits, asking(concurrent=8)))
    running.pop().settle(used(1, 1))
    running.append(admit(limits, asking(concurrent=8)))
    assert refused(limits, asking(concurrent=8)) == ("concurrent", 1)
    for hold in running:
        hold.void()
    assert len([admit(limits, asking(concurrent=8)) for _ in range(8)]) == 8


def test_each_key_has_its_own_and_one_without_limits_none(limits: RateLimits) -> None:
    assert limits.reserve(asking()) is None
    admit(limits, asking("a", requests_per_minute=1))
    admit(limits, asking("b", requests_per_minute=1))
    assert refused(limits, asking("a", requests_per_minute=1)) == ("requests_per_minute", 60)


def test_a_changed_limit_holds_at_once(limits: RateLimits) -> None:
    for _ in range(5):
        admit(limits, asking(requests_per_minute=10))
    assert refused(limits, asking(requests_per_minute=4))[0] == "requests_per_minute"
    assert refused(limits, asking(concurrent=5)) == ("concurrent", 1)
    assert refused(limits, asking(tokens_per_minute=100)) == ("tokens_per_minute", 60)
    admit(limits, asking(requests_per_minute=6))


def test_a_request_that_grows_on_its_way_is_one_request(limits: RateLimits) -> None:
    ctx = asking(requests_per_minute=1, concurrent=1)
    admit(limits, ctx).void()
    admit(limits, ctx)
    assert headers(ctx, "requests") == ["1", "0", "1m0s"]


def test_headers_as_openai_writes_them(limits: RateLimits, clock: Clock) -> None:
    told = []
    for clock.now_s in (0, 30, 45.5):
        ctx = asking(requests_per_minute=2, concurrent=9)
        try:
            limits.reserve(ctx)
        except RateLimited as error:
            assert error.headers()["retry-after"] == "15"
        assert not any("tokens" in name for name in ctx.reply_headers)
        told.append(headers(ctx, "requests"))
    assert told == [["2", "1", "1m0s"], ["2", "0", "1m0s"], ["2", "0", "44.5s"]]
    clock.now_s = 89.8801
    ctx = asking(requests_per_minute=1)
    refused(limits, ctx)
    assert headers(ctx, "requests") == ["1", "0", "120ms"]


def test_a_flood_takes_little_memory_and_idle_keys_none(limits: RateLimits, rates: KeptRates, clock: Clock) -> None:
    for number in range(7000):
        clock.now_s = number / 100
        admit(limits, asking("flood", requests_per_minute=10**6)).void()
    assert len(rates._accounts["flood"].requests._entries) <= 601
    for number in range(100):
        admit(limits, asking(f"key-{number}", requests_per_minute=5)).void()
    runs = admit(limits, asking("runs", concurrent=1))
    clock.now_s += 60
    for _ in range(60):
        admit(limits, asking("lively", requests_per_minute=100)).void()
    assert set(rates._accounts) == {"runs", "lively"}
    assert refused(limits, asking("runs", concurrent=1)) == ("concurrent", 1)
    runs.void()


async def test_what_is_left_and_what_would_be_refused(limits: RateLimits, clock: Clock) -> None:
    three = {"requests_per_minute": 3, "tokens_per_minute": 50, "concurrent": 2}
    for _ in range(2):
        forecast = await limits.foresee(asking(**three))
        assert forecast is not None
        assert [(room.param, room.unit, room.limit, room.left, room.resets_s) for room in forecast.rooms] == [
            ("requests_per_minute", "requests", 3, 3, 0),
            ("tokens_per_minute", "tokens", 50, 50, 0),
            ("concurrent", "requests", 2, 2, None),
        ]
        assert forecast.refusal is None
    admit(limits, asking(**three))
    clock.now_s = 30
    admit(limits, asking(**three)).void()
    forecast = await limits.foresee(asking(**three))
    assert forecast is not None
    assert [(room.left, room.resets_s) for room in forecast.rooms] == [(1, 90), (30, 90), (1, None)]
    admit(limits, asking(**three))
    for told in (await limits.foresee(asking(**three)), await limits.foresee(replace(asking(**three), chat=None))):
        assert told is not None
        assert [room.left for room in told.rooms] == [0, 10, 0]
    forecast = await limits.foresee(asking(**three))
    assert forecast is not None and forecast.refusal is not None
    assert (forecast.refusal.param, forecast.refusal.retry_after_s) == refused(limits, asking(**three))
    general = await limits.foresee(replace(asking(**three), chat=None))
    assert general is not None and general.refusal is None
    assert await limits.foresee(asking()) is None
