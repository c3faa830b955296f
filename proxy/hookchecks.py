"""A plugin's hooks before any of them is called: which there are, whether each can be called, what each asks for.

pluggy alone would let too much pass: of parameters with defaults it says nothing, and they would never arrive.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from proxy import hookspecs
from proxy.config import PluginLoadError
from proxy.configtypes import did_you_mean

Hook = Callable[..., Any]
ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    name: tuple(inspect.signature(spec).parameters)[1:]
    for group in (hookspecs.Boot, hookspecs.Request)
    for name, spec in vars(group).items()
    if not name.startswith("_")
}
"""{hook: what it may ask for}."""
PLAIN = frozenset({"config_model", "register_adapters", "register_routes", "register_commands"})
"""Hooks that are called where nothing can be awaited."""


def parameters_of(function: Hook) -> tuple[str, ...]:
    """What a hook asks for by name, with a default or without."""
    return tuple(inspect.signature(function).parameters)


def check_hooks(manager: pluggy.PluginManager, plugin: Any) -> None:
    """Raises: PluginLoadError: with every problem of the plugin's hooks, by line where it is known."""
    marked = {name: options for name in dir(plugin) if (options := manager.parse_hookimpl_opts(plugin, name)) is not None}
    if not marked:
        raise PluginLoadError("it has no hooks; mark its functions with @hookimpl")
    problems = []
    for name, options in marked.items():
        function = getattr(plugin, name)
        told = _problems(options["specname"] or name, function, options)
        problems += [f"{place_of_function(function)}{problem}" for problem in told]
    if problems:
        raise PluginLoadError("; ".join(problems))


def unmarked_hooks(manager: pluggy.PluginManager, plugin: Any) -> Iterator[str]:
    """What has the name of a hook, in a plugin that has others, and is none. A config_model is found by its name alone."""
    home = plugin.__name__ if isinstance(plugin, ModuleType) else type(plugin).__module__
    for name in ARGUMENTS.keys() - {"config_model"}:
        function = inspect.getattr_static(plugin, name, None)
        if not inspect.isfunction(function) or function.__module__ != home:
            continue
        if manager.parse_hookimpl_opts(plugin, name) is None:
            yield (
                f"{place_of_function(function)}{name} has the name of a hook and no @hookimpl, so it is not called as one: "
                "mark it, or name it otherwise"
            )


def place_of_function(function: Hook) -> str:
    """Where its `def` is, as a message begins: "mine.py:4: ". Empty: not known."""
    code = getattr(inspect.unwrap(getattr(function, "__func__", function)), "__code__", None)
    if code is None:
        return ""
    file, line = Path(code.co_filename), code.co_firstlineno
    try:
        below = file.read_text(encoding="utf-8").splitlines()[line - 1 :]
    except (OSError, UnicodeDecodeError):
        below = []
    # Python counts from the first decorator.
    decorators = next((index for index, text in enumerate(below) if text.lstrip().startswith(("def ", "async def "))), 0)
    return f"{file.name}:{line + decorators}: "


def _problems(hook: str, function: Hook, options: Mapping[str, Any]) -> Iterator[str]:
    if hook not in ARGUMENTS:
        nearest = did_you_mean(hook, ARGUMENTS) or f"; the hooks are {', '.join(sorted(ARGUMENTS))}"
        yield f"it has a hook {hook!r} that does not exist{nearest}"
        return
    its_hook = f"its hook {hook!r}"
    if options["wrapper"] or options["hookwrapper"]:
        yield f"{its_hook} is a wrapper; request hooks can't wrap each other"
    elif inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        yield f"{its_hook} has a yield, so nothing of it would run; use return"
    if options["tryfirst"]:
        yield (
            f"{its_hook} is tryfirst, but the list plugins: says who goes first: "
            "remove tryfirst and list the plugin further up"
        )
    if hook in PLAIN and inspect.iscoroutinefunction(function):
        yield f"{its_hook} is an async def, which nobody awaits here: it must be a plain def"
    for problem in _odd_parameters(hook, function):
        yield f"{its_hook} {problem}"


def _odd_parameters(hook: str, function: Hook) -> Iterator[str]:
    signature = inspect.signature(getattr(function, "__func__", function))
    parameters = list(signature.parameters.values())
    if inspect.ismethod(function):
        if not parameters or parameters[0].name not in ("self", "cls"):
            written = ", ".join(["self", *(str(parameter) for parameter in parameters)])
            yield f"is a method without self: write def {hook}({written})"
            return
        del parameters[0]
    has = ARGUMENTS[hook]
    for parameter in parameters:
        if parameter.kind is parameter.POSITIONAL_ONLY:
            yield f"takes {parameter.name!r} by position alone, and arguments come by name: remove the /"
        elif parameter.name not in has or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            nearest = did_you_mean(parameter.name, has)
            written = str(parameter.replace(annotation=parameter.empty, default=parameter.empty))
            yield f"asks for {written!r}, but {hook} has {', '.join(has) or 'no arguments'}{nearest}"
