"""`${NAME}` and `${NAME:-default}` in the values of gateway.yaml, and the .env file beside it.

A value is expanded once: what came out of the environment is not looked at again, so nobody who controls one variable
reaches another. `$${` stands for `${` itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from proxy.errors import Problem
from proxy.yamltext import SPOILT, Document, Place, render_path

_REFERENCE = re.compile(r"\$\$\{|\$\{(?P<body>[^}]*)\}|\$\{")
_BODY = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-.*)?", re.DOTALL)


class FromEnvironment(str):
    """Text that an expansion made: where a number or a boolean is expected, it is read from such text."""

    __slots__ = ("names",)
    names: tuple[str, ...]

    def __new__(cls, text: str, names: tuple[str, ...]) -> FromEnvironment:
        made = super().__new__(cls, text)
        made.names = names
        return made


def environment_beside(file: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that `file` may name: `environ`, and the `.env` in its folder for those that `environ` lacks.

    Raises: OSError or UnicodeDecodeError: there is a .env, and it can't be read.
    """
    dotenv = file.parent / ".env"
    if not dotenv.is_file():
        return dict(environ)
    found = dotenv_values(dotenv, interpolate=False)
    return {**{name: value for name, value in found.items() if value is not None}, **environ}


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
