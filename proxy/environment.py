"""`${NAME}` and `${NAME:-default}` in the values of gateway.yaml, and the .env file beside it.

A value is expanded once: what came out of the environment is not looked at again, so nobody who controls one variable
reaches another. `$${` stands for `${` itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from dotenv.parser import parse_stream

from proxy.errors import Problem
from proxy.yamltext import SPOILT, Document, Place, render_path

_REFERENCE = re.compile(r"\$\$\{|\$\{(?P<body>[^}]*)\}|\$\{")
_BODY = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-.*)?", re.DOTALL)


UNREADABLE = 'this line can\'t be read: write NAME=value, or NAME="value" with both quotes'
NO_EQUALS = "there is no = in this line: write NAME=value, or remove it"
"""Of a .env; what its lines say may be secret, and is not repeated."""


class FromEnvironment(str):
    """Text that an expansion made: where a number or a boolean is expected, it is read from such text."""

    __slots__ = ("names",)
    names: tuple[str, ...]

    def __new__(cls, text: str, names: tuple[str, ...]) -> FromEnvironment:
        made = super().__new__(cls, text)
        made.names = names
        return made


def environment_beside(file: Path, environ: Mapping[str, str]) -> tuple[dict[str, str], list[Problem]]:
    """The variables that `file` may name, and what is wrong with the `.env` in its folder.

    They are `environ`, and those of the `.env` that `environ` lacks.
    """
    dotenv = file.parent / ".env"
    name = str(dotenv)
    if not dotenv.is_file():  # a folder of that name is a virtualenv
        return dict(environ), []
    try:
        text = dotenv.read_bytes().decode("utf-8-sig")
    except OSError as error:
        return dict(environ), [Problem("", f"the file can't be read: {error.strerror}", file=name)]
    except UnicodeDecodeError:
        return dict(environ), [Problem("", "this is not UTF-8: save the file in that encoding", file=name)]
    found: dict[str, str] = {}
    problems: list[Problem] = []
    end = 0
    for binding in parse_stream(StringIO(text, newline="")):
        # The blank lines before it are taken for a part of it.
        end += len(binding.original.string)
        line = text.count("\n", 0, end - len(binding.original.string.lstrip())) + 1
        if binding.error:
            problems.append(Problem("", UNREADABLE, line, file=name))
        elif binding.key is not None and binding.value is None:
            problems.append(Problem("", NO_EQUALS, line, file=name))
        elif binding.key is not None and binding.value is not None:
            found[binding.key] = binding.value
    return {**found, **environ}, problems


def expand(document: Document, environ: Mapping[str, str]) -> tuple[Any, list[Problem]]:
    """The document's data with every reference expanded, and what is wrong with the references.

    A value whose reference is wrong is SPOILT in the answer.
    """
    problems: list[Problem] = []

    def walk(value: Any, path: Place) -> Any:
        if isinstance(value, dict):
            return {key: walk(inner, (*path, key)) for key, inner in value.items()}
        if isinstance(value, list):
            return [walk(inner, (*path, index)) for index, inner in enumerate(value)]
        if not isinstance(value, str) or "${" not in value:
            return value
        try:
            return _expand_text(value, environ)
        except _BadReference as error:
            problems.append(Problem(render_path(path), str(error), *document.place(path)))
            return SPOILT

    return walk(document.data, ()), problems


class _BadReference(Exception):
    pass


def _expand_text(text: str, environ: Mapping[str, str]) -> str:
    names: list[str] = []

    def replace(found: re.Match[str]) -> str:
        if found[0] == "$${":
            return "${"
        if found["body"] is None:
            raise _BadReference("a ${ is never closed: add the }, or write $${ for the two characters themselves")
        body = _BODY.fullmatch(found["body"])
        if body is None:
            raise _BadReference(f"{found[0]} names no variable: expected ${{NAME}} or ${{NAME:-default}}")
        name, default = body["name"], body["default"]
        if default is not None and "${" in default:
            raise _BadReference(f"the default of ${{{name}}} can't hold another reference: write a plain value")
        names.append(name)
        value = environ.get(name)
        if default is not None:
            return value or default.removeprefix(":-")
        if value is None:
            raise _BadReference(
                f"the environment variable {name} is not set: set it, or write ${{{name}:-default}} "
                f"(${{{name}:-}} for an empty one)"
            )
        return value

    expanded = _REFERENCE.sub(replace, text)
    return FromEnvironment(expanded, tuple(names)) if names else expanded
