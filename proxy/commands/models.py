"""`paifang models`: those of gateway.yaml, those of the catalogue, and the families compared."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from proxy.commands.shared import CONFIG, ConfigOption, JsonOption, ask, print_json
from proxy.commands.tables import print_rows

if TYPE_CHECKING:
    from proxy.catalogue import Catalogue, CatalogueModel
    from proxy.comparison import Row, Wanted
    from proxy.pricing import ExchangeRate

CONFIGURED = ("name", "family", "aliases", "context_tokens", "max_output_tokens", "price", "routes", "fallbacks")
CATALOGUE = ("model", "family", "status", "ends", "context_tokens", "max_output_tokens", "modalities", "price", "price_date")
THROUGH_A_PIPE = ("input_usd", "output_usd", "source", "note")
"""Columns that a terminal has no room for."""
FAMILIES = ("family", "name", "context", "input_usd", "output_usd", "reasoning", "coding", "best_for")


def add_to(app: typer.Typer) -> None:
    app.command("models", epilog="Example: paifang models --catalogue --family qwen --sort input_usd")(_models)


def _usd(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal(-1)
    if not (amount.is_finite() and amount >= 0):
        raise typer.BadParameter(f"{text!r} is not an amount of USD such as 0.50")
    return amount


def _models(
    config: ConfigOption = CONFIG,
    catalogue: Annotated[
        bool, typer.Option("--catalogue", help="The models that `preset:` knows, with their vendors' prices.")
    ] = False,
    families: Annotated[bool, typer.Option("--families", help="The families, compared by figures to choose by.")] = False,
    family: Annotated[list[str] | None, typer.Option(help="Only this family; may be repeated.")] = None,
    status: Annotated[
        list[str] | None, typer.Option(help="Only live, preview, retiring, retired or unverified; may be repeated.")
    ] = None,
    modality: Annotated[
        list[str] | None, typer.Option(help="Only what takes text, image, audio or video; may be repeated.")
    ] = None,
    min_context: Annotated[int | None, typer.Option(min=1, help="Only contexts of so many tokens or more.")] = None,
    max_input: Annotated[
        Decimal | None, typer.Option(parser=_usd, metavar="USD", help="Only where 1M tokens of input cost so much or less.")
    ] = None,
    max_output: Annotated[
        Decimal | None, typer.Option(parser=_usd, metavar="USD", help="Only where 1M tokens of output cost so much or less.")
    ] = None,
    sort: Annotated[str | None, typer.Option(metavar="COLUMN", help="Order by this column.")] = None,
    reverse: Annotated[bool, typer.Option("--reverse", help="The other way round.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the models that clients may ask for, with their prices and the routes that serve them now.

    With --catalogue those that `preset:` knows, with --families the families; both can be filtered and sorted.
    """
    narrowing = (family, status, modality, min_context, max_input, max_output, sort, reverse)
    if catalogue and families:
        raise typer.BadParameter("give --catalogue or --families, not both")
    if not (catalogue or families):
        if any(value not in (None, False, []) for value in narrowing):
            raise typer.BadParameter("filters and --sort go with --catalogue or --families")
        return _configured(config, as_json)
    if families and (status or modality):
        raise typer.BadParameter("--status and --modality go with --catalogue")
    from proxy.catalogue import Modality, Status
    from proxy.catalogue import catalogue as the_catalogue
    from proxy.comparison import Wanted

    known = the_catalogue()
    _check_known("family", family, list(known.families))
    _check_known("status", status, get_args(Status))
    _check_known("modality", modality, get_args(Modality))
    wanted = Wanted(
        families=family or (),
        statuses=status or (),
        modalities=modality or (),
        min_context_tokens=min_context,
        max_input_usd=max_input,
        max_output_usd=max_output,
    )
    if families:
        return _families(known, wanted, sort, reverse, as_json)
    _catalogue(known, config, wanted, sort, reverse, as_json)


def _check_known(kind: str, words: Sequence[str] | None, known: Sequence[str]) -> None:
    from proxy.comparison import unknown

    for word in words or ():
        if word not in known:
            raise typer.BadParameter(unknown(kind, word, known), param_hint=f"--{kind}")


def _configured(config: Path, as_json: bool) -> None:
    answer = ask(config, "GET", "models")
    if as_json:
        return print_json(answer)
    print_rows(CONFIGURED, answer["models"])


def _catalogue(known: Catalogue, config: Path, wanted: Wanted, sort: str | None, reverse: bool, as_json: bool) -> None:
    from proxy.comparison import model_rows
    from proxy.errors import ConfigError

    try:
        rates: Mapping[str, ExchangeRate] = _exchange_rates(config)
        lack = f"{config} has no exchange rate"
    except ConfigError:
        rates, lack = {}, f"{config} can't be read (`paifang check` says why), so there is no exchange rate"
    rows = _chosen(model_rows(known, rates), wanted, sort, reverse)
    of_family = [model for model in known.models.values() if not wanted.families or model.family in wanted.families]
    if lacking := {model.price.currency for model in of_family if model.price} - {"USD", *rates}:
        typer.echo(f"not compared in USD, as {lack}: {', '.join(sorted(lacking))}", err=True)
    if as_json:
        return print_json({"catalogue": [{**_texts(row), "pricing": _pricing(known.models[row["model"]])} for row in rows]})
    print_rows(CATALOGUE if sys.stdout.isatty() else CATALOGUE + THROUGH_A_PIPE, map(_texts, rows))


def _families(known: Catalogue, wanted: Wanted, sort: str | None, reverse: bool, as_json: bool) -> None:
    from proxy.comparison import family_rows

    rows = _chosen(family_rows(known), wanted, sort, reverse)
    if as_json:
        return print_json({"families": [_texts(row) for row in rows]})
    print_rows(FAMILIES, [{**_texts(row), "context": f"{row['context_tokens'] // 1000}K"} for row in rows])


def _chosen(rows: Sequence[Row], wanted: Wanted, sort: str | None, reverse: bool) -> list[Row]:
    from proxy.comparison import column_of, ordered

    try:
        column = None if sort is None else column_of(list(rows[0]), sort)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--sort") from None
    chosen = [row for row in rows if wanted.takes(row)]
    if column is None:
        return chosen[::-1] if reverse else chosen
    return ordered(chosen, column, reverse)


def _texts(row: Row) -> dict[str, Any]:
    """The row with amounts and days as text."""
    from proxy.comparison import plain

    def text(value: Any) -> Any:
        if isinstance(value, Decimal):
            return plain(value)
        return value if value is None or isinstance(value, (int, str, list)) else str(value)

    return {column: text(value) for column, value in row.items()}


def _pricing(model: CatalogueModel) -> dict[str, Any] | None:
    """Every rate as data, amounts and days as text."""
    return None if model.price is None else model.price.model_dump(mode="json", exclude_unset=True)


def _exchange_rates(config: Path) -> Mapping[str, ExchangeRate]:
    """Those of the file; none while there is no file: the catalogue is also for writing one. Raises: ConfigError."""
    from proxy.boot import load

    return load(config, os.environ).config.exchange_rates if config.exists() else {}
