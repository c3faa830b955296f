"""Calling hooks: first answer wins, everyone is asked, everyone is told, each changes the last one's answer.

pluggy keeps the order but cannot await, so the calls are ours: one after another, `def` and `async def` alike. The list of
calls is frozen at start and reload, with every plugin's own section of gateway.yaml bound to its `config` argument.
A plugin that raises anything but a GatewayError, be it SystemExit, or makes the request wait too long, fails it, named: guards
fail closed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from functools import partial
from time import perf_counter_ns
from types import FrameType
from typing import Any, Literal, NamedTuple

import pluggy

from proxy.context import Forecast, RequestContext
from proxy.deadlines import Deadlines, Overdue
from proxy.errors import GatewayError, PluginFault
from proxy.faults import is_own_cancellation
from proxy.hookanswers import refusal_lacks
from proxy.hookchecks import parameters_of
from proxy.hookspecs import STAGE_OF_HOOK
from proxy.strikes import Strikes

HOOK_S = 30
"""How long a hook may wait for something."""

Report = Callable[[str, str, BaseException, str], None]
"""Told (plugin, hook, error, the request's id) of every fault."""
Lacks = Callable[[Any], str]
"""What an answer of the right type lacks, "" if nothing."""


@dataclass(frozen=True, slots=True)
class Call:
    """One plugin's hook, ready to be called."""

    key: tuple[str, str]
    """(plugin, hook)."""
    function: Callable[..., Any]
    """With the plugin's section of gateway.yaml."""
    takes: Literal["ctx", "both", "names"]
    """The context, or that and what the hook is about, by position, which costs half as much as by name."""
    names: tuple[str, ...]

    @property
    def plugin(self) -> str:
        return self.key[0]


class PluginHold(NamedTuple):
    """A Hold, and whose it is."""

    plugin: str
    hold: Any
    output_cap: int | None
    request_id: str


class Chain:
    """Every request hook of one snapshot, in order. Only an observer that takes too long again and again drops out."""

    def __init__(self, plugins: pluggy.PluginManager, sections: Mapping[str, Any], report: Report) -> None:
        """sections: {plugin name: its section of gateway.yaml}."""
        self._report = report
        self._deadlines = Deadlines()
        self._strikes = Strikes()
        self._calls: dict[str, tuple[Call, ...]] = {}
        for hook in STAGE_OF_HOOK:
            impls = reversed(getattr(plugins.hook, hook).get_hookimpls())
            self._calls[hook] = tuple(_bind(hook, impl, sections.get(impl.plugin_name, {})) for impl in impls)
        self._waiting = {hook for hook, calls in self._calls.items() if _any_waits(calls)}

    def has(self, hook: str) -> bool:
        return bool(self._calls[hook])

    def waits(self, hook: str) -> bool:
        """Whether some plugin's hook is an `async def`."""
        return hook in self._waiting

    def plugins(self, hook: str) -> tuple[str, ...]:
        """Who has this hook, in the order they are called."""
        return tuple(call.plugin for call in self._calls[hook])

    @property
    def off(self) -> Set[tuple[str, str]]:
        """{(plugin, hook)} that took too long so often that they are called no more."""
        return self._strikes.off

    def strike(self, plugin: str, hook: str, did: str) -> None:
        """A hook took too long. did: "waited too long"."""
        if self._strikes.add(plugin, hook, did, self._deadlines.loop.time()):
            self._calls[hook] = left = tuple(call for call in self._calls[hook] if call.plugin != plugin)
            if not _any_waits(left):
                self._waiting.discard(hook)

    async def first(
        self,
        hook: str,
        ctx: RequestContext,
        expected: type | tuple[type, ...],
        lacks: Lacks | None = None,
        about: Any = None,
    ) -> Any:
        """The first answer that is not None, or None. Raises: PluginFault if it isn't what was expected.

        expected: of several types, the last one is what a fault names, and those before are quicker to tell. about: the hook's
        argument beside the context.
        """
        for call in self._calls[hook]:
            try:
                answer = self._call(hook, call, ctx, about)
                if answer is None:
                    continue
                if hasattr(answer, "__await__") and (answer := await self._awaited(hook, call, ctx, answer)) is None:
                    continue
                if not isinstance(answer, expected):
                    wanted_type = expected if isinstance(expected, type) else expected[-1]
                    raise self._junk(hook, call, ctx, answer, wanted_type.__name__)
                if lacks is not None and (wanted := lacks(answer)):
                    raise self._junk(hook, call, ctx, answer, wanted)
                return answer
            except BaseException as error:
                raise self._judged(hook, call, ctx, error)  # noqa: B904 - most of the time the very same error
        return None

    async def every(self, hook: str, ctx: RequestContext) -> None:
        """Ask everyone; whoever objects raises."""
        for call in self._calls[hook]:
            try:
                answer = self._call(hook, call, ctx)
                if answer is not None and hasattr(answer, "__await__"):
                    answer = await self._awaited(hook, call, ctx, answer)
                if answer is not None:
                    # Whoever answers False means to refuse; to let that pass would be to fail open.
                    raise self._junk(hook, call, ctx, answer, "nothing, or an error raised,")
            except BaseException as error:
                raise self._judged(hook, call, ctx, error)  # noqa: B904

    async def holds(self, ctx: RequestContext, taken: list[PluginHold]) -> None:
        """Append every plugin's Hold to `taken`, which tells the caller what to void if one of them refuses."""
        for call in self._calls["reserve"]:
            try:
                hold = self._call("reserve", call, ctx)
                if hold is not None and hasattr(hold, "__await__"):
                    hold = await self._awaited("reserve", call, ctx, hold)
                if hold is None:
                    continue
                if not (callable(getattr(hold, "settle", None)) and callable(getattr(hold, "void", None))):
                    raise self._junk("reserve", call, ctx, hold, "Hold with settle(charge) and void()")
                cap = getattr(hold, "output_cap", None)
                if cap is not None and (type(cap) is not int or cap < 1):
                    raise self._junk("reserve", call, ctx, hold, "Hold whose output_cap is None, or 1 or more,")
                taken.append(PluginHold(call.plugin, hold, cap, ctx.request_id))
            except BaseException as error:
                raise self._judged("reserve", call, ctx, error)  # noqa: B904

    async def forecasts(self, ctx: RequestContext) -> list[Forecast]:
        """What every plugin's `reserve` would come to, in their order."""
        told = []
        for call in self._calls["foresee"]:
            try:
                answer = self._call("foresee", call, ctx)
                if answer is not None and hasattr(answer, "__await__"):
                    answer = await self._awaited("foresee", call, ctx, answer)
            except BaseException as error:
                judged = self._judged("foresee", call, ctx, error)
                if not isinstance(judged, GatewayError):
                    raise
                answer = Forecast(refusal=judged)
            if answer is None:
                continue
            if not isinstance(answer, Forecast):
                raise self._junk("foresee", call, ctx, answer, "Forecast")
            told.append(answer)
        return told

    async def fold(
        self,
        hook: str,
        ctx: RequestContext,
        value: Any,
        expected: type | tuple[type, ...],
        lacks: Lacks | None = None,
        *,
        in_place: bool = False,
    ) -> Any:
        """Each plugin gets the last one's answer; None leaves it as it is. Raises: PluginFault.

        in_place: one that answers None may have changed what it got, so that is judged like an answer.
        """
        for call in self._calls[hook]:
            try:
                answer = self._call(hook, call, ctx, value)
                if answer is not None and hasattr(answer, "__await__"):
                    answer = await self._awaited(hook, call, ctx, answer)
                if answer is not None:
                    if not isinstance(answer, expected):
                        raise self._junk(hook, call, ctx, answer, f"value for the {hook.removeprefix('transform_')}")
                    value = answer
                if lacks is not None and (in_place or answer is not None) and (wanted := lacks(value)):
                    raise self._junk(hook, call, ctx, value, wanted)
            except BaseException as error:
                raise self._judged(hook, call, ctx, error)  # noqa: B904
        return value

    async def notify(self, hook: str, ctx: RequestContext, about: Any = None) -> None:
        """Tell everyone; a fault is reported and goes no further."""
        for call in self._calls[hook]:
            try:
                answer = self._call(hook, call, ctx, about)
                if answer is not None and hasattr(answer, "__await__"):
                    await self._awaited(hook, call, ctx, answer)
            except BaseException as error:
                judged = self._judged(hook, call, ctx, error)
                if not isinstance(judged, GatewayError):
                    raise
                if not isinstance(judged, PluginFault):
                    self._report(call.plugin, hook, error, ctx.request_id)

    def hold_failed(self, held: PluginHold, what: str, error: BaseException) -> BaseException:
        """A hold raised or hung where it should `what`. Returns what is to be raised: a PluginFault that names its plugin; a
        refusal, and the cancellation of this task, as it is.
        """
        if is_own_cancellation(error) or (isinstance(error, GatewayError) and not refusal_lacks(error)):
            return error
        self._report(held.plugin, "reserve", error, held.request_id)
        return _fault(held.plugin, f"failed to {what} its hold")

    def _call(self, hook: str, call: Call, ctx: RequestContext, about: Any = None) -> Any:
        """What a hook answers: for an `async def`, something to be awaited."""
        started_ns = perf_counter_ns()
        try:
            if call.takes == "ctx":
                return call.function(ctx)
            if call.takes == "both":
                return call.function(ctx, about)
            return call.function(**{name: ctx if name == "ctx" else about for name in call.names})
        finally:
            ctx.timeline.hooks_ns.append((call.key, perf_counter_ns() - started_ns))

    async def _awaited(self, hook: str, call: Call, ctx: RequestContext, answer: Any) -> Any:
        started_ns = perf_counter_ns()
        try:
            with self._deadlines.until(self._deadlines.loop.time() + HOOK_S):
                return await answer
        finally:
            # Making the coroutine was timed as a call of its own; this is where it ran.
            ctx.timeline.hooks_ns[-1] = (call.key, perf_counter_ns() - started_ns)

    def _judged(self, hook: str, call: Call, ctx: RequestContext, error: BaseException) -> BaseException:
        """What is to be raised where a hook raised this: the plugin's fault, named; a refusal, and the cancellation of this
        task, as it is.
        """
        if is_own_cancellation(error) or (isinstance(error, GatewayError) and not refusal_lacks(error)):
            return error
        self._report(call.plugin, hook, error, ctx.request_id)
        if isinstance(error, Overdue):
            self.strike(call.plugin, hook, f"waited for more than {HOOK_S} s")
        return _fault(call.plugin, f"failed in {hook}")

    def _junk(self, hook: str, call: Call, ctx: RequestContext, answer: object, expected: str) -> PluginFault:
        if inspect.iscoroutine(answer):
            answer.close()  # or Python would complain that nobody awaited it
        fault = _fault(call.plugin, f"answered {hook} with {type(answer).__name__} where {expected} was expected")
        self._report(call.plugin, hook, fault, ctx.request_id)
        return fault


def running_call(frame: FrameType | None) -> tuple[Chain | None, str, str]:
    """(chain, plugin, hook) of the innermost hook on a thread's stack, (None, "", "") if none runs there."""
    while frame is not None:
        if frame.f_code in (Chain._call.__code__, Chain._awaited.__code__):
            call: Call = frame.f_locals["call"]
            return frame.f_locals["self"], call.plugin, frame.f_locals["hook"]
        frame = frame.f_back
    return None, "", ""


def _fault(plugin: str, what: str) -> PluginFault:
    return PluginFault(f"Plugin {plugin!r} {what}.", param=plugin)


def _any_waits(calls: tuple[Call, ...]) -> bool:
    return any(inspect.iscoroutinefunction(call.function) for call in calls)


def _bind(hook: str, impl: pluggy.HookImpl, section: Any) -> Call:
    asked = parameters_of(impl.function)
    names = tuple(name for name in asked if name != "config")
    function = partial(impl.function, config=section) if "config" in asked else impl.function
    takes: Literal["ctx", "both", "names"] = "names"
    if names[:1] == ("ctx",) and (*impl.argnames, *impl.kwargnames)[: len(names)] == names:
        takes = "ctx" if len(names) == 1 else "both"
    return Call((impl.plugin_name, hook), function, takes, names)
