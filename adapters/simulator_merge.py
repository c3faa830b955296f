"""Two JSON Schemas that must hold at once, as one: allOf, and what stands beside anyOf, oneOf and $ref."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from adapters.simulator_pattern import Unmakeable

_APPLICATORS = ("allOf", "anyOf", "oneOf", "$ref")


def merged(a: Any, b: Any) -> Any:
    """A schema that holds where both hold; False where they contradict each other at once.

    Raises: Unmakeable: one isn't a schema, or what both say can't be said in one.
    """
    for schema in (a, b):
        if not isinstance(schema, bool | Mapping):
            raise Unmakeable("schema that is neither an object nor a boolean")
    if a is False or b is False:
        return False
    if isinstance(a, bool):
        return b
    if isinstance(b, bool):
        return a
    both = {**b, **a}
    for key in a.keys() & b.keys() & _RULES.keys():
        both[key] = _RULES[key](a[key], b[key])
    for key in a.keys() & b.keys():
        if key in _APPLICATORS and a[key] != b[key]:
            later = b[key] if key == "allOf" else [{key: b[key]}]
            both["allOf"] = [*listed(both.get("allOf")), *listed(later)]
    _merge_properties(both, a, b)
    _merge_items(both, a, b)
    return both


def listed(value: Any) -> Sequence[Any]:
    """The list that it is, else an empty one."""
    return value if isinstance(value, list) else ()


def properties_of(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schemas of an object's named members."""
    named = schema.get("properties")
    return named if isinstance(named, Mapping) else {}


def items_of(schema: Mapping[str, Any]) -> tuple[Sequence[Any], Any]:
    """The schemas of an array's first items, and the one of the others; also as older drafts write it."""
    items = schema.get("items", True)
    if isinstance(items, list):
        return items, schema.get("additionalItems", True)
    return listed(schema.get("prefixItems")), items


def same(a: Any, b: Any) -> bool:
    """Equal as JSON: true isn't 1."""
    return bool(a == b) and isinstance(a, bool) == isinstance(b, bool)


def number(value: Any) -> int | float | None:
    """The finite number that it is, else None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def kinds(value: Any) -> list[str]:
    """What `type` says, as a list."""
    return [value] if isinstance(value, str) else [kind for kind in listed(value) if isinstance(kind, str)]


def _merge_properties(both: dict[str, Any], a: Mapping[str, Any], b: Mapping[str, Any]) -> None:
    names = [*properties_of(a), *(name for name in properties_of(b) if name not in properties_of(a))]
    rest_a, rest_b = a.get("additionalProperties", True), b.get("additionalProperties", True)
    if names:
        both["properties"] = {
            name: merged(properties_of(a).get(name, rest_a), properties_of(b).get(name, rest_b)) for name in names
        }
    if rest_a is not True or rest_b is not True:
        both["additionalProperties"] = merged(rest_a, rest_b)


def _merge_items(both: dict[str, Any], a: Mapping[str, Any], b: Mapping[str, Any]) -> None:
    (first_a, rest_a), (first_b, rest_b) = items_of(a), items_of(b)
    for key in ("items", "prefixItems", "additionalItems"):
        both.pop(key, None)
    if first_a or first_b:
        both["prefixItems"] = [
            merged(first_a[at] if at < len(first_a) else rest_a, first_b[at] if at < len(first_b) else rest_b)
            for at in range(max(len(first_a), len(first_b)))
        ]
    if rest_a is not True or rest_b is not True:
        both["items"] = merged(rest_a, rest_b)


def _common_kinds(a: Any, b: Any) -> list[str]:
    ours, theirs = kinds(a), kinds(b)
    common = [kind for kind in ours if kind in theirs or (kind == "integer" and "number" in theirs)]
    if "number" in ours and "integer" in theirs and "integer" not in common:
        common.append("integer")
    return common


def _higher(a: Any, b: Any) -> Any:
    return b if number(a) is None or (number(b) is not None and b > a) else a


def _lower(a: Any, b: Any) -> Any:
    return b if number(a) is None or (number(b) is not None and b < a) else a


def _both_multiples(a: Any, b: Any) -> Any:
    if isinstance(a, int) and isinstance(b, int):
        return math.lcm(a, b)
    return _one(a, b)


def _one(a: Any, b: Any) -> Any:
    if not same(a, b):
        raise Unmakeable(f"both {a!r:.40} and {b!r:.40} in one place")
    return a


_RULES: Mapping[str, Callable[[Any, Any], Any]] = {
    "type": _common_kinds,
    "const": _one,
    "enum": lambda a, b: [value for value in listed(a) if any(same(value, other) for other in listed(b))],
    "required": lambda a, b: [*listed(a), *(name for name in listed(b) if name not in listed(a))],
    "minimum": _higher,
    "exclusiveMinimum": _higher,
    "minLength": _higher,
    "minItems": _higher,
    "minProperties": _higher,
    "maximum": _lower,
    "exclusiveMaximum": _lower,
    "maxLength": _lower,
    "maxItems": _lower,
    "maxProperties": _lower,
    "multipleOf": _both_multiples,
    "uniqueItems": lambda a, b: a is True or b is True,
    "pattern": _one,
    "format": _one,
}
