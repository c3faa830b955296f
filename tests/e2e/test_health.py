"""Routes and credentials that fail are left alone, and come back; as clients, commands and metrics see it."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from structlog.testing import capture_logs

from proxy.clock import SystemClock
from tests.e2e import files
from tests.e2e.conftest import Serve, Served
from tests.e2e.unharmed import unharmed
from tests.fakes import FakeArk, FakeOpenAI

TWO: list[dict[str, Any]] = [
    files.route("first", "ark", files.ARK_MODEL, priority=1),
    files.route("second", "relay", priority=2),
]


class Moved(SystemClock):
    """The machine's clock, moved ahead by the test."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def monotonic_ns(self) -> int:  # type: ignore[override]
        return SystemClock.monotonic_ns() + round(self.ahead_s * 1e9)


@pytest.fixture
def clock() -> Moved:
    return Moved()


@pytest.fixture
async def pool(serve: Serve, fake_ark: FakeArk, fake_openai: FakeOpenAI, clock: Moved) -> Served:
    """`m`: Ark first, then a relay. `lone`: Ark alone, by another route."""
    return await serve(
        clock=clock,
        providers={"ark": files.ark(fake_ark), "relay": files.relay(fake_openai)},
        models={"m": files.model(*TWO), "lone": files.model(files.route("alone", "ark", files.ARK_MODEL))},
        keys=[files.key("all", files.KEY)],
    )


async def who(served: Served, model: str = "m") -> tuple[str, str]:
    answered = await served.chat(model)
    assert answered.status == 200
    return answered.headers["x-paifang-route"], answered.headers["x-paifang-attempts"]


def states(served: Served) -> dict[str, tuple[str, str]]:
    standings = served.gateway.snapshot.standings(served.gateway.app.clock.monotonic_ns())
    return {label: (state, reason) for label, (state, reason, _) in standings.items()}


async def state_metric(served: Served, route: str) -> str:
    told = {
        state: await served.metric("paifang_route_state", route=route, state=state)
        for state in ("serving", "full", "cooling", "open", "probing", "refused", "resting")
    }
    [now] = [state for state, value in told.items() if value]
    return now


async def test_a_busy_route_is_passed_over_until_its_time(pool: Served, fake_ark: FakeArk, clock: Moved) -> None:
    fake_ark.fail_next(429, "ServerOverloaded", "busy", headers={"retry-after": "7"})
    assert await who(pool) == ("second", "2")
    assert await who(pool) == ("second", "1")
    assert states(pool) == {
        "first": ("cooling", "upstream_rate_limited"),
        "second": ("serving", ""),
        "alone": ("serving", ""),
    }
    assert await state_metric(pool, "first") == "cooling" and await pool.metric("paifang_route_up", route="first") == 0
    clock.ahead_s = 7
    assert await who(pool) == ("first", "1")
    assert await state_metric(pool, "first") == "serving" and await pool.metric("paifang_route_up", route="first") == 1


async def test_all_busy_is_429_with_the_shortest_wait(pool: Served, fake_ark: FakeArk, fake_openai: FakeOpenAI) -> None:
    fake_ark.fail_next(429, "ServerOverloaded", "busy", headers={"retry-after": "60"})
    fake_openai.fail_next(429, "busy", "busy", headers={"retry-after": "20"})
    for attempts in ("2", None):
        answered = await pool.chat("m")
        assert (answered.status, answered.error["code"]) == (429, "upstream_rate_limited")
        assert (answered.headers["retry-after"], answered.headers.get("x-paifang-attempts")) == ("20", attempts)
    assert (len(fake_ark.requests), len(fake_openai.requests)) == (1, 1)


@pytest.mark.parametrize(
    ("status", "code", "ours"),
    [(401, "AuthenticationError", "upstream_auth_failed"), (403, "AccountOverdueError", "upstream_quota_exhausted")],
)
async def test_a_refused_credential_alarms_and_rests_with_all_its_routes(
    pool: Served, fake_ark: FakeArk, clock: Moved, status: int, code: str, ours: str
) -> None:
    fake_ark.fail_next(status, code, "no", times=2)
    with capture_logs() as logs:
        assert await who(pool) == ("second", "2")
    [alarm] = [line for line in logs if line["log_level"] == "error"]
    assert (alarm["event"], alarm["credential"], alarm["reason"]) == ("credential refused", "ark", ours)
    assert await pool.metric("paifang_credential_up", provider="ark") == 0
    assert states(pool)["alone"] == states(pool)["first"] == ("refused", ours)
    answered = await pool.chat("lone")
    assert (answered.status, answered.error["code"], answered.headers["x-should-retry"]) == (502, ours, "false")
    clock.ahead_s = 60
    assert await who(pool) == ("second", "2") and states(pool)["first"] == ("refused", ours)
    clock.ahead_s = 180
    assert await who(pool, "lone") == ("alone", "1")
    assert await pool.metric("paifang_credential_up", provider="ark") == 1 and await who(pool) == ("first", "1")
    assert len(fake_ark.requests) == 4


async def test_a_model_that_is_not_open_rests_alone(pool: Served, fake_ark: FakeArk) -> None:
    fake_ark.fail_next(404, "ModelNotOpen", "no")
    assert await who(pool) == ("second", "2")
    assert states(pool)["first"] == ("refused", "upstream_model_unavailable") and await who(pool, "lone") == ("alone", "1")


async def test_failures_open_a_route_and_one_real_request_closes_it(
    pool: Served, fake_ark: FakeArk, clock: Moved
) -> None:
    fake_ark.html_next(times=6)
    assert [await who(pool) for _ in range(6)] == [("second", "2")] * 5 + [("second", "1")]
    assert states(pool)["first"] == ("open", "upstream_error, 5 in a row")
    clock.ahead_s = 5
    assert states(pool)["first"][0] == "probing"
    assert [await who(pool) for _ in range(2)] == [("second", "2"), ("second", "1")]
    clock.ahead_s = 15
    pacer = fake_ark.stepwise()
    probing = asyncio.ensure_future(pool.chat("m", stream=True))
    await pacer.step()
    assert await who(pool) == ("first", "1"), "the first event shows that the route is well"
    while await pacer.step():
        pass
    assert (await probing).headers["x-paifang-route"] == "first"


async def test_while_one_request_finds_out_the_others_go_elsewhere(
    pool: Served, fake_ark: FakeArk, clock: Moved
) -> None:
    fake_ark.html_next(times=5)
    for _ in range(5):
        await who(pool)
    clock.ahead_s = 5
    fake_ark.delay(before_s=0.3)
    answered = await asyncio.gather(*(who(pool) for _ in range(5)))
    assert Counter(route for route, _ in answered) == {"first": 1, "second": 4}


async def test_a_pool_whose_routes_all_fail_refuses_at_once(serve: Serve, fake_openai: FakeOpenAI, clock: Moved) -> None:
    served = await serve(
        clock=clock,
        providers={"relay": files.relay(fake_openai)},
        models={"m": files.model(files.route("one", "relay"))},
        keys=[files.key("all", files.KEY)],
    )
    fake_openai.html_next(times=5)
    for _ in range(5):
        assert (await served.chat("m")).status == 502
    answered = await served.chat("m")
    assert (answered.status, answered.error["code"], answered.headers["retry-after"]) == (503, "no_route_available", "5")
    assert len(fake_openai.requests) == 5
    clock.ahead_s = 5
    assert await who(served) == ("one", "1")


async def test_1000_clients_of_a_pool_that_fails_make_few_attempts_more(
    serve: Serve, fake_openai: FakeOpenAI, fake_ark: FakeArk
) -> None:
    sections = files.standard(fake_ark, fake_openai)
    served = await serve(**{**sections, "models": {**sections["models"], "m": files.model(*TWO)}})  # U47
    fake_ark.fail_next(500, "InternalServiceError", "no", times=2000)
    fake_openai.fail_next(500, "server_error", "no", times=2000)
    statuses = Counter([answered.status for answered in await asyncio.gather(*(served.chat("m") for _ in range(1000)))])
    assert statuses.keys() <= {502, 503} and statuses.total() == 1000
    assert len(fake_ark.requests) + len(fake_openai.requests) <= 1203
    await unharmed(served)


async def test_health_survives_a_reload_where_nothing_changed(pool: Served, fake_ark: FakeArk) -> None:
    fake_ark.fail_next(401, "AuthenticationError", "no")
    await who(pool)
    await pool.gateway.reload()
    assert states(pool)["first"][0] == "refused"
    file = pool.gateway.file
    file.write_text(file.read_text().replace(fake_ark.key, "another-key"))
    await pool.gateway.reload()
    assert states(pool)["first"][0] == "serving"


async def test_a_route_at_its_limit_is_passed_over_and_all_of_them_refuse(
    serve: Serve, fake_openai: FakeOpenAI, clock: Moved
) -> None:
    served = await serve(
        clock=clock,
        providers={"relay": files.relay(fake_openai)},
        models={
            "m": files.model(
                files.route("small", "relay", priority=1, limits={"requests_per_minute": 2}),
                files.route("one-at-once", "relay", priority=2, limits={"concurrent": 1}),
            )
        },
        keys=[files.key("all", files.KEY)],
    )
    assert [await who(served) for _ in range(3)] == [("small", "1")] * 2 + [("one-at-once", "1")]
    assert states(served) == {"small": ("full", "at its limits"), "one-at-once": ("serving", "")}
    assert await served.metric("paifang_route_up") == 2
    fake_openai.delay(before_s=0.3)
    answered = await asyncio.gather(*(served.chat("m") for _ in range(2)))
    assert sorted(each.status for each in answered) == [200, 429]
    [refused] = [each for each in answered if each.status == 429]
    assert (refused.error["code"], refused.headers["retry-after"]) == ("upstream_rate_limited", "1")
    clock.ahead_s = 60
    assert await who(served) == ("small", "1")
