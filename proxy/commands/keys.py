"""`paifang keys …`: virtual keys, made, listed, changed and ended."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from proxy.commands.shared import CONFIG, ROOM_COLUMNS, ConfigOption, JsonOption, ask, print_json, quoted, submit
from proxy.commands.tables import print_rows

NameArgument = Annotated[str, typer.Argument(help="The key's name.")]
Families = Annotated[list[str] | None, typer.Option("--family", help="A family it may use; repeat for more.")]
Models = Annotated[list[str] | None, typer.Option("--model", help="A model it may use; repeat for more.")]
Daily = Annotated[str | None, typer.Option("--daily-usd", metavar="USD", help="What it may spend in a day.")]
Monthly = Annotated[str | None, typer.Option("--monthly-usd", metavar="USD", help="What it may spend in a month.")]
FamilyBudgets = Annotated[
    list[str] | None,
    typer.Option(
        "--family-budget", metavar="FAMILY=DAILY/MONTHLY", help="USD for one family: doubao=0.5/10, doubao=0.5 or doubao=/10."
    ),
]
Requests = Annotated[str | None, typer.Option("--rpm", metavar="COUNT", help="Requests in a minute.")]
Tokens = Annotated[str | None, typer.Option("--tpm", metavar="COUNT", help="Tokens in a minute.")]
Concurrent = Annotated[str | None, typer.Option("--concurrent", metavar="COUNT", help="Requests at once.")]
WalletOption = Annotated[str | None, typer.Option("--wallet", help="The wallet it draws on.")]
Expires = Annotated[str | None, typer.Option("--expires", metavar="DATE", help="When it ends, such as 2027-01-01.")]
Timezone = Annotated[str | None, typer.Option("--timezone", help="Where its days and months begin, such as Asia/Singapore.")]
NONE = "none"
"""Written for a value, takes it away."""
OPTIONS = {
    "families": "--family",
    "models": "--model",
    "budget.daily_usd": "--daily-usd",
    "budget.monthly_usd": "--monthly-usd",
    "budget.families": "--family-budget",
    "rate_limit.requests_per_minute": "--rpm",
    "rate_limit.tokens_per_minute": "--tpm",
    "rate_limit.concurrent": "--concurrent",
    "wallet": "--wallet",
    "expires_at": "--expires",
    "timezone": "--timezone",
}
"""{field of the admin API: its option}."""
COLUMNS = ("name", "hint", "source", "state", "families", "models", "daily_usd", "monthly_usd", "wallet", "expires_at")


def add_to(app: typer.Typer) -> None:
    keys = typer.Typer(help="Make, list, change and end the keys that clients send.", no_args_is_help=True)
    keys.command("create", epilog="Example: paifang keys create ci --family doubao --daily-usd 1 --expires 2027-01-01")(_create)
    keys.command("list", epilog="Example: paifang keys list")(_list)
    keys.command("show", epilog="Example: paifang keys show ci")(_show)
    keys.command("update", epilog="Example: paifang keys update ci --daily-usd 2 --monthly-usd none")(_update)
    keys.command("revoke", epilog="Example: paifang keys revoke ci")(_revoke)
    app.add_typer(keys, name="keys")


def _create(
    name: NameArgument,
    config: ConfigOption = CONFIG,
    families: Families = None,
    models: Models = None,
    daily_usd: Daily = None,
    monthly_usd: Monthly = None,
    family_budgets: FamilyBudgets = None,
    rpm: Requests = None,
    tpm: Tokens = None,
    concurrent: Concurrent = None,
    wallet: WalletOption = None,
    expires: Expires = None,
    timezone: Timezone = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key. It is shown once: only its SHA-256 is kept."""
    form = _form(families, models, daily_usd, monthly_usd, family_budgets, rpm, tpm, concurrent, wallet, expires, timezone)
    answer = submit(config, "POST", "keys", {"name": name, **form}, OPTIONS)
    if as_json:
        return print_json(answer)
    typer.echo(f"key {name}, shown this once: {answer['key']}")
    if answer["example"]:
        typer.echo(f"try it: {answer['example']}")


def _list(config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """List every key, those of gateway.yaml included. Those of conversations that have ended are in --json alone."""
    from proxy.storage.keys import is_of_chat

    answer = ask(config, "GET", "keys")
    if as_json:
        return print_json(answer)
    keys = [key for key in answer["keys"] if key["state"] == "active" or not is_of_chat(key["name"])]
    print_rows(COLUMNS, [{**key, **key["budget"], "families": key["families"]} for key in keys])


def _show(name: NameArgument, config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """Show what a key may, and what is left of each of its limits."""
    _print_key(ask(config, "GET", f"keys/{quoted(name)}"), as_json)


def _update(
    name: NameArgument,
    config: ConfigOption = CONFIG,
    families: Families = None,
    models: Models = None,
    daily_usd: Daily = None,
    monthly_usd: Monthly = None,
    family_budgets: FamilyBudgets = None,
    rpm: Requests = None,
    tpm: Tokens = None,
    concurrent: Concurrent = None,
    wallet: WalletOption = None,
    expires: Expires = None,
    timezone: Timezone = None,
    as_json: JsonOption = False,
) -> None:
    """Change what a key may, from its next request on. What isn't named stays; `none` takes a limit away."""
    form = _form(families, models, daily_usd, monthly_usd, family_budgets, rpm, tpm, concurrent, wallet, expires, timezone)
    _print_key(submit(config, "PATCH", f"keys/{quoted(name)}", form, OPTIONS), as_json)


def _revoke(name: NameArgument, config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """End a key for good, from its next request on."""
    answer = ask(config, "DELETE", f"keys/{quoted(name)}")
    if as_json:
        return print_json(answer)
    typer.echo(f"key {name} is revoked")


def _form(
    families: list[str] | None,
    models: list[str] | None,
    daily_usd: str | None,
    monthly_usd: str | None,
    family_budgets: list[str] | None,
    rpm: str | None,
    tpm: str | None,
    concurrent: str | None,
    wallet: str | None,
    expires: str | None,
    timezone: str | None,
) -> dict[str, Any]:
    """The admin API's form of what was named, and nothing else."""
    form: dict[str, Any] = {}
    for field, names in (("families", families), ("models", models)):
        if names:
            form[field] = None if names == [NONE] else names
    for field, text in (("wallet", wallet), ("expires_at", expires)):
        if text is not None:
            form[field] = None if text == NONE else text
    if timezone is not None:
        form["timezone"] = timezone
    budget: dict[str, Any] = _windows(daily_usd, monthly_usd)
    if family_budgets:
        budget["families"] = dict(map(_family_budget, family_budgets))
    limits = {"requests_per_minute": rpm, "tokens_per_minute": tpm, "concurrent": concurrent}
    rate_limit = {field: _count(text, OPTIONS[f"rate_limit.{field}"]) for field, text in limits.items() if text is not None}
    return form | ({"budget": budget} if budget else {}) | ({"rate_limit": rate_limit} if rate_limit else {})


def _windows(daily: str | None, monthly: str | None) -> dict[str, Any]:
    given = {"daily_usd": daily, "monthly_usd": monthly}
    return {field: None if text == NONE else text for field, text in given.items() if text}


def _count(text: str, option: str) -> int | None:
    if text == NONE:
        return None
    if not re.fullmatch(r"[1-9][0-9]{0,11}", text):
        raise typer.BadParameter(f"{text!r} is not a count from 1 up, or {NONE}", param_hint=option)
    return int(text)


def _family_budget(text: str) -> tuple[str, dict[str, Any] | None]:
    """ "doubao=0.5/10" → its windows; "doubao=none" → None, which takes the family's budget away."""
    found = re.fullmatch(r"([^=]+)=(?:(none)|([0-9.]*)(?:/([0-9.]*))?)", text)
    if found is None or not any(found.groups()[1:]):
        told = f"{text!r} is not like doubao=0.5/10: a family, USD a day, USD a month"
        raise typer.BadParameter(told, param_hint="--family-budget")
    family, gone, daily, monthly = found.groups()
    return family, None if gone else _windows(daily, monthly)


def _print_key(key: dict[str, Any], as_json: bool) -> None:
    if as_json:
        return print_json(key)
    rows = [{"what": name, "value": value} for name, value in key.items() if name not in ("budget", "rate_limit", "left")]
    for name in ("daily_usd", "monthly_usd"):
        rows.append({"what": f"budget.{name}", "value": key["budget"][name]})
        rows += [
            {"what": f"budget.families.{family}.{name}", "value": windows[name]}
            for family, windows in key["budget"]["families"].items()
        ]
    rows += [{"what": f"rate_limit.{name}", "value": value} for name, value in key["rate_limit"].items()]
    print_rows(("what", "value"), rows)
    if key.get("left"):
        typer.echo()
        print_rows(ROOM_COLUMNS, key["left"])
