"""Reasoning that comes within the text, between <think> and </think>: cut out of a stream, wherever the tags are cut.

A tag opens where a line begins, so that an answer may speak of the tag. What could still become a tag is held until the next
piece tells. Line ends after a tag belong to it.
"""

from __future__ import annotations

OPEN, CLOSE = "<think>", "</think>"


class ThinkTags:
    """One text, piece by piece."""

    def __init__(self) -> None:
        self._inside = False
        self._held = ""
        self._line_begins = True
        self._after_tag = False

    def feed(self, piece: str) -> tuple[str, str]:
        """(reasoning, text) that is certain now."""
        rest = self._held + piece
        self._held = ""
        found: tuple[list[str], list[str]] = ([], [])
        while rest:
            if self._after_tag:
                rest = rest.lstrip("\r\n")
                self._after_tag = not rest
            at, whole = self._tag(rest)
            self._say(found, rest[:at])
            if not whole:
                self._held = rest[at:]
                break
            rest = rest[at + len(CLOSE if self._inside else OPEN) :]
            self._inside = not self._inside
            self._after_tag = self._line_begins = True
        return "".join(found[0]), "".join(found[1])

    def end(self) -> tuple[str, str]:
        """What was held: it became no tag."""
        held, self._held = self._held, ""
        return (held, "") if self._inside else ("", held)

    def _tag(self, text: str) -> tuple[int, bool]:
        """Where the next tag stands, and whether it is whole; the text's length if there is none."""
        tag = CLOSE if self._inside else OPEN
        at = text.find("<")
        while at >= 0:
            if self._inside or self._begins_line(text, at):
                if text.startswith(tag, at):
                    return at, True
                if tag.startswith(text[at:]):
                    return at, False
            at = text.find("<", at + 1)
        return len(text), False

    def _begins_line(self, text: str, at: int) -> bool:
        return text[at - 1] == "\n" if at else self._line_begins

    def _say(self, found: tuple[list[str], list[str]], text: str) -> None:
        if text:
            found[0 if self._inside else 1].append(text)
            self._line_begins = text[-1] == "\n"
