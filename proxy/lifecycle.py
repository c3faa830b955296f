"""Plugins' lives: each is started before the first request that meets it, and shut down after the last."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pluggy

from proxy.app import App
from proxy.boot import Loaded, plugin_problem
from proxy.errors import ConfigError
from proxy.faults import described, is_own_cancellation, log_fault, place_of
from proxy.hookchecks import parameters_of

HOOK_S = 30
"""How long `startup` and `shutdown` may wait for something."""


@dataclass(slots=True, eq=False)
class Life:
    """One plugin that has been started."""

    name: str
    plugin: Any
    section: Any
    shutdown: pluggy.HookImpl | None
    leaving: object = None
    """Names the reload that took it off the list; None: it is listed."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """What one reload took off the list."""

    reload: object
    lives: Sequence[Life]


class Lifecycle:
    """The plugins that run: those of the configuration in use, and those that older requests still need."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._lives: dict[int, Life] = {}
        """By the identity of the plugin: a file that has changed is another plugin of the same name."""

    async def start(self, loaded: Loaded) -> None:
        """Start what doesn't run yet, in the order of the list.

        Raises: ConfigError: one of them failed; those that were started before it are shut down again.
        """
        hooks = _impls(loaded, "startup")
        started: list[Life] = []
        for name in loaded.registry.names:
            life = _life(loaded, name)
            if id(life.plugin) in self._lives:
                continue
            try:
                await self._call(hooks.get(name), life.section)
            except BaseException as error:
                if is_own_cancellation(error):
                    raise
                await self.end(started)
                told = f"plugin {name!r} failed in startup at {place_of(error)}: {described(error)}"
                raise ConfigError(str(loaded.file), [plugin_problem(loaded.file, loaded.source, name, told)]) from error
            self._lives[id(life.plugin)] = life
            started.append(life)

    def change_to(self, loaded: Loaded) -> Leaving:
        """From now on new requests meet the plugins of this configuration. Returns those that none of them will meet."""
        listed = {id(life.plugin): life for life in (_life(loaded, name) for name in loaded.registry.names)}
        reload = object()
        leaving = []
        for identity, life in self._lives.items():
            if identity in listed:
                life.section, life.leaving = listed[identity].section, None
            elif life.leaving is None:
                life.leaving = reload
                leaving.append(life)
        return Leaving(reload, leaving)

    async def end(self, lives: Iterable[Life]) -> None:
        """Shut them down, the last one first. One that fails is logged, and the others are still told."""
        for life in reversed(list(lives)):
            del self._lives[id(life.plugin)]
            try:
                await self._call(life.shutdown, life.section)
            except BaseException as error:
                if is_own_cancellation(error):
                    raise
                log_fault(life.name, "shutdown", error)

    async def end_left(self, left: Leaving) -> None:
        """Shut down those of them that no later reload has listed again."""
        await self.end([life for life in left.lives if life.leaving is left.reload and id(life.plugin) in self._lives])

    async def end_all(self) -> None:
        await self.end(self._lives.values())

    async def _call(self, impl: pluggy.HookImpl | None, section: Any) -> None:
        if impl is None:
            return
        arguments = {"app": self._app, "config": section}
        answer = impl.function(**{name: arguments[name] for name in parameters_of(impl.function)})
        if inspect.isawaitable(answer):
            async with asyncio.timeout(HOOK_S):
                await answer


def _life(loaded: Loaded, name: str) -> Life:
    shutdown = _impls(loaded, "shutdown").get(name)
    return Life(name, loaded.registry.object_of(name), loaded.sections[name], shutdown)


def _impls(loaded: Loaded, hook: str) -> Mapping[str, pluggy.HookImpl]:
    """{plugin: its implementation of a boot hook}."""
    return {impl.plugin_name: impl for impl in getattr(loaded.registry.manager.hook, hook).get_hookimpls()}
