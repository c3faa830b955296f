"""A text that matches a regular expression, for the simulator.

Reads the part of the syntax that schemas use: literals, classes, escapes, groups, alternatives (the first is
taken), quantifiers, and anchors at the ends. A text is right by construction; the expression itself, which a
client sent, is never run. Look-around, back references, word borders and other rarer syntax are refused.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass

MAX_TEXT = 20_000
"""Characters of the longest text that is made."""

_CLASSES = {"d": "0", "w": "a", "s": " ", "D": "a", "W": "-", "S": "a"}
_CONTROLS = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v"}
_TRIED = string.ascii_lowercase + string.digits + string.ascii_uppercase + "-_. /:#@+,;!" + "中é"
_SET = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]")
_QUANTIFIER = re.compile(r"\*|\+|\?|\{(\d{1,6})(,?)(\d{0,6})\}")
_SET_WARNINGS = ("[[", "^[", "--", "&&", "~~", "||")
"""Inside a class the engine warns of these: they may mean set operations one day."""
_MAX_DEPTH = 20


class Unmakeable(Exception):
    """No value is known that satisfies the schema; the text says which part of it is the obstacle."""


@dataclass(slots=True)
class _Piece:
    """`unit` repeated at least `least` and at most `most` times."""

    unit: str
    least: int = 1
    most: int = 1


class _Reader:
    """Recursive descent over one expression."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0
        self.depth = 0
        self.open_end = True

    def alternatives(self) -> list[_Piece]:
        """The first of `a|b|c`; the others are read and left."""
        first = self.sequence()
        open_end = self.open_end
        while self._take("|"):
            self.sequence()
        self.open_end = open_end
        return first

    def sequence(self) -> list[_Piece]:
        pieces: list[_Piece] = []
        while self.at < len(self.pattern) and self.pattern[self.at] not in "|)":
            if self._take("^"):
                if self.depth or pieces:
                    raise self._refused("^ elsewhere than at the start")
                continue
            if self._take("$"):
                if self.depth or self.pattern[self.at : self.at + 1] not in ("", "|"):
                    raise self._refused("$ elsewhere than at the end")
                self.open_end = False
                continue
            pieces.append(self._quantified(self._atom()))
        return pieces

    def _atom(self) -> str:
        found = _SET.match(self.pattern, self.at)
        if found:
            self.at = found.end()
            return self._member(found.group())
        char = self.pattern[self.at]
        self.at += 1
        if char == "(":
            return self._group()
        if char == "\\":
            return self._escape()
        if char == ".":
            return "a"
        if char in "*+?{[":
            raise self._refused(f"{char!r} at {self.at - 1}")
        return char

    def _group(self) -> str:
        if self._take("?") and not self._take(":"):
            raise self._refused("groups other than (…) and (?:…)")
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise self._refused("deep groups")
        inner = _grown(self.alternatives(), 0)
        if not self._take(")"):
            raise self._refused("an unclosed group")
        self.depth -= 1
        return inner

    def _escape(self) -> str:
        char = self.pattern[self.at : self.at + 1]
        self.at += 1
        if char in _CLASSES:
            return _CLASSES[char]
        if char in _CONTROLS:
            return _CONTROLS[char]
        if not char or char.isalnum():
            raise self._refused(f"\\{char}")
        return char

    def _member(self, characters: str) -> str:
        """One character of a class. Its matching is linear, so the engine may judge it."""
        if any(pair in characters for pair in _SET_WARNINGS):
            raise self._refused(characters)
        try:
            compiled = re.compile(characters)
        except (re.error, OverflowError):
            raise self._refused(characters) from None
        for char in _TRIED + characters:
            if compiled.fullmatch(char):
                return char
        raise self._refused(characters)

    def _quantified(self, unit: str) -> _Piece:
        found = _QUANTIFIER.match(self.pattern, self.at)
        if not found:
            return _Piece(unit)
        self.at = found.end()
        self._take("?")
        least, comma, most = found.groups()
        if least is None:
            sign = found.group()
            return _Piece(unit, 1 if sign == "+" else 0, 1 if sign == "?" else MAX_TEXT)
        if not comma:
            return _Piece(unit, int(least), int(least))
        return _Piece(unit, int(least), int(most) if most else MAX_TEXT)

    def _take(self, char: str) -> bool:
        if self.pattern.startswith(char, self.at):
            self.at += len(char)
            return True
        return False

    def _refused(self, what: str) -> Unmakeable:
        return Unmakeable(f"pattern with {what}")


def text_matching(pattern: str, min_length: int, max_length: int) -> str:
    """A text that the pattern finds, within these lengths.

    Raises: Unmakeable: the expression is beyond this reader, or has no such text.
    """
    reader = _Reader(pattern)
    pieces = reader.alternatives()
    if reader.at != len(pattern):
        raise Unmakeable("pattern with an unopened group")
    if reader.open_end:
        pieces.append(_Piece("a", 0, MAX_TEXT))
    text = _grown(pieces, min_length)
    if not min_length <= len(text) <= max_length:
        raise Unmakeable("pattern without a text of the length asked for")
    return text


def _grown(pieces: list[_Piece], min_length: int) -> str:
    """The shortest text of the pieces, or a longer one where they allow it."""
    length = sum(len(piece.unit) * piece.least for piece in pieces)
    if max(length, min_length) > MAX_TEXT:
        raise Unmakeable("pattern for a very long text")
    texts = []
    for piece in pieces:
        times = piece.least
        if piece.unit and length < min_length:
            times = min(piece.most, piece.least + -((length - min_length) // len(piece.unit)))
            length += len(piece.unit) * (times - piece.least)
        texts.append(piece.unit * times)
    return "".join(texts)
