"""Running a command: what it raises → a line on standard error and an exit status.

0   done
1   the answer is bad news
2   wrong usage or configuration, or the command could not do its work
141 who reads the output went away, as tools have it that SIGPIPE ends

With --json standard output is JSON whatever happens: 0 and 1 have the answer there, 2 has one line
{"ok": false, "problems": [{"message", "nearest", and what else is known: "file", "line", "column", "path", "code", "param"}]}.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from proxy.commands import NAMES, application
from proxy.commands.shared import CONFIG, BadNews, problem_body
from proxy.errors import ConfigError, GatewayError

WRONG = 2
UNHEARD = 141
REFUSES = frozenset({errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""How standard output takes nothing more. Of other files these come with a name, or as errors of the store."""
DEBUG = "PAIFANG_DEBUG"
"""Set in the environment, it lets a traceback through."""


def run(arguments: Sequence[str]) -> int:
    """Returns the exit status."""
    try:
        status = _run(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()
        return UNHEARD
    except OSError as error:
        if os.environ.get(DEBUG):
            raise
        _discard_output()
        return _tell(f"standard output can't be written: {error.strerror}", WRONG)
    return status


def _discard_output() -> None:
    """Let the interpreter get rid of what is left, which it tries in the end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _run(arguments: Sequence[str]) -> int:
    """Raises: OSError: of standard output."""
    try:
        application(_plugin_commands(arguments))(args=list(arguments), prog_name="paifang")
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):
            raise end.__context__ from None
        # It follows from what typer has told on standard error.
        if end.code == WRONG and isinstance(end.__context__, Exception):
            _tell_program(arguments, end.__context__)
        return end.code if isinstance(end.code, int) else 0
    except BadNews as news:
        return _tell(str(news), 1)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if isinstance(error, OSError) and error.filename is None and error.errno in REFUSES:
            raise
        told = _unexpected(error)
        _tell_program(arguments, told)
        return _tell(str(told), WRONG)
    return 0


def _unexpected(error: Exception) -> Exception:
    """What to tell of it: the error itself, if it says what it is about."""
    from proxy.control import AdminRefusal, ControlError
    from proxy.listening import InheritedError
    from proxy.serve import ServeError
    from proxy.storage.sqlite import StoreError

    if isinstance(error, (ConfigError, GatewayError, AdminRefusal, ControlError, InheritedError, ServeError, StoreError)):
        return error
    if os.environ.get(DEBUG):
        raise error
    told = " ".join(f"{type(error).__name__}: {error}".split())
    return RuntimeError(f"paifang failed unexpectedly ({told}); {DEBUG}=1 shows where, please report it")


def _tell_program(arguments: Sequence[str], error: Exception) -> None:
    """Tell a program that reads JSON; a line, so that it may also follow lines of JSON."""
    if "--json" in arguments:
        print(json.dumps({"ok": False, "problems": _problems(error)}, ensure_ascii=False))  # noqa: T201


def _problems(error: Exception) -> list[dict[str, Any]]:
    from proxy.configtypes import meant

    if isinstance(error, ConfigError):
        return [problem_body(problem, error.file) for problem in error.problems]
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    known = {name: value for name in ("code", "param") if isinstance(value := getattr(error, name, None), str)}
    return [{"message": message, "nearest": meant(message), **known}]


def _tell(text: str, status: int) -> int:
    print(text, file=sys.stderr)  # noqa: T201
    return status


def _plugin_commands(arguments: Sequence[str]) -> dict[str, Callable[..., Any]]:
    """What the plugins of gateway.yaml add; looked up only where it can make a difference."""
    words = [argument for argument in arguments if not argument.startswith("-")]
    if (words and words[0] in NAMES) or "--version" in arguments:
        return {}
    file = _config_of(arguments)
    if not file.is_file():
        return {}
    from proxy.boot import load
    from proxy.plugincommands import add_commands

    commands: dict[str, Callable[..., Any]] = {}
    try:
        loaded = load(file, os.environ)
    except ConfigError:
        if words:
            _tell(f"{file} has problems, so commands of its plugins are missing: see `paifang check`", 2)
        return {}
    try:
        add_commands(loaded, NAMES, commands)
    except ConfigError as error:
        _tell(str(error), 2)
    return commands


def _config_of(arguments: Sequence[str]) -> Path:
    for position, argument in enumerate(arguments):
        if argument in ("-c", "--config") and position + 1 < len(arguments):
            return Path(arguments[position + 1])
        if argument.startswith("--config="):
            return Path(argument.removeprefix("--config="))
    return CONFIG
