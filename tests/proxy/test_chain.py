"""Hooks: `def` and `async def` alike, in the order of the list, with the plugin's own section."""

import asyncio
from typing import Any

import pluggy
import pytest

from proxy import Charge, Forbidden, Forecast, PluginFault, Principal, TextDelta, Usage, hookimpl, hookspecs
from proxy import chain as chain_module
from proxy.chain import Chain
from tests.plugins.targets import context


class Sync:
    def __init__(self, answer: Any = None) -> None:
        self.answer = answer

    @hookimpl
    def authenticate(self, ctx: Any) -> Any:
        ctx.state.setdefault("asked", []).append("sync")
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    authorize = reserve = foresee = observe = authenticate

    @hookimpl
    def transform_event(self, event: Any, config: Any) -> Any:
        return TextDelta(event.text + config["suffix"])


class Async:
    def __init__(self, answer: Any = None) -> None:
        self.answer = answer

    @hookimpl
    async def authenticate(self, ctx: Any) -> Any:
        await asyncio.sleep(0)
        ctx.state.setdefault("asked", []).append("async")
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    authorize = reserve = foresee = observe = authenticate

    @hookimpl
    async def transform_event(self, event: Any) -> Any:
        return None


def chain(*plugins: Any, sections: dict[str, Any] | None = None) -> tuple[Chain, list[Any]]:
    manager = pluggy.PluginManager("paifang")
    manager.add_hookspecs(hookspecs.Request)
    for number, plugin in reversed(list(enumerate(plugins))):
        manager.register(plugin, name=f"p{number}")
    faults: list[Any] = []
    return Chain(manager, sections or {}, lambda *fault: faults.append(fault)), faults


@pytest.mark.parametrize("plugins", [(Sync(), Async(Principal(id="a"))), (Async(), Sync(Principal(id="a")))])
async def test_first_asks_in_order_until_one_answers(plugins: Any) -> None:
    calls, _ = chain(*plugins, Sync(Principal(id="never")))
    ctx = context()
    assert (await calls.first("authenticate", ctx, Principal)).id == "a"
    assert len(ctx.state["asked"]) == 2
    assert [key for key, _ in ctx.timeline.hooks_ns] == [("p0", "authenticate"), ("p1", "authenticate")]


async def test_nobody_answers() -> None:
    calls, _ = chain(Sync(), Async())
    assert await calls.first("authenticate", context(), Principal) is None


@pytest.mark.parametrize("plugin", [Sync(Forbidden("no")), Async(Forbidden("no"))])
async def test_a_refusal_ends_it(plugin: Any) -> None:
    calls, faults = chain(plugin, Sync())
    ctx = context()
    with pytest.raises(Forbidden):
        await calls.every("authorize", ctx)
    assert (len(ctx.state["asked"]), faults) == (1, [])


@pytest.mark.parametrize("plugin", [Sync(False), Async(False), Sync("yes")])
async def test_a_guard_that_answers_where_it_should_raise_lets_nobody_through(plugin: Any) -> None:
    calls, faults = chain(plugin)
    with pytest.raises(PluginFault, match="'p0' answered authorize"):
        await calls.every("authorize", context())
    assert faults[0][:2] == ("p0", "authorize")


@pytest.mark.parametrize("plugin", [Sync(ValueError("boom")), Async(ValueError("boom")), Sync("junk"), Async(7)])
async def test_a_guard_that_fails_or_answers_junk_fails_closed_and_is_named(plugin: Any) -> None:
    calls, faults = chain(plugin)
    with pytest.raises(PluginFault) as caught:
        await calls.first("authenticate", context(), Principal)
    assert (caught.value.status, caught.value.code, caught.value.param) == (500, "plugin_error", "p0")
    assert "boom" not in caught.value.message
    assert faults[0][:2] == ("p0", "authenticate")


@pytest.mark.parametrize("plugin", [Sync(ValueError("boom")), Async(Forbidden("no"))])
async def test_an_observer_that_fails_is_reported_and_the_others_are_told(plugin: Any) -> None:
    calls, faults = chain(plugin, Sync())
    ctx = context()
    await calls.notify("observe", ctx)
    assert len(ctx.state["asked"]) == 2
    assert [(plugin, hook, request_id) for plugin, hook, _, request_id in faults] == [("p0", "observe", ctx.request_id)]


async def test_holds_of_those_before_a_refusal_are_kept_for_voiding() -> None:
    class Held:
        def settle(self, charge: Charge) -> None: ...
        def void(self) -> None: ...

    calls, _ = chain(Sync(Held()), Async(Forbidden("short")))
    taken: list[Any] = []
    with pytest.raises(Forbidden):
        await calls.holds(context(), taken)
    assert len(taken) == 1


async def test_a_hold_without_void_is_junk() -> None:
    calls, _ = chain(Sync(Usage(input_tokens=0, output_tokens=0)))
    with pytest.raises(PluginFault, match="settle"):
        await calls.holds(context(), [])


async def test_everyone_foresees_whoever_would_refuse() -> None:
    refusal, cap = Forbidden("short"), Forecast(output_cap=7)
    calls, _ = chain(Sync(), Sync(refusal), Async(cap), Async(refusal))
    assert await calls.forecasts(context()) == [Forecast(refusal=refusal), cap, Forecast(refusal=refusal)]
    calls, _ = chain(Sync("enough"))
    with pytest.raises(PluginFault, match="'p0' answered foresee with str where Forecast was expected"):
        await calls.forecasts(context())


async def test_fold_hands_on_and_each_plugin_gets_its_own_section() -> None:
    calls, _ = chain(Sync(), Async(), Sync(), sections={"p0": {"suffix": "a"}, "p2": {"suffix": "b"}})
    assert await calls.fold("transform_event", context(), TextDelta("-"), TextDelta) == TextDelta("-ab")


class Waits:
    """Awaits something that ends as the test says."""

    def __init__(self, cancelled: bool) -> None:
        self.cancelled = cancelled

    @hookimpl
    async def authorize(self, ctx: Any) -> None:
        never = asyncio.get_running_loop().create_future()
        if self.cancelled:
            never.cancel()
        await never


@pytest.mark.parametrize("cancelled", [True, False])
async def test_a_guard_that_awaits_what_was_cancelled_or_never_comes_has_failed(
    monkeypatch: pytest.MonkeyPatch, cancelled: bool
) -> None:
    monkeypatch.setattr(chain_module, "HOOK_S", 0.01)
    calls, faults = chain(Waits(cancelled))
    with pytest.raises(PluginFault, match="'p0' failed in authorize"):
        await calls.every("authorize", context())
    assert [fault[:2] for fault in faults] == [("p0", "authorize")]


async def test_an_answer_that_lacks_something_is_junk_and_named() -> None:
    calls, faults = chain(Sync(Principal(id="")))
    with pytest.raises(PluginFault, match="'p0' answered authenticate with Principal where a name was expected"):
        await calls.first("authenticate", context(), Principal, lambda principal: "" if principal.id else "a name")
    assert [fault[:2] for fault in faults] == [("p0", "authenticate")]


async def test_a_request_that_is_cancelled_is_no_fault_of_a_plugin() -> None:
    calls, faults = chain(Waits(cancelled=False))
    asking = asyncio.ensure_future(calls.every("authorize", context()))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert faults == []
