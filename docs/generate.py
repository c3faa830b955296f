"""Writes the tables of docs/configuration.md out of the models that read gateway.yaml, and those of docs/admin.md: `make docs`.

Each model has its own table, at the first place where it is used; other places point there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from adapters import register_adapters
from proxy import Adapter
from proxy.adminopenapi import OPERATIONS, PREFIX, Operation, meaning
from proxy.config import BUILT_IN_PLUGINS, Config
from proxy.registry import Registry

PAGE = Path(__file__).parent / "configuration.md"
ADMIN_PAGE = Path(__file__).parent / "admin.md"
MARKED = re.compile(r"(<!-- tables: made by `make docs` -->\n).*(<!-- end of tables -->)", re.DOTALL)
MEMBERS = {"exchange_rates": "CURRENCY", "families": "FAMILY"}
"""What stands for the key of a mapping in a title; NAME elsewhere."""
SPOKEN_OF_ELSEWHERE = {("", "plugins"), ("providers.NAME", "options")}
"""(path, key) of what plugins and adapters make of their own sections."""

GIVEN_BY_PRESETS = {("models.NAME", "family"), ("models.NAME.routes[]", "model")}
"""(path, key) of what is required only where no preset says it."""

Titles = Mapping[type[BaseModel], str]


def page(text: str) -> str:
    """The page with its tables as the models are now."""
    return MARKED.sub(lambda found: f"{found[1]}\n{tables()}\n\n{found[2]}", text)


def admin_page(text: str) -> str:
    """The page of the admin API as it is now."""
    return MARKED.sub(lambda found: f"{found[1]}\n{admin_tables()}\n\n{found[2]}", text)


def admin_tables() -> str:
    """A chapter for each method on each path."""
    return "\n\n".join(_operation(method, path, operation) for (method, path), operation in OPERATIONS.items())


def _operation(method: str, path: str, operation: Operation) -> str:
    lines = [f"### `{method} {PREFIX}{path}`", "", f"{operation.summary}.", "", f"Answer: {operation.answer}"]
    if operation.query:
        rows = [f"| `{name}` | {meaning(name)} |" for name in operation.query]
        lines += ["", "| parameter | meaning |", "|---|---|", *rows]
    if operation.form is not None:
        lines += ["", "| field | type | meaning |", "|---|---|---|", *_fields(operation.form, "")]
    return "\n".join(lines)


def _fields(form: type[BaseModel], before: str) -> Iterator[str]:
    """A row for each field of a form, those within others by their path."""
    schema = form.model_json_schema(mode="validation")
    for name, field in form.model_fields.items():
        inner = next(_models_in(field.annotation, "NAME"), None)
        kind = "object" if inner else _scalar(schema["properties"][name], schema.get("$defs", {}))
        needed = ", **required**" if field.is_required() else ""
        yield f"| `{before}{name}` | {kind}{needed} | {field.description or ''} |"
        if inner:
            model, suffix = inner
            yield from _fields(model, f"{before}{name}{suffix}.")


def tables() -> str:
    """A table for the file, then one for each section, provider dialect and plugin."""
    known = titles()
    return "\n\n".join(_chapter(title, model, known) for model, title in known.items())


def titles() -> Titles:
    """{model: title of its table} of every model that has keys in gateway.yaml."""
    found: dict[type[BaseModel], str] = {Config: "The file", **_nested(Config, "")}
    adapters: dict[type[BaseModel], list[str]] = {}
    for adapter in _adapters():
        adapters.setdefault(adapter.options, []).append(adapter.name)
    for options, names in adapters.items():
        found[options] = f"providers.NAME with adapter: {', '.join(names)}"
        inner = _nested(options, "providers.NAME")
        found |= {model: f"{path} with adapter: {', '.join(names)}" for model, path in inner.items()}
    registry = Registry(None, PAGE.parent)
    for name in registry.names:
        options = registry.plugin_model(name) if name in BUILT_IN_PLUGINS else None
        if options is not None:
            found[options] = f"plugins: {name}"
    return {model: title for model, title in found.items() if model.model_fields}


def _nested(model: type[BaseModel], path: str) -> dict[type[BaseModel], str]:
    """{model: where it is first used} of all that is within, in the order of the file."""
    found: dict[type[BaseModel], str] = {}
    for name, field in model.model_fields.items():
        if (path, name) in SPOKEN_OF_ELSEWHERE:
            continue
        for inner, suffix in _models_in(field.annotation, MEMBERS.get(name, "NAME")):
            place = f"{path}.{name}{suffix}".lstrip(".")
            if inner not in found:
                found[inner] = place
                found |= {deeper: at for deeper, at in _nested(inner, place).items() if deeper not in found}
    return found


def _models_in(annotation: Any, member: str) -> Iterator[tuple[type[BaseModel], str]]:
    """Models that a type mentions, with what its path gets: "" itself, "[]" in a list, ".NAME" in a mapping."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, ""
        return
    origin = get_origin(annotation)
    suffix = "[]" if origin is tuple else f".{member}" if origin is dict else ""
    for argument in get_args(annotation):
        for model, rest in _models_in(argument, member):
            yield model, suffix + rest


def _chapter(title: str, model: type[BaseModel], known: Titles) -> str:
    schema = model.model_json_schema(mode="validation")
    own_first = sorted(model.model_fields.items(), key=lambda item: item[0] not in model.__annotations__)
    rows = [
        f"| `{name}` | {_kind(name, field, schema, known)} | {_default(title, name, field)} | {field.description} |"
        for name, field in own_first
        if field.description
    ]
    about = (model.__doc__ or "").partition("\n")[0]
    return "\n".join([f"### {title}", "", about, "", "| key | type | default | meaning |", "|---|---|---|---|", *rows])


def _kind(name: str, field: FieldInfo, schema: Mapping[str, Any], known: Titles) -> str:
    for model, suffix in _models_in(field.annotation, MEMBERS.get(name, "NAME")):
        if model in known:
            link = f"[section](#{anchor(known[model])})"
            return {"": link, "[]": f"list of {link}s"}.get(suffix, f"{link}s by name")
    if name == "plugins":
        return "[list of plugins](plugins.md)"
    return _scalar(schema["properties"][name], schema.get("$defs", {}))


def _scalar(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """A JSON Schema of something without keys of ours, in words."""
    if "$ref" in schema:
        return _scalar(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return " or ".join(f"`{choice}`" for choice in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(_scalar(choice, definitions) for choice in schema["anyOf"] if choice.get("type") != "null")
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    kind: str = next(kind for kind in kinds if kind != "null")
    if kind == "array":
        return f"list of {_scalar(schema['items'], definitions)}"
    if kind == "object":
        inner = schema.get("additionalProperties")
        if inner is True:
            return "object"
        return f"{_scalar(inner, definitions)} by name" if inner else "empty section"
    return {"string": "text", "boolean": "`true` or `false`"}.get(kind, kind) + _bounds(schema)


def _bounds(schema: Mapping[str, Any]) -> str:
    most = schema.get("maximum", 10**9)
    upper = f", at most {most:,.0f}" if most < 10**9 else ""
    if "exclusiveMinimum" in schema:
        return f" above {schema['exclusiveMinimum']:g}{upper}"
    if "minimum" in schema:
        return f" from {schema['minimum']:,.0f} to {most:,.0f}" if upper else f" ≥ {schema['minimum']:g}"
    return upper


def _default(title: str, name: str, field: FieldInfo) -> str:
    if field.is_required():
        return "**required** without `preset`" if (title, name) in GIVEN_BY_PRESETS else "**required**"
    value = field.default
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, str | int | float) and value != "":
        return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"
    return ""


def anchor(title: str) -> str:
    """The id that GitHub gives a heading: lower case, signs dropped, spaces to dashes."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _adapters() -> list[Adapter]:
    found: list[Adapter] = []
    register_adapters(found.append)
    return found


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    ADMIN_PAGE.write_text(admin_page(ADMIN_PAGE.read_text(encoding="utf-8")), encoding="utf-8")
