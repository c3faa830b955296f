"""A JSON object's top-level members and where they stand, so that one changes and the others' bytes stay."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

import orjson

from proxy import UpstreamProtocolError

_OPENING = re.compile(r"[ \t\n\r]*\{([ \t\n\r]*\}[ \t\n\r]*\Z)?")
_PLAIN_NAME = re.compile(r'[ \t\n\r]*"([^"\\\x00-\x1f]*)"[ \t\n\r]*:[ \t\n\r]*')
_SPACE = re.compile(r"[ \t\n\r]*")
_COLON = re.compile(r"[ \t\n\r]*:[ \t\n\r]*")
_SEPARATOR = re.compile(r"[ \t\n\r]*(?:(,)|\}[ \t\n\r]*\Z)")


class Place(NamedTuple):
    """Where a member stands: text[start:end] is the member, text[value_start:end] its value."""

    name: str
    start: int
    """Just after the brace or comma before it."""
    value_start: int
    end: int


@dataclass(frozen=True, slots=True)
class Members:
    """An object's text, the values of its members, and their places.

    Of a name that comes twice, the last value counts, and an edit changes both.
    """

    text: str
    values: Mapping[str, Any]
    places: tuple[Place, ...]

    def edited(self, changes: Mapping[str, str | None]) -> str:
        """The text with the values of these members replaced by other JSON text; None takes a member out."""
        pieces: list[str] = []
        copied = 0
        keeps_one_before = False
        for index, (name, start, value_start, end) in enumerate(self.places):
            if name not in changes:
                keeps_one_before = True
                continue
            value = changes[name]
            if value is not None:
                keeps_one_before = True
                pieces += (self.text[copied:value_start], value)
                copied = end
            elif keeps_one_before:
                pieces.append(self.text[copied : self.places[index - 1].end])
                copied = end
            else:
                pieces.append(self.text[copied:start])
                copied = self.places[index + 1].start if index + 1 < len(self.places) else end
        return "".join([*pieces, self.text[copied:]])


def read_members(text: str) -> Members:
    """Read the text of one JSON object.

    Raises: UpstreamProtocolError: it is something else, or not JSON (NaN and Infinity are not).
    """
    try:
        return _walk(text)
    except (ValueError, RecursionError) as error:
        raise UpstreamProtocolError("The provider sent something that is not a JSON object.", detail=text[:500]) from error


def read_object(text: str | bytes) -> dict[str, Any]:
    """Read one JSON object when places don't matter.

    Raises: UpstreamProtocolError: it is something else, or not JSON.
    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:  # also for lone surrogates and broken UTF-8, which we can live with
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig", "replace")
        return dict(read_members(text).values)
    if not isinstance(value, dict):
        raise UpstreamProtocolError("The provider sent something that is not a JSON object.", detail=repr(text[:500]))
    return value


def object_of(value: Any) -> dict[str, Any]:
    """The value if it is a JSON object; else an empty one."""
    return value if isinstance(value, dict) else {}


def edited(text: str, changes: Mapping[str, str | None], old: Mapping[str, Any]) -> str:
    """The text of a JSON object with top-level members replaced by other JSON text or, with None, taken out.

    Args: old: the object's values, where the caller has read them. Raises: UpstreamProtocolError: it is no JSON object.
    """
    if len(changes) == 1:
        ((name, new),) = changes.items()
        place = new is not None and _place_of_text(text, name, old.get(name))
        if new is not None and place:
            return text[: place[0]] + new + text[place[1] :]
    return read_members(text).edited(changes)


def _place_of_text(text: str, name: str, value: Any) -> tuple[int, int] | None:
    """Where the text value of a top-level member stands, if that can be told without walking the object.

    Between quotes, a name can't stand anywhere but as a name or as a text value: in a longer text its quotes would be
    escaped. So if it occurs once, and no letter is escaped that might spell it another way, that is the member, provided
    that there is one.
    """
    quoted = f'"{name}"'
    at = text.find(quoted)
    if at < 0 or not isinstance(value, str) or "\\u00" in text or text.find(quoted, at + 1) >= 0:
        return None
    colon = _COLON.match(text, at + len(quoted))
    if colon is None or not text.startswith(f'"{value}"', colon.end()):
        return None
    return colon.end(), colon.end() + len(value) + 2


def _walk(text: str) -> Members:
    opening = _OPENING.match(text)
    if opening is None:
        raise ValueError("no object")
    values: dict[str, Any] = {}
    places: list[Place] = []
    if opening[1] is not None:
        return Members(text, values, ())
    start = opening.end()
    while True:
        plain = _PLAIN_NAME.match(text, start)
        if plain is not None:
            name, value_start = plain[1], plain.end()
        else:
            name, value_start = _escaped_name(text, start)
        value, end = _read_value(text, value_start)
        values[name] = value
        places.append(Place(name, start, value_start, end))
        if text.startswith(",", end):
            start = end + 1
            continue
        separator = _SEPARATOR.match(text, end)
        if separator is None:
            raise ValueError("neither a comma nor the object's end")
        if separator[1] is None:
            return Members(text, values, tuple(places))
        start = separator.end()


def _escaped_name(text: str, start: int) -> tuple[str, int]:
    space = _SPACE.match(text, start)
    name, end = _read_value(text, space.end() if space else start)
    colon = _COLON.match(text, end)
    if not isinstance(name, str) or colon is None:
        raise ValueError("no member")
    return name, colon.end()


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_read_value = json.JSONDecoder(parse_constant=_refuse).raw_decode
