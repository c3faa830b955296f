"""JSON as the gateway reads and writes it: strict in, lossless out."""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

import orjson

MAX_DEPTH = 64
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|([\[{])|([\]}])', re.DOTALL)
"""A string, even without its end, an opening or a closing bracket. Nothing is read twice: going back would cost a hundred
bytes for each character, and strings without an end the square of their length."""
_SPACE = " \t\n\r"


class JsonError(ValueError):
    """Text that is not the JSON we take; the message says why."""


def loads(raw: bytes) -> Any:
    """Read JSON from UTF-8. Raises: JsonError for NaN, duplicate keys, over 64 levels, another encoding, or bad syntax."""
    # No text nests deeper than it has brackets, and most bodies have few: only the others are walked.
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and _too_deep(raw):
        raise JsonError(f"nested deeper than {MAX_DEPTH} levels")
    try:
        text = raw.decode("utf-8")
        value, end = _DECODER.raw_decode(text, 0 if text.startswith("{") else len(text) - len(text.lstrip(_SPACE)))
        if end != len(text) and text[end:].strip(_SPACE):
            raise json.JSONDecodeError("Extra data", text, end)
        return value
    except UnicodeDecodeError:
        raise JsonError("not UTF-8") from None
    except json.JSONDecodeError as error:
        raise JsonError(f"{error.msg} at line {error.lineno}, column {error.colno}") from None
    except JsonError:
        raise
    except ValueError:  # Python reads integers of up to 4,300 digits
        raise JsonError("a number has too many digits") from None


def dumps(value: Any) -> bytes:
    """Write JSON as UTF-8. Lone surrogates, which UTF-8 can't carry, are escaped as they came."""
    try:
        return orjson.dumps(value)
    except TypeError:  # lone surrogates, integers over 64 bits
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def copied(value: Any) -> Any:
    """A copy of what `loads` read, whose members can be changed without changing its own."""
    if isinstance(value, dict):
        return {name: copied(member) for name, member in value.items()}
    if isinstance(value, list):
        return [copied(member) for member in value]
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise JsonError(f"the key {twice[:64]!r} is there twice in one object")
    return members


def _constant(name: str) -> NoReturn:
    raise JsonError(f"{name} is not JSON")


def _float(text: str) -> float:
    value = float(text)
    if value in (math.inf, -math.inf):
        raise JsonError(f"{text[:32]} is out of range")
    return value


def _too_deep(raw: bytes) -> bool:
    depth = 0
    # Token by token, so that other threads get their turn.
    for token in _TOKEN.finditer(raw):
        if token.lastindex == 1:
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif token.lastindex == 2:
            depth -= 1
    return False


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=_float)
