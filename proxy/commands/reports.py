"""`paifang usage`, `ledger verify` and `db upgrade`: what the store says."""

from __future__ import annotations

import csv
import sys
from typing import Annotated

import typer

from proxy.commands.shared import CONFIG, BadNews, ConfigOption, JsonOption, ask, print_json, print_rows

COLUMNS = (
    "requests", "input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens", "estimated", "debit_usd", "cost_usd"
)  # fmt: skip


def add_to(app: typer.Typer) -> None:
    app.command("usage", epilog="Example: paifang usage --by key,day --month 2026-11 --timezone Asia/Singapore")(_usage)
    ledger = typer.Typer(help="Look into the ledger.", no_args_is_help=True)
    ledger.command("verify", epilog="Example: paifang ledger verify || echo 'restore a backup'")(_verify)
    app.add_typer(ledger, name="ledger")
    db = typer.Typer(help="Look after the store.", no_args_is_help=True)
    db.command("upgrade", epilog="Example: paifang db upgrade")(_upgrade)
    app.add_typer(db, name="db")


def _usage(
    config: ConfigOption = CONFIG,
    by: Annotated[
        str, typer.Option(help="Add up by any of key, wallet, model, family, route, provider, user, day.")
    ] = "key,model",
    since: Annotated[str | None, typer.Option(help="From this date or time; left out: this month.")] = None,
    until: Annotated[str | None, typer.Option(help="Up to this date or time, itself not included.")] = None,
    month: Annotated[str | None, typer.Option(help="Of this month, such as 2026-11.")] = None,
    timezone: Annotated[str, typer.Option(help="Whose days and months these are.")] = "UTC",
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Add up what was used and what it cost; cost_usd is what the providers took."""
    asked = {"by": by, "since": since, "until": until, "month": month, "timezone": timezone}
    answer = ask(config, "GET", "usage", **{name: value for name, value in asked.items() if value is not None})
    columns = (*answer["by"], *COLUMNS)
    if as_json:
        print_json(answer)
    elif as_csv:
        writer = csv.DictWriter(sys.stdout, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(answer["rows"])
    else:
        print_rows(columns, answer["rows"])


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


def _upgrade(config: ConfigOption = CONFIG) -> None:
    """Bring the store's tables to this version. A gateway does the same when it starts."""
    status = ask(config, "GET", "status")
    typer.echo(f"the store is at the tables of Paifang {status['version']}")
