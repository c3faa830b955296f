"""Plugins that raise, hang, block, answer junk or overstep: guards fail closed, observers open, and each is named."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from proxy import chain, settlement
from proxy.diagnosis import diagnose
from tests.e2e import files
from tests.e2e.conftest import Serve, Served
from tests.fakes import FakeArk, eventually

HEAD = "import asyncio\nfrom dataclasses import replace\nfrom proxy import Charge, Principal, hookimpl\n\n@hookimpl\n"
CHAIN = ["./bad.py", "virtual_keys", "model_scope", "budget", "routing", "metering", "metrics"]


ADMIN = {"authorization": "Bearer admin-token-0123456789"}
BLOCKS = "import time\n    end = time.monotonic() + {seconds}\n    while time.monotonic() < end: pass\n"


async def served_with(serve: Serve, hook: str, ark: FakeArk | None = None, **server: Any) -> Served:
    return await serve(
        server=server,
        admin={"token": "admin-token-0123456789"},
        providers={"simulator": files.SIMULATOR if ark is None else files.ark(ark)},
        models={
            "m": files.model(files.route("sim", "simulator", files.ARK_MODEL)),
            "other": files.model(files.route("dear", "simulator"), price={"input": 100, "output": 100}, family="dear"),
        },
        keys=[files.key("ci", files.KEY, models=["m"])],
        plugins=CHAIN,
        also={"bad.py": HEAD + hook},
    )


GUARDS = {
    "authenticate": ["raise ValueError('secret')", "return 'ci'", "return {'id': 'ci'}"],
    "authorize": ["raise KeyError('secret')", "return False", "await asyncio.sleep(60)"],
    "reserve": ["raise OSError('secret')", "return 7", "await asyncio.Event().wait()"],
    "route": ["return ['m']", "return [replace(ctx.candidates[0], model='other', output_cap=10**9)]", "return 3"],
    "transform_request": [
        "return []",
        "return {**ctx.chat.body, 'messages': 'hi'}",
        "return {**ctx.chat.body, 'n': 0}",
        "return {**ctx.chat.body, 'user': object()}",
        "ctx.chat.body['n'] = 0",
    ],
    "meter": [
        "return 0",
        "raise ZeroDivisionError('secret')",
        "return Charge(amount_nanousd=-5, usage=outcome.usage)",
        "return Charge(amount_nanousd=0.5, usage=outcome.usage)",
        "return Charge(amount_nanousd=5, usage=None)",
    ],
}


ARGUMENTS = {"meter": ", outcome"}


@pytest.mark.parametrize(("hook", "body"), [(hook, body) for hook, bodies in GUARDS.items() for body in bodies])
async def test_a_guard_fails_closed(serve: Serve, monkeypatch: pytest.MonkeyPatch, hook: str, body: str) -> None:
    if "await" in body:
        monkeypatch.setattr(chain, "HOOK_S", 1)  # time enough for the ledger, whose wait counts as well
    served = await served_with(serve, f"async def {hook}(ctx{ARGUMENTS.get(hook, '')}):\n    {body}\n")
    with capture_logs() as lines:
        answer = await served.chat("m")
    assert (answer.status, answer.error["code"], answer.error["param"]) == (500, "plugin_error", "./bad.py")
    assert "./bad.py" in answer.error["message"] and "secret" not in answer.raw.decode()
    assert [(line["plugin"], line["hook"]) for line in lines if line["event"] == "plugin failed"] == [("./bad.py", hook)]
    assert await served.metric("paifang_plugin_failures_total", plugin="./bad.py", hook=hook) == 1
    assert await served.metric("paifang_ledger_unsettled") == 0


HOLD = """async def reserve(ctx):
    return Hold()

class Hold:
    output_cap = None
    async def settle(self, charge):
        {settle}
    def void(self):
        pass
    def dispatched(self):
        {dispatched}
"""


@pytest.mark.parametrize(
    "broken",
    [{"settle": "raise OSError('secret')"}, {"settle": "await asyncio.sleep(60)"}, {"dispatched": "raise OSError('secret')"}],
    ids=lambda broken: " ".join(*broken.items()),
)
async def test_a_hold_that_fails_fails_its_request_and_no_other_hold(
    serve: Serve, fake_ark: FakeArk, monkeypatch: pytest.MonkeyPatch, broken: dict[str, str]
) -> None:
    monkeypatch.setattr(settlement, "HOOK_S", 0.05)
    served = await served_with(serve, HOLD.format(**{"settle": "pass", "dispatched": "pass", **broken}), ark=fake_ark)
    with capture_logs():
        answer = await served.chat("m")
    assert (answer.status, answer.error["code"], answer.error["param"]) == (500, "plugin_error", "./bad.py")
    assert "secret" not in answer.raw.decode()
    assert await served.metric("paifang_plugin_failures_total", plugin="./bad.py", hook="reserve") == 1
    assert await served.metric("paifang_ledger_unsettled") == 0


SLOW_HOLD = """async def reserve(ctx):
    return Slow()

class Slow:
    async def settle(self, charge):
        TOLD.append("settles")
        await asyncio.sleep(0.3)
        TOLD.append(charge.usage.output_tokens > 0)
    async def void(self):
        TOLD.append("void")

TOLD = []
"""


async def test_a_client_that_leaves_does_not_cut_off_the_end_of_a_hold(serve: Serve, fake_ark: FakeArk) -> None:
    served = await served_with(serve, SLOW_HOLD, ark=fake_ark)
    told = served.gateway.registry.object_of("./bad.py").TOLD
    asking = asyncio.ensure_future(served.chat("m"))
    await eventually(lambda: told == ["settles"])
    asking.cancel()
    await eventually(lambda: not served.gateway.pipeline.running)
    await eventually(lambda: not served.gateway.pipeline.unfinished())
    assert told == ["settles", True]
    (logged,) = await served.gateway.store.requests.page(0, 2**62, {}, limit=9)
    assert (logged.ended, logged.debit > 0) == ("client_gone", True)


@pytest.mark.parametrize("body", ["raise ValueError('x')", "await asyncio.Event().wait()", "raise asyncio.CancelledError"])
async def test_an_observer_fails_open(serve: Serve, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    monkeypatch.setattr(chain, "HOOK_S", 0.5)
    served = await served_with(serve, f"async def observe(ctx, outcome):\n    {body}\n")
    with capture_logs() as lines:
        answers = [await served.chat("m") for _ in range(3)]
        await served.gateway.tail.drain(5)
    assert {answer.status for answer in answers} == {200}
    assert [line["hook"] for line in lines if line["event"] == "plugin failed"] == ["observe"] * 3
    assert await served.metric("paifang_plugin_failures_total", plugin="./bad.py", hook="observe") == 3
    assert await served.metric("paifang_requests_total", model="m", status="200") == 3


TOLD = """async def observe(ctx, outcome):
    CALLS.append(ctx.request_id)
    {body}

CALLS = []
"""


async def observed(served: Served) -> int:
    """How often the plugin was told, after one request more."""
    assert (await served.chat("m")).status == 200
    await served.gateway.tail.drain(5)
    return len(served.gateway.registry.object_of("./bad.py").CALLS)


async def listed_off(served: Served) -> dict[str, list[str]]:
    plugins = (await served.ask("GET", "/admin/v1/plugins", headers=ADMIN)).json["plugins"]
    return {plugin["name"]: plugin["switched_off"] for plugin in plugins if plugin["switched_off"]}


@pytest.mark.parametrize(
    ("body", "did"),
    [
        ("await asyncio.sleep(60)", "waited for more than 0.5 s"),
        (BLOCKS.format(seconds=0.3), "held up the event loop"),
    ],
)
async def test_an_observer_that_takes_too_long_too_often_is_switched_off_until_a_reload(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, body: str, did: str
) -> None:
    monkeypatch.setattr(chain, "HOOK_S", 0.5)
    served = await served_with(serve, TOLD.format(body=body), stall_s=0.1)
    with capture_logs() as lines:
        assert [await observed(served) for _ in range(7)] == [1, 2, 3, 4, 5, 5, 5]
    (line,) = [line for line in lines if line["event"] == "plugin switched off"]
    assert (line["log_level"], line["plugin"], line["hook"]) == ("error", "./bad.py", "observe")
    assert line["reason"] == f"it {did}, as 5 times within 60 s" and "reload" in line["remedy"]
    assert await served.metric("paifang_plugin_switched_off", plugin="./bad.py", hook="observe") == 1
    assert await listed_off(served) == {"./bad.py": ["observe"]}
    assert await served.metric("paifang_requests_total", model="m", status="200") == 7, "the other observers are told"
    (found,) = [one for one in await diagnose(served.gateway) if "called no more" in one.message]
    assert (found.check, found.state) == ("plugin ./bad.py", "problem")
    await served.gateway.reload()
    assert await listed_off(served) == {}
    with capture_logs():
        assert await observed(served) == 6


async def test_a_guard_that_hangs_is_never_switched_off(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "HOOK_S", 0.05)
    hangs = "async def authorize(ctx):\n    await asyncio.sleep(60)\n"
    served = await served_with(serve, hangs)
    with capture_logs() as lines:
        answers = await asyncio.gather(*(served.chat("m") for _ in range(12)))
    assert {(answer.status, answer.error["code"], answer.error["param"]) for answer in answers} == {
        (500, "plugin_error", "./bad.py")
    }
    assert not [line for line in lines if line["event"] == "plugin switched off"]
    assert await listed_off(served) == {}


async def test_another_model_in_the_body_changes_neither_scope_nor_price(serve: Serve) -> None:
    served = await served_with(serve, "def transform_request(body):\n    return {**body, 'model': 'other'}\n")
    answer: Any = (await served.chat("m")).json
    usage = answer["usage"]
    assert answer["model"] == "m"
    assert usage["cost"] == pytest.approx((usage["input_tokens"] + 2 * usage["output_tokens"]) / 1e6)


@pytest.mark.parametrize("hook", ["reserve(ctx)", "route(ctx)", "transform_request(ctx)"])
async def test_a_body_that_is_changed_in_place_changes_neither_scope_price_nor_cap(
    serve: Serve, fake_ark: FakeArk, hook: str
) -> None:
    served = await served_with(serve, f"def {hook}:\n    ctx.chat.body.update(model='other', max_tokens=5000)\n", ark=fake_ark)
    answer: Any = (await served.chat("m", max_tokens=5)).json
    sent = fake_ark.requests[-1].body
    assert (answer["model"], sent["model"], sent["max_completion_tokens"]) == ("m", files.ARK_MODEL, 5)
    usage = answer["usage"]
    assert usage["cost"] == pytest.approx((usage["input_tokens"] + 2 * usage["output_tokens"]) / 1e6)


async def test_a_plugin_that_blocks_the_loop_is_named(serve: Serve) -> None:
    served = await served_with(serve, "def authorize(ctx):\n    " + BLOCKS.format(seconds=1.5))
    with capture_logs() as lines:
        assert (await served.chat("m")).status == 200
    told = next(line for line in lines if line["event"].startswith("the event loop is held up"))
    assert (told["plugin"], told["hook"]) == ("./bad.py", "authorize") and "bad.py" in told["stack"]
    assert await served.metric("paifang_loop_stalls_total", plugin="./bad.py", hook="authorize") >= 1
