"""The command line: one file a duty. `application` puts them together, with what plugins add."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Annotated, Any

import typer

from proxy.commands import chat, check, doctor, explain, init, keys, ledger, lists, models, serve, tail, usage, wallet

NAMES = frozenset(
    {"init", "serve", "check", "schema", "doctor", "keys", "wallet", "models", "routes", "explain", "plugins", "usage"}
    | {"ledger", "chat", "tail", "db"}
)
"""Commands that are there without any plugin."""


def application(of_plugins: Mapping[str, Callable[..., Any]]) -> typer.Typer:
    """of_plugins: {command: function} that plugins registered."""
    app = typer.Typer(
        name="paifang",
        help="A gateway to Doubao and the other Chinese model families, in OpenAI's shape, with budgets that hold.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for module in (init, serve, check, keys, wallet, models, lists, explain, usage, ledger, chat, tail, doctor):
        module.add_to(app)
    for name, function in of_plugins.items():
        app.command(name)(function)
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"paifang {version('paifang')}")
        raise typer.Exit


def _options(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass
