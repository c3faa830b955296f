"""What a route and a credential go through, on a clock that the tests move."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from proxy.chat import ChatRequest, Usage
from proxy.circuit import Circuit
from proxy.context import RateLimit
from proxy.errors import (
    Remedy,
    UpstreamBusy,
    UpstreamError,
    UpstreamFailed,
    UpstreamProtocolError,
    UpstreamRefused,
    UpstreamRejectedUs,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from proxy.health import Health, RouteHealth
from proxy.routelimits import RouteLimits

S = 10**9
START_S = 1_795_305_600
"""2026-11-22T00:00:00Z."""
CHAT = ChatRequest(body={}, body_bytes=40, model="m", max_output_tokens=10)
"""Counts for 20 tokens."""


class Clock:
    now_s = 0.0

    def now_ns(self) -> int:
        return round((START_S + self.now_s) * S)

    def monotonic_ns(self) -> int:
        return round(self.now_s * S)


class Road:
    """A route, and what happens to it."""

    def __init__(self, limit: RateLimit | None = None) -> None:
        self.clock = Clock()
        self.route = RouteHealth("r", Circuit("credential", "p", self.clock), limit, self.clock)

    @property
    def now_ns(self) -> int:
        return self.clock.monotonic_ns()

    @property
    def state(self) -> str:
        return self.route.standing(self.now_ns)[0]

    @property
    def wait_s(self) -> float:
        return self.route.wait_ns(self.now_ns, CHAT) / S

    def go(self, *outcomes: UpstreamError | str | None, again: bool = False) -> None:
        """Requests one after another: "ok", an error, or None where the client left."""
        for outcome in outcomes:
            flight = self.route.begin(self.now_ns, CHAT, again=again)
            error = outcome if isinstance(outcome, UpstreamError) else None
            flight.end(self.now_ns, None, error, ok=outcome == "ok")


@pytest.fixture
def road() -> Iterator[Road]:
    with capture_logs():
        yield Road()


FAILED = UpstreamFailed("x")


@pytest.mark.parametrize("error", [FAILED, UpstreamUnreachable("x"), UpstreamTimeout("x"), UpstreamProtocolError("x")])
def test_five_failures_in_a_row_open_it(road: Road, error: UpstreamError) -> None:
    road.go(error, error, error, error, "ok", error, error, error, error)
    assert (road.state, road.wait_s) == ("serving", 0)
    road.go(error)
    assert (road.state, road.wait_s) == ("open", 5)
    assert road.route.standing(road.now_ns)[1:] == (f"{error.code}, 5 in a row", "2026-11-22T00:00:05.000Z")


def test_what_says_nothing_of_the_route(road: Road) -> None:
    road.go(*[UpstreamRefused("their 400")] * 9, *[None] * 9)
    assert road.state == "serving"
    road.go(FAILED, FAILED, FAILED, FAILED, None)
    road.go(*[FAILED] * 9, again=True)
    assert road.state == "serving" and road.route.in_a_row == 4


def test_half_of_twenty_opens_it_within_a_minute(road: Road) -> None:
    road.go(*["ok", FAILED] * 9, "ok")
    assert road.state == "serving"
    road.go(FAILED)
    assert road.route.standing(0)[:2] == ("open", "upstream_error, 10 of 20 failed")


def test_what_failed_long_ago_is_forgotten(road: Road) -> None:
    road.clock.now_s = 100
    road.go(*["ok", FAILED] * 9, "ok")
    for road.clock.now_s in (130, 160):
        road.go("ok", FAILED)
    assert road.state == "serving"


def test_one_request_finds_out_and_each_failure_doubles_the_time(road: Road) -> None:
    road.go(*[FAILED] * 5)
    for seconds in (5, 10, 20, 40, 80, 120, 120):
        assert (road.state, road.wait_s) == ("open", seconds)
        road.clock.now_s += seconds
        assert (road.state, road.wait_s) == ("probing", 0)
        trial = road.route.begin(road.now_ns, CHAT)
        assert (road.state, road.wait_s) == ("probing", 1)
        trial.end(road.now_ns, None, FAILED, ok=False)
    road.clock.now_s += 120
    trial = road.route.begin(road.now_ns, CHAT)
    trial.answered()
    assert (road.state, road.wait_s) == ("serving", 0)
    trial.end(road.now_ns, None, None, ok=True)
    road.go(*[FAILED] * 5)
    assert road.wait_s == 5


def test_a_trial_that_takes_long_does_not_keep_the_others_waiting(road: Road) -> None:
    road.go(*[FAILED] * 5)
    road.clock.now_s = 5
    slow = road.route.begin(road.now_ns, CHAT)
    for road.clock.now_s, wait_s in ((5, 1), (14.5, 0.5), (15, 0)):
        assert (road.state, road.wait_s) == ("probing", wait_s)
    road.go(FAILED)
    assert (road.state, road.wait_s) == ("open", 10)
    slow.end(road.now_ns, None, None, ok=True)
    assert road.state == "serving"


def test_a_trial_whose_client_left_found_nothing_out(road: Road) -> None:
    road.go(*[FAILED] * 5)
    road.clock.now_s = 5
    road.go(None)
    assert (road.state, road.wait_s) == ("probing", 0)
    road.go("ok")
    assert road.state == "serving"


def test_requests_from_before_do_not_close_what_is_open(road: Road) -> None:
    early = road.route.begin(0, CHAT)
    road.go(*[FAILED] * 5)
    early.end(0, None, None, ok=True)
    assert road.state == "open"


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (UpstreamBusy("x"), 5),
        (UpstreamBusy("x", retry_after_s=0), 0),
        (UpstreamBusy("x", retry_after_s=0.25), 0.25),
        (UpstreamBusy("x", retry_after_s=7), 7),
        (UpstreamBusy("x", retry_after_s=10**9), 120),
        (UpstreamFailed("x", retry_after_s=3), 3),
        (FAILED, 0),
    ],
)
def test_who_asks_for_time_gets_it(road: Road, error: UpstreamError, seconds: float) -> None:
    road.go(error)
    assert (road.state, road.wait_s) == ("cooling" if seconds else "serving", seconds)
    road.clock.now_s = seconds
    assert (road.state, road.wait_s) == ("serving", 0)
    road.go("ok")
    assert road.route.until_ns == 0


def test_the_longer_time_holds(road: Road) -> None:
    flights = [road.route.begin(0, CHAT) for _ in range(2)]
    for flight, seconds in zip(flights, (9, 2), strict=True):
        flight.end(0, None, UpstreamBusy("x", retry_after_s=seconds), ok=False)
    assert road.wait_s == 9
    road = Road()
    road.go(*[UpstreamFailed("x")] * 4, UpstreamFailed("x", retry_after_s=30))
    assert (road.state, road.wait_s) == ("open", 30)


@pytest.mark.parametrize("code", ["upstream_auth_failed", "upstream_quota_exhausted"])
def test_a_credential_that_is_refused_keeps_all_its_routes(road: Road, code: str) -> None:
    other = RouteHealth("other", road.route.credential, None, road.clock)
    with capture_logs() as logs:
        road.go(UpstreamRejectedUs("x", code=code))
    assert logs == [
        {
            "event": "credential refused",
            "log_level": "error",
            "credential": "p",
            "reason": code,
            "next_try": "2026-11-22T00:01:00.000Z",
        }
    ]
    assert [route.wait_ns(0, CHAT) for route in (road.route, other)] == [60 * S, 60 * S]
    assert other.standing(0) == ("refused", code, "2026-11-22T00:01:00.000Z")
    road.clock.now_s = 60
    trial = other.begin(road.now_ns, CHAT)
    assert (road.state, road.wait_s) == ("probing", 1)
    trial.end(road.now_ns, None, None, ok=True)
    assert (road.state, road.wait_s) == ("serving", 0)


def test_a_credential_that_is_renewed_may_be_refused_once(road: Road) -> None:
    road.route.credential = Health(road.clock).credential("p", "AK", renewed=True)
    road.go(UpstreamRejectedUs("x"), "ok", UpstreamRejectedUs("x"))
    assert road.state == "serving"
    road.go(UpstreamRejectedUs("x"))
    assert road.state == "refused"


def test_a_model_that_is_not_open_is_the_route_s_alone(road: Road) -> None:
    road.go(UpstreamRejectedUs("x", code="upstream_model_unavailable", remedy=Remedy.NEXT_ROUTE))
    assert (road.state, road.wait_s, road.route.credential.until_ns) == ("refused", 60, 0)


def test_a_plan_that_is_used_up_rests_until_it_is_reset(road: Road) -> None:
    road.go(UpstreamRejectedUs("x", code="upstream_quota_exhausted", remedy=Remedy.COOL_DOWN, retry_after_s=86_400))
    assert (road.state, road.wait_s) == ("refused", 86_400)


def test_each_change_is_told_with_reason_and_next_try(road: Road) -> None:
    with capture_logs() as logs:
        road.go(UpstreamBusy("x", retry_after_s=2))
        road.clock.now_s = 2
        road.go(*[FAILED] * 5)
        road.clock.now_s = 7
        road.go("ok")
    assert [(line["log_level"], line["event"], line.get("reason"), line.get("next_try")) for line in logs] == [
        ("warning", "route cooling", "upstream_rate_limited", "2026-11-22T00:00:02.000Z"),
        ("info", "route serves again", None, None),
        ("warning", "route open", "upstream_error, 5 in a row", "2026-11-22T00:00:07.000Z"),
        ("info", "route serves again", None, None),
    ]


def test_a_route_at_its_limits() -> None:
    road = Road(RateLimit(requests_per_minute=3, tokens_per_minute=50, concurrent=2))
    flights = [road.route.begin(0, CHAT) for _ in range(2)]
    assert (road.state, road.wait_s) == ("full", 60)
    flights.pop().end(0, Usage(input_tokens=1, output_tokens=1), None, ok=True)
    assert (road.state, road.wait_s) == ("serving", 0)
    road.go("ok")
    assert (road.state, road.wait_s) == ("full", 60)
    road.clock.now_s = 60
    assert (road.state, road.wait_s) == ("serving", 0)


def test_a_request_above_the_whole_token_limit_goes_alone() -> None:
    road = Road(RateLimit(tokens_per_minute=5))
    assert road.wait_s == 0
    flight = road.route.begin(0, CHAT)
    assert road.wait_s == 60
    flight.end(0, Usage(input_tokens=50, output_tokens=50), None, ok=True)
    assert road.wait_s == 60


def test_states_are_found_again_until_something_changes() -> None:
    health = Health(Clock())
    credential = health.credential("p", "key")
    route = health.route("r", "m", credential, None)
    assert health.credential("p", "key") is credential
    assert health.route("r", "m", credential, None) is route
    assert health.credential("p", "another key") is not credential
    assert health.route("r", "another m", credential, None) is not route
    assert health.route("r", "m", health.credential("p", "another key"), None) is not route
    assert health.route("r", "m", credential, RateLimit(concurrent=1)) is not route


def test_who_takes_over_goes_on_with_the_limits() -> None:
    old, new = RouteLimits(RateLimit(requests_per_minute=2)), RouteLimits(RateLimit(requests_per_minute=2))
    old.take(0, 0)
    new.hear(*old.said())
    new.take(5 * S, 0)
    assert new.wait_ns(5 * S, 0) == 55 * S


def test_an_operator_vouches_for_what_was_refused_or_open_but_ends_no_pause() -> None:
    clock = Clock()
    circuit = Circuit("credential", "ark", clock)
    assert circuit.vouch() == ""
    circuit.refuse("upstream_auth_failed", clock.monotonic_ns())
    assert circuit.vouch() == "upstream_auth_failed"
    assert circuit.state(clock.monotonic_ns()) == "serving" and circuit.refusals == 0
    circuit.cool(60, "upstream_rate_limited", clock.monotonic_ns())
    assert circuit.vouch() == ""
    assert circuit.state(clock.monotonic_ns()) == "cooling"
