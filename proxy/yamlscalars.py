"""What a plain YAML scalar means, where YAML 1.1 and 1.2 agree on it.

Editors and linters read YAML 1.2, most tools (PyYAML, libyaml) 1.1. `no`, `010`, `12:30:45` and `1_000` mean
one thing to the one and another to the other; such a scalar is refused instead of guessed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

Scalar = str | int | Decimal | bool | None

_LONGEST_NUMBER = 40
_MOST_EXPONENT = 30

_NULL = {"", "~", "null", "Null", "NULL"}
_TRUE = {"true", "True", "TRUE"}
_FALSE = {"false", "False", "FALSE"}
_TRUE_1_1 = _TRUE | {"yes", "Yes", "YES", "on", "On", "ON"}
_FALSE_1_1 = _FALSE | {"no", "No", "NO", "off", "Off", "OFF"}

_DECIMAL_1_2 = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_DECIMAL_1_1 = re.compile(r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+][0-9]+)?")
_BASE_60 = re.compile(r"[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?|[-+]?0(?::[0-5]?[0-9])+\.[0-9_]*")
_NUMBER = re.compile(r"[-+]?[.0-9][0-9a-fA-F_.:xXoO+-]*")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


class UnclearScalar(Exception):
    """The scalar has no one meaning. why: what is wrong. instead: what to write where no text is meant, at least one thing."""

    def __init__(self, text: str, why: str, instead: Sequence[str]) -> None:
        super().__init__(f'{why}: write {", ".join(instead)} or, for text, "{text}" in quotes')
        self.why = why


def read_plain(text: str) -> Scalar:
    """The value of a plain (unquoted) scalar. Fractions are Decimal from their exact text, dates stay text.

    Raises: UnclearScalar: YAML 1.1 and 1.2 differ, or the number is no finite one of a sane size.
    """
    if _NOT_FINITE.fullmatch(text):
        raise UnclearScalar(text, f"{text} is not a number one can count with", ["a finite number"])
    if len(text) > _LONGEST_NUMBER:
        if _NUMBER.fullmatch(text) and not isinstance(_shape_1_2(text[:_LONGEST_NUMBER]), str):
            raise UnclearScalar("…", f"a number of {len(text)} characters is too long", ["a shorter one"])
        return text
    older, newer = _read_1_1(text), _read_1_2(text)
    if any(map(_is_out_of_range, (older, newer))):
        raise UnclearScalar(text, f"{text} is out of range", ["a smaller number"])
    if (type(older), older) != (type(newer), newer):
        instead = dict.fromkeys(_spell(value) for value in (older, newer) if not isinstance(value, str))
        why = f"{text} is read as {_name(older)} by YAML 1.1 and as {_name(newer)} by YAML 1.2"
        raise UnclearScalar(text, why, list(instead))
    if _LEADING_ZERO.fullmatch(text):
        raise UnclearScalar(text, f"{text} would lose its leading zeros", [_spell(newer)])
    return newer


def _read_1_2(text: str) -> Scalar:
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    return _shape_1_2(text)


def _shape_1_2(text: str) -> Scalar:
    if re.fullmatch(r"[-+]?[0-9]+", text):
        return int(text)
    if re.fullmatch(r"0o[0-7]+|0x[0-9a-fA-F]+", text):
        return int(text, 0)
    return Decimal(text) if _DECIMAL_1_2.fullmatch(text) else text


def _read_1_1(text: str) -> Scalar:
    if text in _NULL:
        return None
    if text in _TRUE_1_1 or text in _FALSE_1_1:
        return text in _TRUE_1_1
    bare = text.replace("_", "")
    if re.fullmatch(r"[-+]?(?:0b[01_]*[01][01_]*|0x[0-9a-fA-F_]*[0-9a-fA-F][0-9a-fA-F_]*)", text):
        return int(bare, 0)
    if re.fullmatch(r"[-+]?0[0-7_]+", text):
        return int(bare, 8)
    if re.fullmatch(r"[-+]?(?:0|[1-9][0-9_]*)", text):
        return int(bare)
    if _DECIMAL_1_1.fullmatch(text):
        return Decimal(bare)
    return _base_60(bare) if _BASE_60.fullmatch(text) else text


def _base_60(text: str) -> int | Decimal:
    """YAML 1.1 takes 12:30:45 for 12 × 3600 + 30 × 60 + 45."""
    total = Decimal(0)
    for part in text.lstrip("+-").split(":"):
        total = total * 60 + Decimal(part)
    signed = -total if text.startswith("-") else total
    return signed if "." in text else int(signed)


def _name(value: Scalar) -> str:
    return "text" if isinstance(value, str) else _spell(value)


def _spell(value: Scalar) -> str:
    if isinstance(value, Decimal):
        return f"{value:f}"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _is_out_of_range(value: Scalar) -> bool:
    return isinstance(value, Decimal) and bool(value) and abs(value.adjusted()) > _MOST_EXPONENT
