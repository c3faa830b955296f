"""What is wrong with gateway.yaml, in plain English: from pydantic's errors to Problems with a place.

A message says what was found, what was expected, and for an unknown key the nearest known one. It repeats neither what
came out of the environment nor what stands under a key that sounds secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from proxy.configtypes import did_you_mean
from proxy.environment import FromEnvironment
from proxy.errors import Problem
from proxy.yamltext import SPOILT, Document, Place, render_path

_SECRET = re.compile(r"key|token|secret|password|passwd|credential|url", re.IGNORECASE)

_EXPECTED = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "decimal_type": "a number",
    "decimal_parsing": "a number",
    "is_instance_of": "a number",
    "finite_number": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "string_unicode": "text that is valid Unicode",
    "string_too_short": "text of {min_length} or more characters",
    "string_too_long": "text of {max_length} or fewer characters",
    "string_pattern_mismatch": "text that matches {pattern}",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "too_short": "{min_length} or more entries",
    "too_long": "{max_length} or fewer entries",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "decimal_max_places": "at most {decimal_places} decimals",
    "date_type": "a date such as 2026-11-20",
    "datetime_type": "a date such as 2027-01-01",
}


def problems_of(
    error: ValidationError,
    model: type[BaseModel],
    data: Any,
    document: Document,
    at: Place = (),
    also: Iterable[str] = (),
) -> Iterator[Problem]:
    """A Problem for each of pydantic's errors.

    Args: model: what was validated. data: the whole file's data. at: where in it the validated part stands.
        also: keys that are known there besides the model's own.
    """
    for detail in error.errors(include_url=False):
        if detail["input"] is SPOILT or _counts_only_good_entries(detail):
            continue
        steps = tuple(step for step in detail["loc"] if step != "[key]")
        path = (*at, *steps)
        if detail["type"] == "extra_forbidden":
            known = sorted({*_keys_at(model, steps[:-1]), *(also if len(steps) == 1 else ())})
            yield Problem(render_path(path), unknown_key(str(steps[-1]), known), *document.key_place(path))
        elif detail["type"] == "missing":
            message = f"required, but missing{_purpose(model, steps)}"
            yield Problem(render_path(path), message, *document.key_place(path[:-1]))
        else:
            path = path[: _depth(data, path)]
            is_key = detail["loc"][-1:] == ("[key]",)
            place = document.key_place(path) if is_key else document.place(path)
            yield Problem(render_path(path), _message(detail, path), *place)


def unknown_key(key: str, known: Iterable[str]) -> str:
    nearest = did_you_mean(key, known)
    return f'unknown key "{key}"{nearest}' if nearest else f'unknown key "{key}", expected one of {", ".join(known)}'


def found(value: Any, path: Place = ()) -> str:
    """A value as a message may name it."""
    if isinstance(value, FromEnvironment):
        names = " and ".join(f"${{{name}}}" for name in value.names)
        return f"the value of {names}{'' if value else ', which is empty'}"
    if value is None:
        return "nothing"
    if isinstance(value, dict | list | tuple):
        kind = "mapping" if isinstance(value, dict) else "list"
        return f"a {kind}" if value else f"an empty {kind}"
    secret = any(isinstance(step, str) and _SECRET.search(step) for step in path[-1:])
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float | Decimal):
        return "a number" if secret else _plain(value)
    if isinstance(value, str):
        return "text" if secret or len(value) > 80 else f'"{value}"'
    return f"a {type(value).__name__}"


def inexact(raw: Any, made: Any, path: Place) -> Iterator[tuple[Place, str]]:
    """Where a model of somebody else's took a scalar for one of another kind: `true` for 1, "8" for 8.

    Args: raw: the file's data. made: what the model made of it. Yields: (path, message).
    """
    if isinstance(made, BaseModel) and isinstance(raw, Mapping):
        for name, field in type(made).model_fields.items():
            for key in {name, field.alias} & set(raw):
                yield from inexact(raw[key], getattr(made, name), (*path, str(key)))
    elif isinstance(made, Mapping) and isinstance(raw, Mapping):
        for key in raw.keys() & made.keys():
            yield from inexact(raw[key], made[key], (*path, key))
    elif isinstance(made, list | tuple) and isinstance(raw, list):
        for index, (before, after) in enumerate(zip(raw, made, strict=False)):
            yield from inexact(before, after, (*path, index))
    elif isinstance(made, bool):
        if not isinstance(raw, bool | FromEnvironment):
            yield path, f"found {found(raw, path)}, expected true or false"
    elif isinstance(made, int | float | Decimal):
        if isinstance(raw, bool):
            yield path, f"found {found(raw, path)}, expected a number"
        elif type(raw) is str:
            yield path, f"found {found(raw, path)}, expected a number: remove the quotes"


def _plain(value: Any) -> str:
    if isinstance(value, Decimal):
        return f"{value:f}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _message(detail: ErrorDetails, path: Place) -> str:
    kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "config":
        text = str(context["message"])
        return text.replace(f'"{value}"', found(value)) if isinstance(value, FromEnvironment) else text
    if kind in {"literal_error", "enum"}:
        choices = re.findall(r"'([^']*)'", str(context["expected"]))
        nearest = did_you_mean(value, choices) if isinstance(value, str) else ""
        *others, last = choices
        expected = f"{', '.join(others)} or {last}" if others else last
        return f"found {found(value, path)}, expected {expected}{nearest}"
    if kind in {"value_error", "assertion_error"}:
        return str(context["error"])
    if kind in _EXPECTED:
        expected = _EXPECTED[kind].format_map({key: _plain(bound) for key, bound in context.items()})
    else:
        said = detail["msg"]
        expected = said.removeprefix("Input should be ") if said.startswith("Input should be ") else ""
        if not expected:
            return f"found {found(value, path)}: {said[:1].lower()}{said[1:]}"
    return f"found {found(value, path)}, expected {expected}{_remedy(kind, value, path)}"


def _counts_only_good_entries(detail: ErrorDetails) -> bool:
    """A list is long enough, and pydantic calls it short because of entries that are wrong and told of themselves."""
    value, context = detail["input"], detail.get("ctx", {})
    return detail["type"] == "too_short" and isinstance(value, list) and len(value) >= context["min_length"]


def _remedy(kind: str, value: Any, path: Place) -> str:
    if kind == "string_type" and isinstance(value, bool | int | Decimal):
        shown = found(value, path)
        return ": put it in quotes" if shown == "a number" else f': write "{shown}" in quotes'
    is_text = type(value) is str and _EXPECTED.get(kind) in {"a number", "a whole number", "true or false"}
    if is_text and re.fullmatch(r"[-+]?[0-9.]+|true|false", value):
        return ": remove the quotes"
    return ""


def _depth(data: Any, path: Place) -> int:
    """How many steps of the path exist in the data; pydantic adds some of its own for unions."""
    for depth, step in enumerate(path):
        inside = isinstance(data, dict) and step in data
        if not inside and not (isinstance(data, list) and isinstance(step, int) and step < len(data)):
            return depth
        data = data[step]
    return len(path)


def _keys_at(model: type[BaseModel], steps: Place) -> list[str]:
    return [key for key, _ in _fields_at(model, steps)]


def _purpose(model: type[BaseModel], steps: Place) -> str:
    for key, field in _fields_at(model, steps[:-1]):
        if key == steps[-1] and field.description:
            return f": {field.description}"
    return ""


def _fields_at(model: type[BaseModel], steps: Place) -> Iterator[tuple[str, FieldInfo]]:
    """(key, field) of the models that may stand at the end of `steps`."""
    annotations: list[Any] = [model]
    for step in steps:
        annotations = [inner for annotation in annotations for inner in _inside(annotation, step)]
    for annotation in annotations:
        yield from _fields_of(annotation)


def _fields_of(annotation: Any) -> Iterator[tuple[str, FieldInfo]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for name, field in annotation.model_fields.items():
            yield field.alias or name, field
    elif get_origin(annotation) in {Annotated, Union, UnionType}:
        for choice in get_args(annotation):
            yield from _fields_of(choice)


def _inside(annotation: Any, step: str | int) -> Iterator[Any]:
    """The types that a value of this type may have at a key or index."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in {Annotated, Union, UnionType}:
        for choice in inner:
            yield from _inside(choice, step)
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        yield inner[1]
    elif origin is not None:
        yield from inner
    else:
        yield from (field.annotation for key, field in _fields_of(annotation) if key == step)
