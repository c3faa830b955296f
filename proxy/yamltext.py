"""YAML text → plain data that knows where each value and key stands.

A subset of YAML, on purpose: one document of mappings with text keys, lists and scalars. Anchors, aliases,
merge keys and tags are refused, because a reader of the file should see what it says; so are scalars of two
meanings (yamlscalars.py). Every problem is collected; only a syntax error ends the reading.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from proxy.errors import ConfigError, Problem
from proxy.yamlscalars import UnclearScalar, read_plain

Place = tuple[str | int, ...]
"""Where in the data: ("models", "doubao-seed", "routes", 0, "provider")."""

LARGEST_FILE_CHARACTERS = 1_048_576
DEEPEST_LEVEL = 50


class Spoilt:
    """Stands in the data for a value that could not be read; its problem is told already."""

    def __repr__(self) -> str:
        return "SPOILT"


SPOILT = Spoilt()

_REFERENCE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*(?::-[^}\n]*)?\}")


@dataclass(frozen=True, slots=True)
class Document:
    """A file that was read."""

    data: Any
    """dict, list, str, int, Decimal, bool or None; SPOILT where a problem left nothing."""
    problems: tuple[Problem, ...]
    """What is wrong with the YAML itself."""
    values: Mapping[Place, tuple[int, int]]
    keys: Mapping[Place, tuple[int, int]]

    def place(self, path: Place) -> tuple[int, int]:
        """(line, column), from 1, of the value at `path`, or of the nearest thing around it that exists."""
        return _nearest(self.values, path)

    def key_place(self, path: Place) -> tuple[int, int]:
        """(line, column), from 1, of the key at the end of `path`, or as `place`."""
        return self.keys.get(path) or _nearest(self.values, path)


def _nearest(marks: Mapping[Place, tuple[int, int]], path: Place) -> tuple[int, int]:
    for end in range(len(path), -1, -1):
        if path[:end] in marks:
            return marks[path[:end]]
    return (1, 1)


def render_path(path: Sequence[str | int]) -> str:
    """("models", "gpt-4.1", "routes", 0) → `models["gpt-4.1"].routes[0]`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif re.fullmatch(r"[\w-]+", step):
            text += f".{step}" if text else step
        else:
            text += f'["{step}"]'
    return text


def read(text: str, file: str) -> Document:
    """Read one YAML document.

    Raises: ConfigError: the text is no YAML, or nested or long beyond reason; with the problems before that.
    """
    reader = _Reader(text)
    try:
        if len(text) > LARGEST_FILE_CHARACTERS:
            raise _Unreadable(f"the file is larger than {LARGEST_FILE_CHARACTERS} characters")
        data = reader.document()
    except _Unreadable as error:
        problem = Problem("", error.message, error.line, error.column)
    except yaml.reader.ReaderError as error:
        line, column = _line_and_column(text, int(error.position))
        character = f"U+{ord(text[int(error.position)]):04X}"
        problem = Problem("", f"the character {character} is not allowed in YAML: remove it", line, column)
    except yaml.MarkedYAMLError as error:
        problem = _syntax_problem(error, text)
    else:
        return Document(data, tuple(reader.problems), reader.values, reader.keys)
    raise ConfigError(file, [*reader.problems, problem])


class _Unreadable(Exception):
    """Reading ends here."""

    def __init__(self, message: str, line: int = 1, column: int = 1) -> None:
        super().__init__(message)
        self.message, self.line, self.column = message, line, column


class _Reader:
    """Builds the data from PyYAML's events. One per text."""

    def __init__(self, text: str) -> None:
        self.problems: list[Problem] = []
        self.values: dict[Place, tuple[int, int]] = {}
        self.keys: dict[Place, tuple[int, int]] = {}
        self._text = text
        self._noting = True

    def document(self) -> Any:
        # In {a: ${NAME:-x}} YAML would take the inner braces for its own. While it reads, each such character
        # within a reference is another one that the text does not hold; one for one, so that columns hold.
        spare = (chr(point) for point in range(0xE000, 0xF900) if chr(point) not in self._text)
        masked = dict(zip("{}[],", spare, strict=False))
        hide = str.maketrans(masked)
        self._show = str.maketrans({stand_in: real for real, stand_in in masked.items()})
        text = _REFERENCE.sub(lambda found: found[0].translate(hide), self._text)
        self._events: Iterator[Any] = iter(yaml.parse(text, Loader=yaml.SafeLoader))
        data = None
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._complain((), "a second document begins here: remove the line with ---", event)
                    break
            elif not isinstance(event, yaml.StreamStartEvent | yaml.StreamEndEvent | yaml.DocumentEndEvent):
                data = self._value(event, ())
        return data

    def _value(self, event: Any, path: Place) -> Any:
        self._note(self.values, path, event)
        if len(path) > DEEPEST_LEVEL:
            raise _Unreadable(f"nested deeper than {DEEPEST_LEVEL} levels", *_mark(event))
        self._refuse_extras(event, path)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(path)
        return self._scalar(event, path) if isinstance(event, yaml.ScalarEvent) else SPOILT

    def _mapping(self, path: Place) -> dict[str, Any]:
        found: dict[str, Any] = {}
        lines: dict[str, int] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event, path)
            if key is None:
                self._skip(next(self._events), path)
            elif key in found:
                twice = f'the key "{key}" is there twice, first in line {lines[key]}: remove one'
                self._complain((*path, key), twice, event)
                self._skip(next(self._events), (*path, key))
            else:
                lines[key] = _mark(event)[0]
                self._note(self.keys, (*path, key), event)
                found[key] = self._value(next(self._events), (*path, key))
        return found

    def _key(self, event: Any, path: Place) -> str | None:
        """The key's text; None after a complaint, if nothing can stand under it."""
        if not isinstance(event, yaml.ScalarEvent):
            self._skip(event, path)
            self._complain(path, "this key is not text: write plain text before the colon", event)
            return None
        text: str = event.value.translate(self._show)
        inner = (*path, text)
        if text == "<<" and event.style is None:
            self._complain(inner, "merge keys are not read here: write the members out", event)
            return None
        self._refuse_extras(event, inner)
        if event.style is None:
            try:
                why = "" if isinstance(read_plain(text), str) else f"the key {text or 'here'} is not text"
            except UnclearScalar as unclear:
                why = f"the key {unclear.why}"
            if why:
                self._complain(inner, f'{why}: write "{text}" in quotes', event)
        return text

    def _list(self, path: Place) -> list[Any]:
        found: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            found.append(self._value(event, (*path, len(found))))
        return found

    def _scalar(self, event: yaml.ScalarEvent, path: Place) -> Any:
        text: str = event.value.translate(self._show)
        if event.style is not None or event.tag is not None:
            return text
        try:
            return read_plain(text)
        except UnclearScalar as unclear:
            self._complain(path, str(unclear), event)
            return SPOILT

    def _skip(self, event: Any, path: Place) -> None:
        """Read over a value that has no place in the data; its own problems still count."""
        noting, self._noting = self._noting, False
        self._value(event, path)
        self._noting = noting

    def _note(self, marks: dict[Place, tuple[int, int]], path: Place, event: Any) -> None:
        if self._noting:
            marks[path] = _mark(event)

    def _refuse_extras(self, event: Any, path: Place) -> None:
        if isinstance(event, yaml.AliasEvent):
            self._complain(path, f"aliases are not read here: write the value of *{event.anchor} out", event)
            return
        if event.anchor is not None:
            self._complain(path, f"anchors are not read here: remove &{event.anchor}", event)
        if event.tag is not None:
            tag = str(event.tag).replace("tag:yaml.org,2002:", "!!")
            self._complain(path, f"tags are not read here: remove {tag}", event)

    def _complain(self, path: Place, message: str, event: Any) -> None:
        self.problems.append(Problem(render_path(path), message, *_mark(event)))


def _mark(event: Any) -> tuple[int, int]:
    return event.start_mark.line + 1, event.start_mark.column + 1


def _line_and_column(text: str, position: int) -> tuple[int, int]:
    before = text[:position]
    return before.count("\n") + 1, position - (before.rfind("\n") + 1) + 1


_SYNTAX: tuple[tuple[str, str], ...] = (
    (r"found character '\\t' that", "a tab can't indent YAML: use spaces"),
    (r"found character '(.)' that", "a value can't begin with {0}: put it in quotes"),
    (r"expected alphabetic or numeric", "a value that begins with * or & must stand in quotes"),
    (r"found unexpected end of stream", "the quote that opens here is never closed"),
    (r"could not find expected ':'", 'expected "key: value": a colon, or the space after it, is missing'),
    (r"mapping values are not", 'unexpected ": " here: put the value in quotes, or mend the indentation'),
    (r"mapping keys are not", 'unexpected "? " here: put the value in quotes'),
    (r"sequence entries are not", 'unexpected "- " here: begin the list in a line of its own'),
    (r"expected ',' or '(.)'", "expected a comma or {0}, which closes what opens in line {line}"),
    (r"unknown escape character '(.)'", "\\{0} is no escape: write \\\\{0}, or use single quotes"),
    (r"expected chomping", "| and > end their line: begin the text in the next one, or put it in quotes"),
    (r"expected <block end>, but found '([]}])'", "{0} closes nothing: remove it"),
    (r"expected <block end>", "not part of what begins in line {line}: check indentation and quotes"),
    (r"expected '<document start>'", "nothing may follow the end of the document: check the brackets"),
    (r"expected the node content, but found '(.+)'", "expected a value, found {0}"),
    (r"undefined tag handle '(.+)'", "tags are not read here: remove {0}, or put the value in quotes"),
)
"""(what PyYAML says, what it means). {0}: the match's group; {line}: where the construct begins."""


def _syntax_problem(error: yaml.MarkedYAMLError, text: str) -> Problem:
    said = error.problem or "this is no YAML"
    at_opening = error.context_mark is not None and re.match(r"found unexpected end|could not find", said)
    mark = error.context_mark if at_opening else error.problem_mark or error.context_mark
    if mark is None:
        return Problem("", said, 1, 1)
    above = text.splitlines()[mark.line - 1] if mark.line else ""
    if "mapping values are not" in said and (tight := re.match(r"\s*(?:- )?[\w.-]+:(?=[^\s/:])", above)):
        return Problem("", "a space is missing after this colon", mark.line, tight.end())
    line = mark.line + 1 if error.context_mark is None else error.context_mark.line + 1
    message = said
    if text[max(0, mark.index - 1) : mark.index + 1] == "${":
        message = "expected ${NAME} or ${NAME:-default}: a } is missing, or the name is none"
    else:
        for pattern, meaning in _SYNTAX:
            if found := re.search(pattern, said):
                message = meaning.format(*found.groups(), line=line)
                break
    return Problem("", message, mark.line + 1, mark.column + 1)
