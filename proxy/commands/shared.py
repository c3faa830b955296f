"""What commands share: their options, asking the gateway, and printing for programs."""

from __future__ import annotations

import asyncio
import csv
import getpass
import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from proxy.control import AdminRefusal
    from proxy.errors import Problem

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="The configuration file.", metavar="FILE")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
CsvOption = Annotated[bool, typer.Option("--csv", help="Print CSV.")]
CONFIG = Path("gateway.yaml")
ROOM_COLUMNS = ("param", "scope", "limit", "left", "unit", "resets_at")
"""What is left of a limit."""


class BadNews(Exception):
    """The command did its work, and the answer is bad news: exit status 1."""


def ask(file: Path, method: str, path: str, body: Any = None, **query: str) -> Any:
    """The admin API's answer, of the gateway that runs on this file or else of one made for this question."""
    return _answer(file, method, path, body, query, _alike(query))


def submit(file: Path, method: str, path: str, form: Mapping[str, Any], options: Mapping[str, str]) -> Any:
    """The admin API's answer to a form. options: {field of it: what the command calls it}, for refusals."""
    return _answer(file, method, path, form, {}, options)


def _answer(file: Path, method: str, path: str, body: Any, query: Mapping[str, str], options: Mapping[str, str]) -> Any:
    # aiohttp is slow to import, and `--help` needs none.
    from proxy.control import AdminRefusal, connect
    from proxy.logs import log_to

    log_to(level=logging.ERROR)

    async def answer() -> Any:
        async with connect(file, os.environ) as gateway:
            return await gateway.call(method, path, body, **query)

    try:
        return asyncio.run(answer())
    except AdminRefusal as refusal:
        raise _placed(refusal, options) from None


def ask_pages(
    file: Path, path: str, limit: int | None, page_size: int, query: Mapping[str, str], take: Callable[[Any], None]
) -> None:
    """Hand page after page of a list to `take` as they come, `limit` items at most; None: all there are."""
    from proxy.control import AdminRefusal, connect
    from proxy.logs import log_to

    log_to(level=logging.ERROR)

    async def follow() -> None:
        left, place = limit, dict[str, str]()
        async with connect(file, os.environ) as gateway:
            while left is None or left > 0:
                size = page_size if left is None else min(left, page_size)
                page = await gateway.call("GET", path, **query, **place, limit=str(size))
                take(page)
                if page["next"] is None:
                    return
                place = {"after": page["next"]}
                left = None if left is None else left - size

    try:
        asyncio.run(follow())
    except AdminRefusal as refusal:
        raise _placed(refusal, _alike(query)) from None


def _alike(query: Mapping[str, str]) -> dict[str, str]:
    return {name: f"--{name}" for name in query}


def _placed(refusal: AdminRefusal, options: Mapping[str, str]) -> AdminRefusal:
    """The refusal, under the name of the option that it is about."""
    param = refusal.param or ""
    for name, option in options.items():
        if param == name or param.startswith(f"{name}."):
            message = str(refusal).removeprefix(f"{param}: ")
            return type(refusal)(refusal.status, refusal.code, f"{option}: {message}", param)
    return refusal


def this_user() -> str:
    """Who runs the command, for entries that say who did it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # containers have users without a name
        return f"uid {os.getuid()}"


def quoted(name: str) -> str:
    """A name as a step of a path."""
    from urllib.parse import quote

    return quote(name, safe="")


def one_format(as_csv: bool, as_json: bool) -> None:
    """Raises: typer.BadParameter: both are asked for."""
    if as_csv and as_json:
        raise typer.BadParameter("give --csv or --json, not both")


def print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_whether_running(answer: Mapping[str, Any]) -> None:
    """Say so where the answer is none of a gateway that runs; beside the rows, which may go through a pipe."""
    if not answer["running"]:
        typer.echo("no gateway runs: this is what one would begin with", err=not sys.stdout.isatty())


def problem_body(problem: Problem, file: str) -> dict[str, Any]:
    """A problem of gateway.yaml as JSON."""
    from proxy.configtypes import meant

    return {
        "file": problem.file or file,
        "line": problem.line or None,
        "column": problem.column or None,
        "path": problem.path,
        "message": problem.message,
        "nearest": meant(problem.message),
    }


def csv_writer(columns: Sequence[str]) -> Callable[[Iterable[Mapping[str, Any]]], None]:
    """Returns what prints rows, under a header that it prints with the first of them. Data in a cell is JSON."""
    writer = csv.DictWriter(sys.stdout, columns, extrasaction="ignore", lineterminator="\n")
    print_header = iter((writer.writeheader,))

    def write(rows: Iterable[Mapping[str, Any]]) -> None:
        for header in print_header:
            header()
        for row in rows:
            writer.writerow({name: _csv_cell(value) for name, value in row.items()})

    return write


def _csv_cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (bool, dict, list)) else value
