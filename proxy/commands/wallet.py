"""`paifang wallet …`: balances that keys draw on, made, filled, corrected and shown."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from proxy.commands.shared import CONFIG, ConfigOption, JsonOption, ask, print_json, quoted, submit, this_user
from proxy.commands.tables import print_rows

NameArgument = Annotated[str, typer.Argument(help="The wallet's name.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept with the entry.")]
Actor = Annotated[str | None, typer.Option("--actor", metavar="NAME", help="Who does it; left out: this user.")]
Operation = Annotated[str | None, typer.Option("--id", metavar="ID", help="The operation's id: repeating one changes nothing.")]
OPTIONS = {"amount_usd": "USD", "reason": "--reason", "actor": "--actor", "id": "--id"}
"""{field of the admin API: its option or argument}."""
MINUS_IS_NO_OPTION = {"ignore_unknown_options": True}
COLUMNS = ("name", "source", "balance_usd", "held_usd", "available_usd", "funded_usd", "spent_usd")
ENTRY_COLUMNS = ("at", "kind", "operation", "debit", "credit", "amount_usd", "actor", "line")


def add_to(app: typer.Typer) -> None:
    wallet = typer.Typer(help="Make, fill, correct and show the wallets that keys draw on.", no_args_is_help=True)
    wallet.command("create", epilog="Example: paifang wallet create team-a")(_create)
    wallet.command(
        "credit",
        epilog="Example: paifang wallet credit team-a 25.00 --reason 'invoice 7' --id inv-7",
        context_settings=MINUS_IS_NO_OPTION,
    )(_credit)
    wallet.command(
        "adjust",
        epilog="Example: paifang wallet adjust team-a -3.50 --reason 'credited twice'",
        context_settings=MINUS_IS_NO_OPTION,
    )(_adjust)
    wallet.command("show", epilog="Example: paifang wallet show team-a")(_show)
    app.add_typer(wallet, name="wallet")


def _create(name: NameArgument, config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """Make an empty wallet. Those of gateway.yaml are there without being made."""
    made = ask(config, "POST", "wallets", {"name": name})
    if as_json:
        return print_json(made)
    from proxy.banner import command_name

    typer.echo(f"wallet {name} is there; fill it: {command_name()} wallet credit {name} 25.00 --reason TEXT")


def _credit(
    name: NameArgument,
    usd: Annotated[str, typer.Argument(metavar="USD", help="How much, such as 25.00.")],
    reason: Reason,
    config: ConfigOption = CONFIG,
    actor: Actor = None,
    operation: Operation = None,
    as_json: JsonOption = False,
) -> None:
    """Add to a wallet."""
    _move(name, "credits", usd, reason, actor, operation, config, as_json)


def _adjust(
    name: NameArgument,
    usd: Annotated[str, typer.Argument(metavar="±USD", help="How much, such as -3.50 or 3.50.")],
    reason: Reason,
    config: ConfigOption = CONFIG,
    actor: Actor = None,
    operation: Operation = None,
    as_json: JsonOption = False,
) -> None:
    """Correct a wallet, up or down. What was entered before stays as it is."""
    _move(name, "adjustments", usd, reason, actor, operation, config, as_json)


def _move(
    name: str, what: str, usd: str, reason: str, actor: str | None, operation: str | None, config: Any, as_json: bool
) -> None:
    form = {"amount_usd": usd, "reason": reason, "actor": actor or this_user()}
    if operation is not None:
        form["id"] = operation
    done = submit(config, "POST", f"wallets/{quoted(name)}/{what}", form, OPTIONS)
    if as_json:
        return print_json(done)
    typer.echo(f"wallet {name} has {done['balance_usd']} USD (operation {done['id']})")


def _show(
    name: Annotated[str | None, typer.Argument(help="The wallet's name; left out: all of them.")] = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show what wallets have; of one also who draws on it and its last entries, the newest first."""
    answer = ask(config, "GET", "wallets" if name is None else f"wallets/{quoted(name)}")
    if as_json:
        return print_json(answer)
    if name is None:
        return print_rows(COLUMNS, answer["wallets"])
    print_rows(("what", "value"), [{"what": what, "value": answer[what]} for what in (*COLUMNS, "keys")])
    if answer["entries"]:
        typer.echo()
        print_rows(ENTRY_COLUMNS, answer["entries"])
