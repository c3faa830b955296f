"""From a file to parts: gateway.yaml read, its plugins and adapters found, their sections checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from proxy.chain import Chain, Report
from proxy.config import Config
from proxy.configfile import Source, parse, read_source
from proxy.configfile import load as load_config
from proxy.errors import ConfigError, Problem
from proxy.faults import described, log_fault
from proxy.health import Health
from proxy.registry import Registry, Stamp
from proxy.snapshot import Snapshot, compile_snapshot
from proxy.yamltext import read, render_path


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that is valid, with the plugins and adapters it names."""

    file: Path
    source: Source
    config: Config
    registry: Registry
    sections: Mapping[str, Any]
    """{plugin: its section, the model's defaults where gateway.yaml says nothing}."""
    notices: Sequence[str]
    """What the operator should know of plugins and adapters, by line of the file."""


def load(
    file: Path,
    environ: Mapping[str, str],
    earlier: Registry | None = None,
    source: Source | None = None,
    stamps: dict[Path, Stamp] | None = None,
) -> Loaded:
    """source: instead of what the file says now. stamps: gets those of the plugins' files, as they were when they were loaded,
    also of plugins that are refused. Raises: ConfigError with every problem at once.
    """
    source = source or read_source(file, environ)
    registries: list[Registry] = []

    def sections_for(names: Sequence[str] | None, folder: Path) -> Registry:
        registries.append(Registry(names, folder, earlier, stamps))
        return registries[-1]

    config = load_config(file, environ, sections_for, source)
    registry = registries[-1]
    given = {entry.name: entry.options for entry in config.plugins or ()}
    told = [plugin_problem(file, source, name, notice).render(str(file)) for name, notice in registry.notices]
    chosen = {name: _section(registry, name, given.get(name)) for name in registry.names}
    return Loaded(file, source, config, registry, chosen, (*told, *registry.missing_adapters))


def compile_loaded(loaded: Loaded, report: Report = log_fault, health: Health | None = None) -> Snapshot:
    """The configuration as requests use it. report: told of every fault of a plugin. health: what is known of routes from
    before; None: nothing. Raises: ConfigError: an adapter failed.
    """
    chain = Chain(loaded.registry.manager, loaded.sections, report)
    try:
        snapshot = compile_snapshot(loaded.config, loaded.registry.adapters, chain, health)
    except BaseException as error:  # whatever an adapter may raise that says where its provider is
        told = f"a provider can't be set up: {described(error)}"
        raise ConfigError(loaded.file.name, [Problem("providers", told)]) from error
    return replace(snapshot, notices=(*loaded.notices, *snapshot.notices))


def plugin_problem(file: Path, source: Source, name: str, message: str) -> Problem:
    """Something about a plugin, with its place in `plugins:`, if it is listed there."""
    parsed = parse(file, source.environment, source)
    at = next((listing.at for listing in parsed.plugins or () if listing.name == name), None)
    return Problem("plugins", message) if at is None else Problem(render_path(at), message, *parsed.document.key_place(at))


def refuse_restart(before: Loaded, after: Loaded) -> None:
    """Listeners and the store are opened once. Raises: ConfigError."""
    document = read(after.source.text, after.file.name)
    changed = [
        Problem(f"{name}.{key}", "changing this needs a restart; nothing else of the file is taken before", *place)
        for name in ("server", "store", "metrics", "admin")
        for key in type(getattr(after.config, name)).model_fields
        if getattr(getattr(before.config, name), key) != getattr(getattr(after.config, name), key)
        for place in [document.key_place((name, key))]
    ]
    if changed:
        raise ConfigError(after.file.name, changed)


def _section(registry: Registry, name: str, given: Any) -> Any:
    if given is not None:
        return given
    model = registry.plugin_model(name)
    return {} if model is None else model()


def store_url(url: str, file: Path) -> str:
    """A relative SQLite path is beside gateway.yaml, wherever the command was started."""
    prefix = "sqlite:///"
    path = url.removeprefix(prefix)
    if not url.startswith(prefix) or not path or path.startswith(("/", ":memory:")):
        return url
    return f"{prefix}{file.resolve().parent / path}"
