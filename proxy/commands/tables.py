"""Lists for people at a terminal, whatever its width, and for pipes."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import typer

NOTHING = "-"
"""For what is not there."""
GAP = 2
"""Between columns."""
UNBROKEN = 2
"""The first columns, which are what a row is called by, stay on one line."""


def print_rows(columns: Sequence[str], rows: Iterable[Mapping[str, Any]], *, rare: Collection[str] = ()) -> None:
    """On a terminal a table of the columns that say something or, where it has no room for one, a block a row.

    Through a pipe tab-separated lines under a header. rare: columns that say nothing where all are 0.
    """
    lines = [[cell(row.get(column)) for column in columns] for row in rows]
    if not sys.stdout.isatty():
        for line in (columns, *lines):
            typer.echo("\t".join(line))
        return
    if not lines:
        typer.echo("there is nothing to list")
        return
    dull = [{NOTHING, "0"} if column in rare else {NOTHING} for column in columns]
    shown = [index for index in range(len(columns)) if {line[index] for line in lines} - dull[index]]
    names = [columns[index].replace("_", " ") for index in shown]
    _print_lines(names, [[line[index] for index in shown] for line in lines])


def cell(value: Any) -> str:
    """A value on one line."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    # What a client calls itself must not move the cursor.
    seen = "".join(letter if letter.isprintable() else "�" for letter in " ".join(text.split()))
    return seen or NOTHING


def _print_lines(names: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if widths := _widths([names, *lines], console.width):
        table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False)
        for name, width in zip(names, widths, strict=True):
            table.add_column(name, width=width)
        for line in lines:
            table.add_row(*map(Text, line))
        console.print(table)
        return
    for title, *values in lines:
        block = Table.grid(padding=(0, GAP, 0, 0))
        for name, value in zip(names[1:], values, strict=True):
            if value != NOTHING:
                block.add_row(name, Text(value, overflow="fold"))
        console.print(Text(title, style="bold"))
        console.print(Padding(block, (0, 0, 0, 4)))


def _widths(lines: Sequence[Sequence[str]], room: int) -> list[int] | None:
    """The columns' widths, such that no word is broken, as it may be a name or a number to copy; None: there is no room."""
    from rich.cells import cell_len

    columns = list(zip(*lines, strict=True))
    most = [max(map(cell_len, column)) for column in columns]
    least = [max(cell_len(word) for text in column for word in text.split()) for column in columns]
    least[:UNBROKEN] = most[:UNBROKEN]
    spare, wanted = room - sum(least) - GAP * (len(columns) - 1), sum(most) - sum(least)
    if spare < 0:
        return None
    return [low + (high - low) * min(spare, wanted) // max(wanted, 1) for low, high in zip(least, most, strict=True)]
