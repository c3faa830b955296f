"""Commands that plugins add to `paifang`."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from proxy.boot import Loaded
from proxy.config import PluginLoadError
from proxy.registering import let_register

Commands = dict[str, Callable[..., Any]]


def add_commands(loaded: Loaded, built_in: Collection[str], commands: Commands) -> None:
    """Add what the plugins register to `commands`. Raises: ConfigError; what is no fault has been added all the same."""
    owners: dict[str, str] = {}

    def register_for(plugin: str) -> Callable[..., None]:
        def register(name: str, function: Callable[..., Any]) -> None:
            if not isinstance(name, str) or not callable(function):
                raise PluginLoadError(f"expected a name and a function, found {name!r} and {function!r}")
            if name in built_in or name in owners:
                owner = "Paifang" if name in built_in else f"plugin {owners[name]!r}"
                raise PluginLoadError(f"{name!r} is a command of {owner}: take another name")
            owners[name], commands[name] = plugin, function

        return register

    let_register(loaded, "commands", register_for)
