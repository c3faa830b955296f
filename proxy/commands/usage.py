"""`paifang usage`: what was used, added up or request by request."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from proxy.commands.dates import Day, Month, Since, Timezone, Until, span
from proxy.commands.shared import (
    CONFIG,
    ConfigOption,
    CsvOption,
    JsonOption,
    ask,
    ask_pages,
    csv_writer,
    one_format,
    print_json,
)
from proxy.commands.tables import print_rows

COLUMNS = (
    "requests", "input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens", "estimated", "debit_usd", "cost_usd"
)  # fmt: skip
RARE = ("cached_input_tokens", "reasoning_tokens", "estimated")
REQUEST_COLUMNS = (
    "received_at", "request_id", "client_request_id", "key", "wallet", "user", "model", "family", "route", "provider",
    "attempts", "input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens", "estimated", "debit_usd",
    "cost_usd", "price_line", "latency_ms", "first_token_ms", "overhead_ms", "status", "code", "end", "stream",
)  # fmt: skip
ON_A_SCREEN = (
    "received_at", "request_id", "key", "wallet", "user", "model", "route", "input_tokens", "output_tokens", "debit_usd",
    "latency_ms", "status", "code", "end",
)  # fmt: skip
PAGE = 1_000


def add_to(app: typer.Typer) -> None:
    app.command("usage", epilog="Example: paifang usage --by key,day --month 2026-11 --timezone Asia/Singapore")(_usage)


def _usage(
    config: ConfigOption = CONFIG,
    by: Annotated[
        str, typer.Option(metavar="NAMES", help="Add up by any of key, wallet, model, family, route, provider, user, day.")
    ] = "key,model",
    each: Annotated[bool, typer.Option("--each", help="List the requests instead, the newest first.")] = False,
    limit: Annotated[int, typer.Option(min=0, help="With --each: at most so many; 0: all.")] = 50,
    since: Since = None,
    until: Until = None,
    day: Day = None,
    month: Month = None,
    timezone: Timezone = "UTC",
    key: Annotated[str | None, typer.Option(metavar="NAME", help="Only of this key.")] = None,
    wallet: Annotated[str | None, typer.Option(metavar="NAME", help="Only of this wallet.")] = None,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="Only of this model.")] = None,
    family: Annotated[str | None, typer.Option(metavar="NAME", help="Only of this family.")] = None,
    route: Annotated[str | None, typer.Option(metavar="NAME", help="Only over this route.")] = None,
    provider: Annotated[str | None, typer.Option(metavar="NAME", help="Only of this provider.")] = None,
    user: Annotated[str | None, typer.Option(metavar="NAME", help="Only of this user, as clients named them.")] = None,
    request: Annotated[
        str | None, typer.Option(metavar="ID", help="With --each: only the request of this id, ours or the client's.")
    ] = None,
    as_csv: CsvOption = False,
    as_json: JsonOption = False,
) -> None:
    """Add up what was used and what it cost, this month where no time is given; cost_usd is what the providers took."""
    one_format(as_csv, as_json)
    asked = {
        "key": key, "wallet": wallet, "model": model, "family": family, "route": route, "provider": provider, "user": user,
        "request": request,
    }  # fmt: skip
    named = {name: value for name, value in asked.items() if value is not None}
    query = span(since, until, day, month, timezone) | named
    if each:
        return _list(config, limit or None, query, as_csv, as_json)
    answer = ask(config, "GET", "usage", by=by, **query)
    columns = (*answer["by"], *COLUMNS)
    if as_json:
        print_json(answer)
    elif as_csv:
        csv_writer(columns)(answer["rows"])
    else:
        print_rows(columns, answer["rows"], rare=RARE)


def _list(config: Any, limit: int | None, query: dict[str, str], as_csv: bool, as_json: bool) -> None:
    if as_csv:
        write = csv_writer(REQUEST_COLUMNS)
        return ask_pages(config, "usage/requests", limit, PAGE, query, lambda page: write(page["requests"]))
    pages: list[Any] = []
    ask_pages(config, "usage/requests", limit, PAGE, query, pages.append)
    requests = [request for page in pages for request in page["requests"]]
    if as_json:
        print_json({name: pages[0][name] for name in ("since", "until", "timezone")} | {"requests": requests})
    else:
        print_rows(ON_A_SCREEN, requests)
