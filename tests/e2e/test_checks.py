"""Active checks: what fails is known before a request meets it, and what is well again too."""

from __future__ import annotations

import asyncio

from proxy.checks import check, check_regularly
from tests.e2e import files
from tests.e2e.conftest import Serve, Served
from tests.e2e.test_health import Moved, states
from tests.fakes import FakeArk, FakeOpenAI, eventually


async def two(serve: Serve, fake_ark: FakeArk, fake_openai: FakeOpenAI, clock: Moved, **more: object) -> Served:
    routes = (files.route("ark", "ark", files.ARK_MODEL), files.route("relay", "relay"), files.route("sim", "simulator"))
    return await serve(
        clock=clock,
        providers={"ark": files.ark(fake_ark), "relay": files.relay(fake_openai), "simulator": files.SIMULATOR},
        models={"m": files.model(*routes)},
        keys=[files.key("all", files.KEY)],
        **more,
    )


async def test_a_check_finds_out_as_a_request_would(serve: Serve, fake_ark: FakeArk, fake_openai: FakeOpenAI) -> None:
    clock = Moved()
    served = await two(serve, fake_ark, fake_openai, clock)
    fake_ark.fail_next(401, "AuthenticationError", "no")
    fake_openai.html_next(times=5)
    for _ in range(6):
        await check(served.gateway, set())
    assert states(served) == {
        "ark": ("refused", "upstream_auth_failed"),
        "relay": ("open", "upstream_error, 5 in a row"),
        "sim": ("resting", ""),
    }
    assert (len(fake_ark.requests), len(fake_openai.requests)) == (1, 5)
    assert fake_openai.requests[0].body["max_completion_tokens"] == 1
    clock.ahead_s = 60
    await check(served.gateway, set())
    assert {state for state, _ in states(served).values()} == {"serving", "resting"}
    assert await served.metric("paifang_requests_total") == 0


async def test_they_run_only_if_asked_for(serve: Serve, fake_ark: FakeArk, fake_openai: FakeOpenAI) -> None:
    for checked in (False, True):
        more = {"health": {"check_every_s": 0.05}} if checked else {}
        served = await two(serve, fake_ark, fake_openai, Moved(), **more)
        checking = asyncio.ensure_future(check_regularly(served.gateway))
        if checked:
            await eventually(lambda: len(fake_ark.requests) > 1)
        else:
            await asyncio.sleep(0.2)
            assert fake_ark.requests == []
        checking.cancel()


async def test_a_silent_provider_holds_up_no_other_check(serve: Serve, fake_ark: FakeArk, fake_openai: FakeOpenAI) -> None:
    served = await two(serve, fake_ark, fake_openai, Moved(), health={"check_every_s": 0.05})
    fake_openai.delay(before_s=30)
    checking = asyncio.ensure_future(check_regularly(served.gateway))
    await eventually(lambda: len(fake_ark.requests) > 5)
    assert len(fake_openai.requests) == 1
    checking.cancel()
