"""What plugins register beside adapters: each hook is called, and every fault is told by its line."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from proxy.boot import Loaded, plugin_problem
from proxy.config import PluginLoadError
from proxy.errors import ConfigError
from proxy.faults import described, line_in


def let_register(loaded: Loaded, what: str, register_for: Callable[[str], Callable[..., None]]) -> None:
    """Call `register_<what>` of every plugin, in the order of the list, with what `register_for` makes for its name.

    What that refuses, it raises as PluginLoadError. Raises: ConfigError: with the fault of each plugin that has one.
    """
    problems, cause = [], None
    for impl in reversed(getattr(loaded.registry.manager.hook, f"register_{what}").get_hookimpls()):
        try:
            impl.function(register=register_for(impl.plugin_name))
        except BaseException as error:  # whatever a plugin may raise
            reason = str(error) if isinstance(error, PluginLoadError) else described(error)
            told = f"plugin {impl.plugin_name!r} can't register its {what}{_place(error, impl.function)}: {reason}"
            problems.append(plugin_problem(loaded.file, loaded.source, impl.plugin_name, told))
            cause = cause or error
    if problems:
        raise ConfigError(str(loaded.file), problems) from cause


def _place(error: BaseException, function: Callable[..., Any]) -> str:
    file = inspect.unwrap(function).__code__.co_filename
    line = line_in(error, file)
    return "" if line is None else f" at {Path(file).name}:{line}"
