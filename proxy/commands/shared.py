"""What commands share: their options, asking the gateway, and printing for people and for pipes."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="The configuration file.", metavar="FILE")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
CONFIG = Path("gateway.yaml")
NOTHING = "-"
"""For what is not there, in lists."""


class BadNews(Exception):
    """The command did its work, and the answer is bad news: exit status 1."""


def ask(file: Path, method: str, path: str, body: Any = None, **query: str) -> Any:
    """The admin API's answer, of the gateway that runs on this file or else of one made for this question."""
    # aiohttp is slow to import, and `--help` needs none.
    from proxy.control import connect
    from proxy.logs import log_to

    log_to(level=logging.ERROR)

    async def answer() -> Any:
        async with connect(file, os.environ) as gateway:
            return await gateway.call(method, path, body, **query)

    return asyncio.run(answer())


def print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_rows(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """A table on a terminal, of the columns that say something; tab-separated lines under a header through a pipe."""
    lines = [[cell(row.get(column)) for column in columns] for row in rows]
    if not sys.stdout.isatty():
        for line in (columns, *lines):
            typer.echo("\t".join(line))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    shown = [index for index in range(len(columns)) if not lines or any(line[index] != NOTHING for line in lines)]
    for index in shown:
        table.add_column(columns[index].replace("_", " "), overflow="fold", no_wrap=index < 2)
    for line in lines:
        table.add_row(*(Text(line[index]) for index in shown))
    Console().print(table)


def cell(value: Any) -> str:
    """A value on one line."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    return " ".join(text.split()) if text else NOTHING
