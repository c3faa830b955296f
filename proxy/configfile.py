"""gateway.yaml → Config, with every problem of the file at once.

parse    reads text, environment and the names of the plugins: which keys are allowed depends on them
build    checks all of it with what those plugins and their adapters contribute
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from proxy.adapter import NoOptions
from proxy.config import ACCESS_KEYS, BUILT_IN_PLUGINS, Config, PluginEntry, PluginLoadError, ProviderConfig, Sections
from proxy.configchecks import cross_check
from proxy.configtypes import did_you_mean
from proxy.configwords import found, inexact, problems_of, unknown_key
from proxy.credentials import VOLCENGINE
from proxy.environment import environment_beside, expand
from proxy.errors import ConfigError, Problem
from proxy.faults import described
from proxy.presets import with_presets
from proxy.yamltext import LARGEST_FILE_CHARACTERS, Document, Place, read, render_path

DEFAULT_FILE = Path("gateway.yaml")
_PROVIDER_KEYS = frozenset(ProviderConfig.model_fields) - {"options"}
_MAY_BE_NULL = frozenset(Config.model_fields) - {"providers", "models", "plugins"}


@dataclass(frozen=True, slots=True)
class PluginListing:
    """An entry of `plugins:` as the file has it. options: None where it has none."""

    name: str
    options: Any
    at: Place


@dataclass(frozen=True, slots=True)
class Parsed:
    """A file that was read, before anybody else had a say."""

    path: Path
    document: Document
    data: dict[str, Any]
    """Environment expanded."""
    plugins: tuple[PluginListing, ...] | None
    """None: `plugins:` is left out."""
    problems: tuple[Problem, ...]

    @property
    def plugin_names(self) -> list[str] | None:
        return None if self.plugins is None else [listing.name for listing in self.plugins]


@dataclass(frozen=True, slots=True)
class Source:
    """What a configuration is made of, besides the files of its plugins."""

    text: str
    """Of gateway.yaml."""
    environment: Mapping[str, str]
    """Every variable that it may name."""
    problems: tuple[Problem, ...] = ()
    """Of the .env beside it."""


def load(
    path: Path,
    environ: Mapping[str, str],
    sections_for: Callable[[Sequence[str] | None, Path], Sections],
    source: Source | None = None,
) -> Config:
    """Read a gateway.yaml.

    Args: sections_for: from the names in `plugins:` (None: left out) and the file's folder to what they contribute.
    source: instead of what the file says now.
    Raises: ConfigError: with every problem, by line.
    """
    parsed = parse(path, environ, source)
    try:
        sections = sections_for(parsed.plugin_names, path.parent)
    except PluginLoadError as error:
        place = parsed.document.key_place(("plugins",))
        raise ConfigError(str(path), _in_order([*parsed.problems, Problem("plugins", str(error), *place)])) from error
    return build(parsed, sections)


def read_source(path: Path, environ: Mapping[str, str]) -> Source:
    """Read gateway.yaml and the .env beside it. Raises: ConfigError: there is no such file, or it is no text."""
    text = _text_of(path)
    environment, problems = environment_beside(path, environ)
    return Source(text, environment, tuple(problems))


def parse(path: Path, environ: Mapping[str, str], source: Source | None = None) -> Parsed:
    """Read the text, expand the environment, list the plugins.

    Raises: ConfigError: there is no such file, or it can't be read as YAML at all.
    """
    source = source or read_source(path, environ)
    document = read(source.text, str(path))
    problems = [*document.problems, *source.problems]
    data, unexpanded = expand(document, source.environment)
    problems += unexpanded
    if not isinstance(data, dict):
        if data is not None:
            message = f"found {found(data)}, expected a mapping with providers, models and others"
            problems.append(Problem("", message, *document.place(())))
        data = {}
    plugins, unlisted = _listings(data, document)
    return Parsed(path, document, data, plugins, (*problems, *unlisted))


def build(parsed: Parsed, sections: Sections) -> Config:
    """Check the whole file.

    Raises: ConfigError: with every problem of both steps, by line.
    """
    document, data = parsed.document, with_presets(parsed.data)
    problems = list(parsed.problems)
    raw = {key: value for key, value in data.items() if value is not None or key not in _MAY_BE_NULL}
    if parsed.plugins is not None:
        raw["plugins"] = [_entry(listing, parsed, sections, problems) for listing in parsed.plugins]
    if isinstance(raw.get("providers"), dict):
        raw["providers"] = {
            name: _provider(("providers", name), provider, parsed, sections, problems)
            for name, provider in raw["providers"].items()
        }
    config = None
    try:
        config = Config.model_validate(raw, context={"folder": parsed.path.parent})
    except ValidationError as error:
        problems += problems_of(error, Config, data, document)
    problems += cross_check(data, document, sections, parsed.plugin_names)
    if problems or config is None:
        raise ConfigError(str(parsed.path), _in_order(problems))
    return config


def _text_of(path: Path) -> str:
    try:
        content = path.read_bytes()[: 4 * LARGEST_FILE_CHARACTERS + 1]
        return content.decode("utf-8-sig")
    except FileNotFoundError:
        chosen = "" if path == DEFAULT_FILE else f" -c {shlex.quote(str(path))}"
        message = f"there is no such file: write it with `paifang init{chosen}`, or name another with --config"
    except IsADirectoryError:
        message = "this is a folder: name the file in it"
    except OSError as error:
        message = f"the file can't be read: {error.strerror}"
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        problem = Problem("", "this is not UTF-8: save the file in that encoding", line, column)
        raise ConfigError(str(path), [problem]) from None
    raise ConfigError(str(path), [Problem("", message)])


def _listings(data: dict[str, Any], document: Document) -> tuple[tuple[PluginListing, ...] | None, list[Problem]]:
    """The entries of `plugins:`, and what is wrong with their shape."""
    if "plugins" not in data:
        return None, []
    problems: list[Problem] = []
    listings: list[PluginListing] = []
    entries = data["plugins"]
    if not isinstance(entries, list):
        message = f"found {found(entries)}, expected a list of plugins; left out, the built-in ones run; []: none"
        return (), [Problem("plugins", message, *document.key_place(("plugins",)))]
    for index, entry in enumerate(entries):
        at: Place = ("plugins", index)
        if isinstance(entry, str) and entry:
            listing = PluginListing(entry, None, at)
        elif isinstance(entry, dict) and len(entry) == 1:
            name, options = next(iter(entry.items()))
            listing = PluginListing(name, options, (*at, name))
        else:
            message = f'found {found(entry)}, expected "- name" or "- name: {{option: value}}"'
            problems.append(Problem(render_path(at), message, *document.place(at)))
            continue
        if any(other.name == listing.name for other in listings):
            message = f'the plugin "{listing.name}" is listed twice: remove one'
            problems.append(Problem(render_path(at), message, *document.place(at)))
            continue
        listings.append(listing)
    return tuple(listings), problems


def _entry(listing: PluginListing, parsed: Parsed, sections: Sections, problems: list[Problem]) -> PluginEntry:
    """The entry with its options checked; complaints go to `problems`."""
    name, options = listing.name, listing.options
    path, place = render_path(listing.at), parsed.document.key_place(listing.at)
    try:
        model = sections.plugin_model(name)
    except LookupError:
        nearest = did_you_mean(name, sections.plugin_names())
        known = nearest or f": expected one of {', '.join(sections.plugin_names())}, or the path of a .py file"
        problems.append(Problem(path, f'no plugin is called "{name}"{known}', *place))
        return PluginEntry(name=name)
    except PluginLoadError as error:
        problems.append(Problem(path, str(error), *place))
        return PluginEntry(name=name)
    if options is not None and not isinstance(options, dict):
        problems.append(Problem(path, f"found {found(options)}, expected a mapping of options", *place))
    elif model is not None:
        return PluginEntry(name=name, options=_options(model, options or {}, listing.at, parsed, problems))
    elif options and name in BUILT_IN_PLUGINS:
        problems.append(Problem(path, f'the plugin "{name}" has no options: remove them', *place))
    return PluginEntry(name=name, options=options or {})


def _provider(at: Place, section: Any, parsed: Parsed, sections: Sections, problems: list[Problem]) -> Any:
    """The provider's section with its adapter's keys gathered under `options`; complaints go to `problems`."""
    if not isinstance(section, dict):
        return section
    named = section.get("adapter")
    adapter = sections.adapter(named) if isinstance(named, str) else None
    # Where no AK/SK is taken, its keys are the adapter's to use.
    ours = _PROVIDER_KEYS - ACCESS_KEYS if adapter is not None and adapter.signer != VOLCENGINE else _PROVIDER_KEYS
    known = {key: value for key, value in section.items() if key in ours}
    if adapter is None:
        # Which keys an adapter would add is unknown here, but not that one of them is the adapter's own, misspelt.
        misspelt = [key for key in section if key not in ours and named is None and did_you_mean(key, ["adapter"])]
        problems += [
            Problem(render_path((*at, key)), unknown_key(key, ["adapter"]), *parsed.document.key_place((*at, key)))
            for key in misspelt
        ]
        return known
    rest = {key: value for key, value in section.items() if key not in ours}
    return {**known, "options": _options(adapter.options, rest, at, parsed, problems, also=ours)}


def _options(
    model: type[BaseModel],
    raw: dict[str, Any],
    at: Place,
    parsed: Parsed,
    problems: list[Problem],
    also: frozenset[str] = frozenset(),
) -> BaseModel:
    """A plugin's or adapter's own model of its keys. A model that says nothing of unknown keys forbids them."""
    extra: Literal["forbid"] | None = None if model.model_config.get("extra") else "forbid"
    try:
        made = model.model_validate(raw, extra=extra)
    except ValidationError as error:
        problems.extend(problems_of(error, model, parsed.data, parsed.document, at, also))
        wrong = {detail["loc"][0] for detail in error.errors() if detail["loc"]}
        right = {key: value for key, value in raw.items() if key not in wrong}
        return _options(model, right, at, parsed, problems, also) if len(right) < len(raw) else NoOptions()
    except BaseException as error:  # whatever a plugin's validators may raise
        message = f"{model.__name__} can't check this: {described(error)}"
        problems.append(Problem(render_path(at), message, *parsed.document.key_place(at)))
        return NoOptions()
    for path, message in inexact(raw, made, at):
        problems.append(Problem(render_path(path), message, *parsed.document.place(path)))
    return made


def _in_order(problems: Sequence[Problem]) -> list[Problem]:
    """By place in the file; of two of the same text at the same place, one."""
    return sorted(dict.fromkeys(problems), key=lambda problem: (problem.file, problem.line, problem.column))
