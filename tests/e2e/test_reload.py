"""Reloading under requests: whole or not at all, each request under its own configuration, plugins until their last request."""

from __future__ import annotations

import asyncio
import gc
import resource
import time
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from proxy.errors import ConfigError
from tests.e2e import files
from tests.e2e.conftest import Serve, Served
from tests.fakes import FakeArk, eventually

TOLD = """
from aiohttp import web
from proxy import hookimpl

TOLD = []

@hookimpl
def startup(app, config):
    TOLD.append("startup")
    if config.get("fails"):
        raise OSError("no")

@hookimpl
def register_routes(register):
    register("GET", "/told", told)

async def told(request):
    return web.json_response({"version": VERSION})

@hookimpl
def observe(ctx, outcome):
    TOLD.append("observe")

@hookimpl
def shutdown(app):
    TOLD.append("shutdown")

VERSION = 1
"""
CHAIN = ["virtual_keys", "model_scope", "budget", "routing", "metering", "metrics"]


def sections(fake_ark: FakeArk, *plugins: Any, price: int = 1) -> dict[str, Any]:
    return {
        # What these tests do beside their requests holds up the loop that they share with the gateway.
        "server": {"limits": {"loop_lag_ms": 60_000}},
        "providers": {"ark": files.ark(fake_ark)},
        "models": {
            "doubao-seed": files.model(files.route("ark", "ark", files.ARK_MODEL), price={"input": price, "output": price})
        },
        "keys": [files.key("all", files.KEY)],
        "plugins": [*CHAIN, *plugins],
    }


async def reloaded(served: Served, **changed: Any) -> None:
    await asyncio.to_thread(files.write, served.gateway.file.parent, **changed)
    await served.gateway.reload()


async def test_a_request_keeps_its_price_and_its_plugins_to_the_end(serve: Serve, fake_ark: FakeArk) -> None:
    served = await serve(**sections(fake_ark, "./told.py"), also={"told.py": TOLD})
    told = served.gateway.registry.object_of("./told.py").TOLD
    pacer = fake_ark.stepwise()
    asking = asyncio.ensure_future(served.chat(stream=True, stream_options={"include_usage": True}))
    await pacer.step()
    await reloaded(served, **sections(fake_ark, price=50))
    await asyncio.sleep(0.3)
    assert told == ["startup"]
    while await pacer.step():
        pass
    usage = (await asking).events[-2]["usage"]
    assert usage["cost"] == pytest.approx((usage["input_tokens"] + usage["output_tokens"]) / 1e6)
    await eventually(lambda: told == ["startup", "observe", "shutdown"])
    usage = (await served.chat()).json["usage"]
    assert usage["cost"] == pytest.approx(50 * (usage["input_tokens"] + usage["output_tokens"]) / 1e6)
    assert told == ["startup", "observe", "shutdown"]


async def test_a_plugin_that_is_listed_again_before_its_last_request_is_over_goes_on(serve: Serve, fake_ark: FakeArk) -> None:
    served = await serve(**sections(fake_ark, "./told.py"), also={"told.py": TOLD})
    before = served.gateway.registry.object_of("./told.py")
    pacer = fake_ark.stepwise()
    asking = asyncio.ensure_future(served.chat(stream=True))
    await pacer.step()
    await reloaded(served, **sections(fake_ark))
    await reloaded(served, **sections(fake_ark, "./told.py"))
    after = served.gateway.registry.object_of("./told.py")
    while await pacer.step():
        pass
    await asking
    await eventually(lambda: before.TOLD[-1] == "shutdown")
    assert (before.TOLD, after.TOLD) == (["startup", "observe", "shutdown"], ["startup"])


async def test_all_or_nothing(serve: Serve, fake_ark: FakeArk) -> None:
    served = await serve(**sections(fake_ark), also={"told.py": TOLD, "fails.py": TOLD.replace("/told", "/fails")})
    snapshot = served.gateway.snapshot
    with capture_logs() as lines, pytest.raises(ConfigError, match=r"plugin './fails.py' failed in startup at fails.py:11"):
        await reloaded(served, **sections(fake_ark, "./told.py", {"./fails.py": {"fails": True}}, price=9))
    assert served.gateway.snapshot is snapshot
    assert any("refused" in line["event"] for line in lines)
    assert await served.metric("paifang_config_reloads_total", outcome="failed") == 1
    assert (await served.chat()).status == 200


async def test_what_was_started_before_a_plugin_that_fails_is_shut_down_again(serve: Serve, fake_ark: FakeArk) -> None:
    good = "import structlog\nfrom proxy import hookimpl\nlog = structlog.get_logger()\n" + "".join(
        f"@hookimpl\ndef {hook}(app):\n    log.info('good {hook}')\n" for hook in ("startup", "shutdown")
    )
    served = await serve(**sections(fake_ark), also={"good.py": good, "fails.py": TOLD})
    with capture_logs() as lines, pytest.raises(ConfigError):
        await reloaded(served, **sections(fake_ark, "./good.py", {"./fails.py": {"fails": True}}))
    assert [line["event"] for line in lines if "good" in line["event"]] == ["good startup", "good shutdown"]


async def test_paths_of_plugins(serve: Serve, fake_ark: FakeArk) -> None:
    served = await serve(**sections(fake_ark, "./told.py"), also={"told.py": TOLD})
    folder: Path = served.gateway.file.parent
    assert (await served.ask("GET", "/told")).json == {"version": 1}
    (folder / "told.py").write_text(TOLD.replace("VERSION = 1", "VERSION = 22"))
    await served.gateway.reload()
    assert (await served.ask("GET", "/told")).json == {"version": 22}
    await reloaded(served, **sections(fake_ark))
    assert (await served.ask("GET", "/told")).status == 404
    (folder / "more.py").write_text(TOLD.replace("/told", "/more"))
    with capture_logs() as lines:
        await reloaded(served, **sections(fake_ark, "./told.py", "./more.py"))
    assert (await served.ask("GET", "/told")).status == 200
    assert [line["paths"] for line in lines if "a restart is needed" in line["event"]] == [[("GET", "/more")]]


async def test_connections_of_a_provider_that_stays_are_kept(serve: Serve, fake_ark: FakeArk) -> None:
    served = await serve(**sections(fake_ark))
    await served.chat()
    pools = list(served.gateway.transport._pools.values())
    idle = [list(pool._idle) for pool in pools]
    await reloaded(served, **sections(fake_ark, price=9))
    await served.chat()
    assert list(served.gateway.transport._pools.values()) == pools
    assert idle[0][0].connection.protocol is pools[0]._idle[0].connection.protocol


@pytest.mark.parametrize(
    ("times", "seconds"), [(20, 4.0), pytest.param(100, 20.0, marks=pytest.mark.long)], ids=["quick", "long"]
)
async def test_reloads_under_load_lose_no_request_and_no_memory(
    serve: Serve, fake_ark: FakeArk, times: int, seconds: float
) -> None:
    served = await serve(**sections(fake_ark, "./told.py"), also={"told.py": TOLD})
    statuses: list[int] = []
    over = False

    async def ask_on(stream: bool) -> None:
        while not over:
            answer = await served.chat(stream=stream)
            statuses.append(answer.status if not stream or answer.events[-1] == "[DONE]" else 0)

    asking = [asyncio.ensure_future(ask_on(stream)) for stream in (False, True, False, True)]
    began, sizes = time.monotonic(), []
    for number in range(times):
        # Another price each time, and the plugin comes and goes.
        listed = ("./told.py",) if number % 3 else ()
        await reloaded(served, **sections(fake_ark, *listed, price=1 + number % 2))
        gc.collect()
        sizes.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        await asyncio.sleep(max(0.0, (number + 1) * seconds / times - (time.monotonic() - began)))
    over = True
    await asyncio.gather(*asking)
    assert set(statuses) == {200} and len(statuses) > times
    assert served.gateway.app.reloads.outcomes == {"ok": times, "failed": 0}
    assert sizes[-1] - sizes[times // 2] < 8 * 1024, "kilobytes of growth over the second half"
    assert await served.metric("paifang_ledger_unsettled") == 0
    await served.gateway.tail.drain(5)
    assert len(served.gateway.tail) == 0 and served.gateway.pipeline.unfinished() == set()
