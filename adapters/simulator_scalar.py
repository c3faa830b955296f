"""Numbers and texts within the bounds of a JSON Schema, for the simulator."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from adapters.simulator_merge import kinds, number, same
from adapters.simulator_pattern import MAX_TEXT, Unmakeable, text_matching

_FORMATS = {
    "date": "2026-01-02",
    "date-time": "2026-01-02T03:04:05Z",
    "time": "03:04:05Z",
    "duration": "PT1H",
    "email": "user@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
_KIND_NAMES = {bool: "boolean", str: "string", type(None): "null", list: "array", dict: "object"}
_TEXT = "simulated"
_MAX_TRIES = 64


def count(keywords: Mapping[str, Any], name: str, default: int) -> int:
    """A count of the schema (minItems, maxLength), else the default."""
    value = number(keywords.get(name))
    return default if value is None else int(value)


def text_for(keywords: Mapping[str, Any]) -> str:
    """A text of the pattern, the format and the length asked for.

    Raises: Unmakeable: none is known.
    """
    least, most = count(keywords, "minLength", 0), count(keywords, "maxLength", MAX_TEXT)
    if least > min(most, MAX_TEXT):
        raise Unmakeable("minLength above maxLength, or too long to make")
    pattern = keywords.get("pattern")
    if isinstance(pattern, str):
        return text_matching(pattern, least, most)
    of_format = _FORMATS.get(str(keywords.get("format")))
    if of_format is None:
        return (_TEXT * (least // len(_TEXT) + 1))[: max(least, min(most, len(_TEXT)))]
    if not least <= len(of_format) <= most:
        raise Unmakeable(f"format {keywords['format']} of another length")
    return of_format


def number_for(keywords: Mapping[str, Any], *, integer: bool) -> int | float:
    """A number within the bounds, a multiple of what is asked for.

    Raises: Unmakeable: none is found nearby.
    """
    step = number(keywords.get("multipleOf"))
    if step is not None and step <= 0:
        raise Unmakeable("multipleOf that isn't positive")
    for candidate in _multiples(keywords, Fraction(step)) if step is not None else _plain(keywords):
        value: int | float = int(candidate) if candidate.denominator == 1 else float(candidate)
        if integer and not isinstance(value, int):
            continue
        if number(value) is not None and in_bounds(value, keywords):
            return value
    raise Unmakeable("no number within its bounds")


def _plain(keywords: Mapping[str, Any]) -> list[Fraction]:
    low, high = _ends(keywords)
    candidates = [Fraction(1)]
    if low is not None:
        candidates += [low, Fraction(math.ceil(low)), Fraction(math.floor(low) + 1)]
    if high is not None:
        candidates += [high, Fraction(math.floor(high)), Fraction(math.ceil(high) - 1)]
    if low is not None and high is not None:
        candidates.append((low + high) / 2)
    return candidates


def _multiples(keywords: Mapping[str, Any], step: Fraction) -> list[Fraction]:
    low, high = _ends(keywords)
    start, direction = 1, 1
    if low is not None and low > step:
        start = math.ceil(low / step)
    elif high is not None and high < step:
        start, direction = math.floor(high / step), -1
    return [step * (start + direction * tried) for tried in range(_MAX_TRIES)]


def _ends(keywords: Mapping[str, Any]) -> tuple[Fraction | None, Fraction | None]:
    lows = [number(keywords.get(name)) for name in ("minimum", "exclusiveMinimum")]
    highs = [number(keywords.get(name)) for name in ("maximum", "exclusiveMaximum")]
    low = max((Fraction(value) for value in lows if value is not None), default=None)
    high = min((Fraction(value) for value in highs if value is not None), default=None)
    return low, high


def in_bounds(value: int | float, keywords: Mapping[str, Any]) -> bool:
    """Does the number keep the schema's bounds, judged as validators do?"""
    bounds = {name: number(keywords.get(name)) for name in _BOUNDS}
    step = number(keywords.get("multipleOf"))
    if step is not None and step > 0 and not _is_multiple(value, step):
        return False
    return all(bound is None or _BOUNDS[name](value, bound) for name, bound in bounds.items())


def _is_multiple(value: int | float, step: int | float) -> bool:
    if isinstance(value, int) and isinstance(step, int):
        return value % step == 0
    try:
        quotient = value / step
    except OverflowError:
        return False
    return math.isfinite(quotient) and quotient == int(quotient)


_BOUNDS = {
    "minimum": lambda value, bound: value >= bound,
    "maximum": lambda value, bound: value <= bound,
    "exclusiveMinimum": lambda value, bound: value > bound,
    "exclusiveMaximum": lambda value, bound: value < bound,
}


_LOOK_INSIDE = frozenset(
    {"items", "prefixItems", "minItems", "maxItems", "uniqueItems", "properties", "required", "additionalProperties"}
    | {"minProperties", "maxProperties"}
)


def fits(value: Any, keywords: Mapping[str, Any]) -> bool:
    """Would this value of `const` or `enum` do? Judges const, type, bounds and lengths; where keywords look into a list or an
    object, it is taken not to."""
    if "const" in keywords and not same(value, keywords["const"]):
        return False
    if "type" in keywords and not any(_is_kind(value, kind) for kind in kinds(keywords["type"])):
        return False
    if isinstance(value, str):
        return count(keywords, "minLength", 0) <= len(value) <= count(keywords, "maxLength", len(value))
    if isinstance(value, (list, dict)):
        return _LOOK_INSIDE.isdisjoint(keywords)
    scalar = number(value)
    return scalar is None or in_bounds(scalar, keywords)


def _is_kind(value: Any, kind: str) -> bool:
    scalar = number(value)
    if scalar is not None:
        return kind == "number" or (kind == "integer" and scalar == int(scalar))
    return _KIND_NAMES.get(type(value)) == kind
