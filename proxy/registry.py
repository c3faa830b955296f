"""Plugins and adapters: found by entry point or by file, ordered, checked. One registry per configuration, never a global."""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from importlib.machinery import SourceFileLoader
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import pluggy
from pydantic import BaseModel

import proxy
from proxy import hookspecs
from proxy.adapter import Adapter
from proxy.config import PluginLoadError
from proxy.configtypes import did_you_mean
from proxy.credentials import SIGNERS, TOKENS
from proxy.faults import described, line_in
from proxy.hookchecks import check_hooks, unmarked_hooks

BUILTIN_CHAIN = ("virtual_keys", "model_scope", "rate_limit", "budget", "routing", "metering", "metrics", "access_log")
"""What an absent `plugins:` list means, as far as installed."""

Stamp = tuple[int, int, int, int] | None
"""Of a file: times of its last modification and change, size, inode. None: there is none."""


class Registry:
    """The plugins of one `plugins:` list, in its order, and every installed adapter.

    names: entries of `plugins:`, None = the built-in chain. folder: where ./relative.py paths start.
    earlier: a registry whose plugin objects are kept where the same are listed again, so that counters survive a reload.
    Entries that can't be loaded are told of by `plugin_model`; `complete` raises for them.
    """

    def __init__(
        self,
        names: Sequence[str] | None,
        folder: Path,
        earlier: Registry | None = None,
        stamps: dict[Path, Stamp] | None = None,
    ) -> None:
        """stamps: gets those of the plugins' files, whatever this may raise."""
        self._folder = folder
        self._entries = {**_installed("paifang.plugins")}
        listed = names if names is not None else [name for name in BUILTIN_CHAIN if name in self._entries]
        self._objects: dict[str, Any] = {}
        self.stamps = {} if stamps is None else stamps
        """Of each plugin's file, as it was when it was loaded."""
        self._failures: dict[str, str] = {}
        self.notices: list[tuple[str, str]] = []
        """(plugin, what its author or its user should know)."""
        self.missing_adapters: list[str] = []
        """Of each installed package whose adapters could not be had: which one, why, and the remedy."""
        for name in dict.fromkeys(listed):
            try:
                self._objects[name] = self._load(name, earlier)
            except (LookupError, PluginLoadError) as error:
                self._failures[name] = str(error)
        self.manager = self._manage(listed)
        self.adapters = self._collect_adapters()

    @property
    def names(self) -> tuple[str, ...]:
        """Loaded plugins, in the order of the list."""
        return tuple(self._objects)

    def object_of(self, name: str) -> Any:
        return self._objects[name]

    def adapter_names(self) -> Sequence[str]:
        return sorted(self.adapters)

    def adapter(self, name: str) -> Adapter | None:
        return self.adapters.get(name)

    def plugin_names(self) -> Sequence[str]:
        return sorted(self._entries)

    def plugin_model(self, name: str) -> type[BaseModel] | None:
        """The model of a plugin's section. Raises: LookupError for an unknown name; PluginLoadError if it can't load."""
        if name in self._failures:
            raise PluginLoadError(self._failures[name]) if name in self._entries or _is_file(name) else LookupError(name)
        plugin = self._objects[name] if name in self._objects else self._load(name, None)
        config_model: Callable[[], type[BaseModel]] | None = getattr(plugin, "config_model", None)
        if config_model is None:
            return None
        try:
            model = config_model()
        except BaseException as error:  # whatever a plugin may raise
            raise PluginLoadError(f"plugin {name!r} can't name its config_model: {described(error)}") from error
        if model is not None and not (isinstance(model, type) and issubclass(model, BaseModel)):
            raise PluginLoadError(f"plugin {name!r} has a config_model that answers with no pydantic model")
        return model

    def plugin_hooks(self, name: str) -> Collection[str]:
        """The hooks that a loaded plugin implements. Raises: LookupError: it is not loaded."""
        return {caller.name for caller in self.manager.get_hookcallers(self._objects[name]) or ()}

    def _load(self, name: str, earlier: Registry | None) -> Any:
        if _is_file(name):
            path = self._folder / name
            stamp = self.stamps[path] = stamp_of(path)
            if earlier is not None and earlier.stamps.get(path) == stamp and name in earlier._objects:
                return earlier._objects[name]
            return _import_file(path.resolve(), name)
        if name not in self._entries:
            raise LookupError(f"no plugin named {name!r} is installed")
        if earlier is not None and name in earlier._objects:
            return earlier._objects[name]
        return _load_entry(self._entries[name])

    def _manage(self, listed: Iterable[str]) -> pluggy.PluginManager:
        manager = pluggy.PluginManager("paifang")
        manager.add_hookspecs(hookspecs.Boot)
        manager.add_hookspecs(hookspecs.Request)
        # pluggy calls the last registered first; the list reads top to bottom.
        for name in reversed(list(self._objects)):
            try:
                self._register(manager, name, self._objects[name])
            except PluginLoadError as error:
                self._failures[name] = str(error)
        for name, entry in _installed("paifang.adapters").items():
            try:
                self._register(manager, f"adapters:{name}", _load_entry(entry))
            except PluginLoadError as error:
                package = entry.dist.name if entry.dist is not None else name
                told = f"the package {package} has adapters that are not there ({error}): mend or uninstall it"
                self.missing_adapters.append(told)
        return manager

    def _register(self, manager: pluggy.PluginManager, name: str, plugin: Any) -> None:
        try:
            check_hooks(manager, plugin)
            manager.register(plugin, name=name)
        except (pluggy.PluginValidationError, PluginLoadError, ValueError) as error:
            raise PluginLoadError(f"plugin {name!r} is not valid: {error}".replace("\n", " ")) from error
        self.notices += [(name, f"plugin {name!r}: {told}") for told in unmarked_hooks(manager, plugin)]

    def _collect_adapters(self) -> dict[str, Adapter]:
        found: dict[str, Adapter] = {}

        def register(adapter: Adapter) -> None:
            _check_adapter(adapter)
            if adapter.name in found:
                raise PluginLoadError(f"two adapters are named {adapter.name!r}; uninstall or rename one")
            found[adapter.name] = adapter

        for impl in reversed(self.manager.hook.register_adapters.get_hookimpls()):
            try:
                impl.function(register)
            except BaseException as error:  # whatever a plugin may raise
                reason = str(error) if isinstance(error, PluginLoadError) else described(error)
                raise PluginLoadError(f"plugin {impl.plugin_name!r} can't register its adapters: {reason}") from error
        return found


def stamp_of(file: Path) -> Stamp:
    try:
        status = file.stat()
    except OSError:
        return None
    # `cp -p` restores the time of modification, never that of the change.
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


def _is_file(name: str) -> bool:
    return name.endswith(".py") or "/" in name


def _installed(group: str) -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=group):
        other = found.get(entry.name)
        if other is not None and other.value != entry.value:
            raise PluginLoadError(
                f"two installed packages offer {entry.name!r} in {group}: {other.value} and {entry.value}; uninstall one"
            )
        found[entry.name] = entry
    return found


def _load_entry(entry: EntryPoint) -> Any:
    """What an installed package offers; of a class, an instance."""
    try:
        loaded = entry.load()
        return loaded() if isinstance(loaded, type) else loaded
    except BaseException as error:  # whatever a module may raise while it is imported
        raise PluginLoadError(f"{entry.value} can't be imported: {_described(error)}") from error


class _FreshLoader(SourceFileLoader):
    """Compiles what the file says now. Python's cache knows a file by its size and the second of its modification."""

    def get_code(self, fullname: str) -> CodeType | None:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def _import_file(path: Path, name: str) -> ModuleType:
    if not path.is_file():
        raise PluginLoadError(f"the file {name} does not exist beside gateway.yaml")
    module_name = f"paifang_file_{path.stem}_{abs(hash(str(path))):x}"
    spec = importlib.util.spec_from_file_location(module_name, path, loader=_FreshLoader(module_name, str(path)))
    if spec is None or spec.loader is None:
        raise PluginLoadError(f"{name} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(module_name)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:  # whatever a module may raise while it is imported
        if before is None:
            del sys.modules[module_name]
        else:
            sys.modules[module_name] = before
        line = line_in(error, str(path))
        raise PluginLoadError(f"{name}{'' if line is None else f':{line}'}: {_described(error)}") from error
    return module


def _described(error: BaseException) -> str:
    """What a module raised while it was imported. Python would name a file of ours, and not the nearest name."""
    missing = isinstance(error, ImportError) and re.match(r"cannot import name '(\w+)' from 'proxy' ", str(error))
    if not missing:
        return described(error)
    return f"proxy has no {missing[1]!r}{did_you_mean(missing[1], proxy.__all__) or '; docs/plugins.md lists what it has'}"


def _check_adapter(adapter: Any) -> None:
    """Raises: PluginLoadError: it lacks what the port asks of an adapter."""
    name = getattr(adapter, "name", None) or type(adapter).__name__
    if isinstance(adapter, type):
        raise PluginLoadError(f"adapter {name!r} is a class: register an instance of it")
    wanted = ("name", "base_url", "signer", "simulated", "options", "prompt_overhead_tokens", "open")
    missing = [member for member in wanted if not hasattr(adapter, member)]
    problems = [f"has no {', '.join(missing)}"] if missing else []
    if "signer" not in missing and adapter.signer not in {*SIGNERS, *TOKENS}:
        problems.append(f"names the signer {adapter.signer!r}, expected one of {', '.join(SIGNERS)}")
    if "options" not in missing and not (isinstance(adapter.options, type) and issubclass(adapter.options, BaseModel)):
        problems.append("has options that are no pydantic model; without any, use NoOptions")
    for opener in (opener for opener in ("open", "open_embeddings") if hasattr(adapter, opener)):
        signature = inspect.signature(getattr(adapter, opener))
        try:
            signature.bind("chat", "target")
        except TypeError:
            taken = ", ".join(["self", *(str(parameter) for parameter in signature.parameters.values())])
            problems.append(f"has an {opener}({taken}), which is called as {opener}(chat, target)")
    if problems:
        raise PluginLoadError("; ".join(f"adapter {name!r} {problem}" for problem in problems))
