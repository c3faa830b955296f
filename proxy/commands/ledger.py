"""`paifang ledger verify` and `export`, and `db upgrade`: the books themselves."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from proxy.commands.shared import CONFIG, BadNews, ConfigOption, JsonOption, ask, ask_pages, csv_writer, print_json
from proxy.commands.usage import CsvOption, Day, Month, Timezone

COLUMNS = ("id", "at", "kind", "operation", "debit", "credit", "amount_usd", "actor", "line", "price")
PAGE = 1_000


def add_to(app: typer.Typer) -> None:
    ledger = typer.Typer(help="Look into the ledger.", no_args_is_help=True)
    ledger.command("verify", epilog="Example: paifang ledger verify || echo 'restore a backup'")(_verify)
    ledger.command("export", epilog="Example: paifang ledger export --month 2026-11 > november.jsonl")(_export)
    app.add_typer(ledger, name="ledger")
    db = typer.Typer(help="Look after the store.", no_args_is_help=True)
    db.command("upgrade", epilog="Example: paifang db upgrade")(_upgrade)
    app.add_typer(db, name="db")


def _verify(config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """Compute the whole ledger anew and say what disagrees. Exit status 1 if anything does."""
    problems = ask(config, "GET", "ledger/verify")["problems"]
    if as_json:
        print_json({"problems": problems})
    for problem in () if as_json else problems:
        typer.echo(problem)
    if problems:
        raise BadNews(f"{len(problems)} problems: put a backup in the store's place, or mend what they name")
    if not as_json:
        typer.echo("the ledger agrees with itself")


def _export(
    config: ConfigOption = CONFIG,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="From this date or time; left out: all.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Up to this date or time, not included.")] = None,
    day: Day = None,
    month: Month = None,
    timezone: Timezone = "UTC",
    account: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only of this account: wallet:team-a, key:ci, provider:ark, operator.")
    ] = None,
    kind: Annotated[
        str | None, typer.Option(metavar="KIND", help="Only these: charge, recovered, exposure, topup, adjust.")
    ] = None,
    as_csv: CsvOption = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, a line an entry; so it does anyway.")] = False,
) -> None:
    """Print the ledger's entries, oldest first: JSON lines, or CSV."""
    asked = {
        "since": since, "until": until, "day": day, "month": month, "timezone": timezone, "account": account, "kind": kind
    }  # fmt: skip
    if as_csv and as_json:
        raise typer.BadParameter("give --csv or --json, not both")
    query = {name: value for name, value in asked.items() if value is not None}
    write = csv_writer(COLUMNS) if as_csv else _print_lines
    ask_pages(config, "ledger/entries", None, PAGE, query, lambda page: write(page["entries"]))


def _print_lines(entries: list[dict[str, Any]]) -> None:
    for entry in entries:
        typer.echo(json.dumps(entry, ensure_ascii=False))


def _upgrade(config: ConfigOption = CONFIG) -> None:
    """Bring the store's tables to this version. A gateway does the same when it starts."""
    status = ask(config, "GET", "status")
    typer.echo(f"the store is at the tables of Paifang {status['version']}")
