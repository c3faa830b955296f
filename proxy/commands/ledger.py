"""`paifang ledger verify`, `export` and `reconcile`, and `db upgrade`: the books themselves."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from proxy.commands.dates import Day, Month, Since, Timezone, Until, span
from proxy.commands.shared import (
    CONFIG,
    BadNews,
    ConfigOption,
    CsvOption,
    JsonOption,
    ask,
    ask_pages,
    csv_writer,
    one_format,
    print_json,
    submit,
    this_user,
)
from proxy.commands.tables import NOTHING, print_rows
from proxy.plural import counted

COLUMNS = ("id", "at", "kind", "operation", "debit", "credit", "amount_usd", "actor", "line", "price")
EXPOSURE_COLUMNS = ("day", "provider", "model", "requests", "amount_usd")
PAGE = 1_000


def add_to(app: typer.Typer) -> None:
    ledger = typer.Typer(help="Look into the ledger.", no_args_is_help=True)
    ledger.command("verify", epilog="Example: paifang ledger verify || echo 'restore a backup'")(_verify)
    ledger.command("export", epilog="Example: paifang ledger export --month 2026-11 > november.jsonl")(_export)
    ledger.command(
        "reconcile",
        epilog="Example: paifang ledger reconcile --provider ark --month 2026-11 --billed-usd 0.12 --reason 'bill 7'",
    )(_reconcile)
    app.add_typer(ledger, name="ledger")
    db = typer.Typer(help="Look after the store.", no_args_is_help=True)
    db.command("upgrade", epilog="Example: paifang db upgrade")(_upgrade)
    app.add_typer(db, name="db")


def _verify(config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """Compute the whole ledger anew and say what disagrees. Exit status 1 if anything does."""
    problems = ask(config, "GET", "ledger/verify")["problems"]
    if as_json:
        print_json({"ok": not problems, "problems": [{"message": problem} for problem in problems]})
    for problem in () if as_json else problems:
        typer.echo(problem)
    if problems:
        raise BadNews(f"{counted(len(problems), 'problem')}: put a backup in the store's place, or mend what they name")
    if not as_json:
        typer.echo("the ledger agrees with itself")


def _export(
    config: ConfigOption = CONFIG,
    since: Since = None,
    until: Until = None,
    day: Day = None,
    month: Month = None,
    timezone: Timezone = "UTC",
    account: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only of this account: wallet:team-a, key:ci, provider:ark, operator.")
    ] = None,
    kind: Annotated[
        str | None, typer.Option(metavar="KIND", help="Only these: charge, recovered, exposure, reconciled, topup, adjust.")
    ] = None,
    as_csv: CsvOption = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, a line an entry; so it does anyway.")] = False,
) -> None:
    """Print the ledger's entries, oldest first: JSON lines, or CSV. All there are, where no time is given."""
    one_format(as_csv, as_json)
    named = {name: value for name, value in {"account": account, "kind": kind}.items() if value is not None}
    query = span(since, until, day, month, timezone) | named
    write = csv_writer(COLUMNS) if as_csv else _print_lines
    ask_pages(config, "ledger/entries", None, PAGE, query, lambda page: write(page["entries"]))


def _print_lines(entries: list[dict[str, Any]]) -> None:
    for entry in entries:
        typer.echo(json.dumps(entry, ensure_ascii=False))


def _reconcile(
    config: ConfigOption = CONFIG,
    since: Since = None,
    until: Until = None,
    day: Day = None,
    month: Month = None,
    timezone: Timezone = "UTC",
    provider: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only of this provider; - for what a crash left none of.")
    ] = None,
    billed_usd: Annotated[
        str | None,
        typer.Option(metavar="USD", help="Close what is listed: its provider billed so much of it, such as 0.12 or 0."),
    ] = None,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Why; kept with the entries.")] = None,
    actor: Annotated[str | None, typer.Option(metavar="NAME", help="Who does it; left out: this user.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List what providers may bill beyond what callers paid, by day, provider and model; with --billed-usd, close it.

    What was sent and never answered, what failed after it had worked, and what a crash cut off may have been billed. Compare
    with the provider's bill; what it billed stays with the provider, the rest goes back to the operator.
    """
    provider = "" if provider == NOTHING else provider
    asked = span(since, until, day, month, timezone) | ({} if provider is None else {"provider": provider})
    if billed_usd is None:
        answer = ask(config, "GET", "ledger/exposure", **asked)
        return print_json(answer) if as_json else print_rows(EXPOSURE_COLUMNS, answer["exposure"])
    if provider is None or reason is None:
        raise typer.BadParameter("it needs --provider and --reason", param_hint="--billed-usd")
    form = {**asked, "billed_usd": billed_usd, "reason": reason, "actor": actor or this_user()}
    options = {name: f"--{name.replace('_', '-')}" for name in form}
    done = submit(config, "POST", "ledger/exposure/reconciliations", form, options)
    if as_json:
        return print_json(done)
    typer.echo(
        f"{counted(done['requests'], 'request')} reconciled: {done['billed_usd']} USD were billed, "
        f"{done['returned_usd']} USD were not"
    )


def _upgrade(config: ConfigOption = CONFIG) -> None:
    """Bring the store's tables to this version. A gateway does the same when it starts."""
    status = ask(config, "GET", "status")
    typer.echo(f"the store is at the tables of Paifang {status['version']}")
