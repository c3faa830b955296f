"""`paifang routes` and `plugins`: what gateway.yaml amounts to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer

from proxy.commands.shared import CONFIG, ConfigOption, JsonOption, ask, print_json, print_whether_running
from proxy.commands.tables import print_rows


def add_to(app: typer.Typer) -> None:
    app.command("routes", epilog="Example: paifang routes")(_routes)
    app.command("plugins", epilog="Example: paifang plugins")(_plugins)


def _routes(config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """List every route, whether it serves now and, if not, why and when it is tried again."""
    answer = ask(config, "GET", "routes")
    if as_json:
        return print_json(answer)
    columns = ("model", "route", "provider", "adapter", "upstream_model", "priority", "weight", "state", "reason", "next_try")
    print_rows(columns, [as_told(route) for route in answer["routes"]])
    print_whether_running(answer)


def as_told(route: Mapping[str, Any]) -> Mapping[str, Any]:
    """A route as people read it: one whose time is over is tried when a request comes, be it tomorrow."""
    return {**route, "next_try": "with its next request"} if route["state"] == "probing" else route


def _plugins(config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """List the plugins: those of the chain in their order, then those that are installed and off.

    A hook under switched_off took too long too often and is called no more, until the next reload.
    """
    answer = ask(config, "GET", "plugins")
    if as_json:
        return print_json(answer)
    print_rows(("name", "listed", "hooks", "switched_off"), answer["plugins"])
