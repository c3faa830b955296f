"""SystemExit and its like out of a plugin: a fault of that plugin as any other, and the gateway goes on."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from tests.e2e import files
from tests.e2e.conftest import Answered, Serve, Served, StartProcess
from tests.fakes import FakeArk, eventually

HEAD = """
import asyncio
from aiohttp import web
from proxy import hookimpl

class Odd(BaseException):
    pass

ERRORS = {
    "exit": SystemExit(3), "interrupt": KeyboardInterrupt(), "close": GeneratorExit(), "cancelled": asyncio.CancelledError(),
    "odd": Odd("secret"), "stop": StopIteration(),
}

def fault(headers, place):
    at, _, error = headers.get("x-fault", "").partition(" ")
    if at == place:
        raise ERRORS[error]
"""
ERRORS = ["exit", "interrupt", "close", "cancelled", "odd", "stop"]
ARGUMENTS = {"transform_request": ", body", "transform_event": ", event", "route": ", candidates"}
GUARDS = ["authenticate", "authorize", "reserve", "route", "transform_request", "transform_event", "meter"]
HOOKS = "".join(
    f"\n@hookimpl\nDEF {hook}(ctx{ARGUMENTS.get(hook, '')}):\n    fault(ctx.headers, '{hook}')\n"
    for hook in (*GUARDS, "observe")
)
HOLD = """
@hookimpl
def reserve(ctx):
    return Hold(ctx.headers)

class Hold:
    def __init__(self, headers):
        self.headers = headers
    DEF settle(self, charge):
        fault(self.headers, "settle")
    DEF void(self):
        fault(self.headers, "void")
    DEF dispatched(self):
        fault(self.headers, "dispatched")

@hookimpl
def transform_request(ctx):
    if "void" in ctx.headers.get("x-fault", ""):
        raise ValueError
"""
ROUTE = """
async def bad(request):
    fault(request.headers, "bad")
    return "no response" if "junk" in request.headers.get("x-fault", "") else web.Response()

@hookimpl
def register_routes(register):
    register("GET", "/bad", bad)
"""
CHAIN = ["./bad.py", "virtual_keys", "model_scope", "budget", "routing", "metering", "metrics"]


def sections(ark: FakeArk) -> dict[str, Any]:
    return {
        "providers": {"ark": files.ark(ark)},
        "models": {"m": files.model(files.route("dear", "ark", files.ARK_MODEL))},
        "keys": [files.key("ci", files.KEY, models=["m"])],
        "plugins": CHAIN,
    }


async def assert_unharmed(served: Served) -> None:
    """All is settled, and the next request succeeds."""
    assert (await served.chat("m")).status == 200
    assert await served.metric("paifang_ledger_unsettled") == 0
    assert await served.metric("paifang_route_in_flight") == 0
    assert not served.gateway.pipeline.running


async def asked(served: Served, fault: str, stream: bool) -> Answered:
    """The answer, as far as it came."""
    body, raw = {"model": "m", "messages": files.HI, "stream": stream}, b""
    async with served.open(body, **{"x-fault": fault}) as response:
        with suppress(aiohttp.ClientPayloadError):
            async for piece in response.content.iter_any():
                raw += piece
    return Answered(response.status, response.headers, raw)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", ["def", "async def"])
async def test_every_guard_fails_closed_whatever_it_raises(serve: Serve, fake_ark: FakeArk, kind: str, stream: bool) -> None:
    served = await serve(**sections(fake_ark), also={"bad.py": HEAD + HOOKS.replace("DEF", kind)})
    for hook in GUARDS:
        for error in ERRORS:
            with capture_logs() as lines:
                answer = await asked(served, f"{hook} {error}", stream)
            told = answer.events[-1]["error"] if answer.status == 200 else answer.error
            assert (told["code"], told["param"]) == ("plugin_error", "./bad.py"), (hook, error)
            assert answer.status == (200 if stream and hook == "meter" else 500), (hook, error)
            named = [(line["plugin"], line["hook"]) for line in lines if line["event"] == "plugin failed"]
            assert set(named) == {("./bad.py", hook)}, (hook, error)
        assert await served.metric("paifang_plugin_failures_total", plugin="./bad.py", hook=hook) >= len(ERRORS)
    await assert_unharmed(served)


@pytest.mark.parametrize("kind", ["def", "async def"])
async def test_an_observer_fails_open_whatever_it_raises(serve: Serve, fake_ark: FakeArk, kind: str) -> None:
    served = await serve(**sections(fake_ark), also={"bad.py": HEAD + HOOKS.replace("DEF", kind)})
    with capture_logs():
        answers = [await served.chat("m", headers={"x-fault": f"observe {error}"}) for error in ERRORS]
        await served.gateway.tail.drain(5)
    assert [answer.status for answer in answers] == [200] * len(ERRORS)
    assert await served.metric("paifang_plugin_failures_total", plugin="./bad.py", hook="observe") == len(ERRORS)
    assert await served.metric("paifang_requests_total", model="m", status="200") == len(ERRORS)
    await assert_unharmed(served)


@pytest.mark.parametrize("kind", ["def", "async def"])
async def test_a_hold_is_named_and_keeps_no_other_whatever_it_raises(serve: Serve, fake_ark: FakeArk, kind: str) -> None:
    served = await serve(**sections(fake_ark), also={"bad.py": HEAD + HOLD.replace("DEF", kind)})
    for method in ("settle", "void", "dispatched"):
        for error in ERRORS:
            with capture_logs() as lines:
                answer = await served.chat("m", headers={"x-fault": f"{method} {error}"})
            assert (answer.status, answer.error["code"], answer.error["param"]) == (500, "plugin_error", "./bad.py")
            named = [line["hook"] for line in lines if line["event"] == "plugin failed"]
            assert named == (["transform_request"] if method == "void" else []) + ["reserve"], (method, error)
    await assert_unharmed(served)


async def test_a_path_of_a_plugin_is_named_whatever_it_raises(serve: Serve, fake_ark: FakeArk) -> None:
    served = await serve(**sections(fake_ark), also={"bad.py": HEAD + ROUTE})
    for error in (*ERRORS, "junk"):
        with capture_logs() as lines:
            answer = await served.ask("GET", "/bad", headers={"x-fault": f"{'' if error == 'junk' else 'bad'} {error}"})
        assert (answer.status, answer.error["code"], answer.error["param"]) == (500, "plugin_error", "./bad.py"), error
        assert [(line["plugin"], line["hook"]) for line in lines] == [("./bad.py", "register_routes")]
    assert await served.metric("paifang_plugin_failures_total", plugin="./bad.py", hook="register_routes") == 7
    await assert_unharmed(served)


@pytest.mark.parametrize("hook", ["authorize", "settle"])
async def test_a_client_that_leaves_a_hook_that_waits_is_no_fault(serve: Serve, fake_ark: FakeArk, hook: str) -> None:
    waits = "    await asyncio.sleep(0.2)\n"
    text = HOOKS if hook == "authorize" else HOLD
    text = text.replace("DEF", "async def").replace(f"fault(ctx.headers, '{hook}')", waits.strip())
    text = text.replace('fault(self.headers, "settle")', waits.strip())
    served = await serve(**sections(fake_ark), also={"bad.py": HEAD + text})
    with capture_logs() as lines:
        asking = asyncio.ensure_future(served.chat("m"))
        await asyncio.sleep(0.1)
        asking.cancel()
        await eventually(lambda: not served.gateway.pipeline.unfinished())
    assert not [line for line in lines if line["event"] == "plugin failed"]
    assert await served.metric("paifang_requests_total", model="m", status="499") == 1
    await assert_unharmed(served)


OWN_TASKS = """
async def leave():
    raise SystemExit(3)

@hookimpl
async def authorize(ctx):
    match ctx.headers.get("x-task"):
        case "awaited":
            await asyncio.gather(leave())
        case "beside":
            asyncio.ensure_future(leave())
        case "callback":
            asyncio.get_running_loop().call_soon(exit, 3)
        case "thread":
            await asyncio.to_thread(exit, 3)

@hookimpl
def shutdown(app):
    raise SystemExit(9)
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_tasks_and_shutdown_of_a_plugin_end_alone(gateway_process: StartProcess, tmp_path: Path, workers: int) -> None:
    (tmp_path / "bad.py").write_text(HEAD + OWN_TASKS)
    process = gateway_process(
        tmp_path,
        server={"workers": workers},
        providers={"simulator": files.SIMULATOR},
        models={"m": files.model(files.route("sim", "simulator"))},
        keys=[files.key("ci", files.KEY, models=["m"])],
        plugins=CHAIN,
    )
    found = []
    for where in ("awaited", "beside", "callback", "thread", ""):
        headers = {"authorization": f"Bearer {files.KEY}", "content-type": "application/json", "x-task": where}
        body = json.dumps({"model": "m", "messages": files.HI}).encode()
        try:
            with urllib.request.urlopen(urllib.request.Request(f"{process.url}/v1/chat/completions", body, headers)) as answer:
                found.append((answer.status, ""))
        except urllib.error.HTTPError as error:
            found.append((error.code, json.loads(error.read())["error"]["param"]))
    assert found == [(500, "./bad.py"), (200, ""), (200, ""), (500, "./bad.py"), (200, "")]
    assert process.process.poll() is None
    events = [json.loads(line)["event"] for line in process.log.read_text().splitlines() if line.startswith("{")]
    told = [event for event in events if event.startswith("a task raised")]
    assert len(told) == 5, "authorize is asked once, and again for the route"
    assert "ended by itself" not in process.log.read_text()
    assert process.stop() == 0
