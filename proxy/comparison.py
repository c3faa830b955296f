"""The catalogue as rows to choose from: filtered, sorted, with prices in USD where an exchange rate is known. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from proxy.catalogue import Catalogue, CatalogueModel, CataloguePrice
from proxy.configtypes import did_you_mean
from proxy.pricing import ExchangeRate

Row = Mapping[str, Any]
"""{column: text, int, Decimal, date, list or None}."""
ZERO, ONE = Decimal(0), Decimal(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a row must be. Empty and None: anything. A row that does not say is not what is wanted."""

    families: Sequence[str] = ()
    statuses: Sequence[str] = ()
    modalities: Sequence[str] = ()
    min_context_tokens: int | None = None
    max_input_usd: Decimal | None = None
    max_output_usd: Decimal | None = None
    """Per 1M tokens."""

    def takes(self, row: Row) -> bool:
        return (
            (not self.families or row["family"] in self.families)
            and (not self.statuses or row["status"] in self.statuses)
            and set(self.modalities) <= set(row["modalities"] if self.modalities else ())
            and _at_least(row["context_tokens"], self.min_context_tokens)
            and _at_most(row["input_usd"], self.max_input_usd)
            and _at_most(row["output_usd"], self.max_output_usd)
        )


def model_rows(catalogue: Catalogue, rates: Mapping[str, ExchangeRate]) -> list[Row]:
    """A row for each model; input_usd and output_usd are what the shortest request costs."""
    return [_model_row(name, model, rates) for name, model in catalogue.models.items()]


def family_rows(catalogue: Catalogue) -> list[Row]:
    """A row for each family."""
    return [
        {
            "family": name,
            "name": row.name,
            "context_tokens": row.context_k * 1000,
            "input_usd": row.input_usd,
            "output_usd": row.output_usd,
            "reasoning": row.reasoning,
            "coding": row.coding,
            "best_for": row.best_for,
        }
        for name, row in catalogue.families.items()
    ]


def ordered(rows: Iterable[Row], column: str, reverse: bool) -> list[Row]:
    """By a column; rows that don't say come last, either way."""
    said, silent = list[Row](), list[Row]()
    for row in rows:
        (silent if row[column] is None else said).append(row)
    return sorted(said, key=lambda row: _key(row[column]), reverse=reverse) + silent


def column_of(columns: Sequence[str], word: str) -> str:
    """The column that is called so, or begins so. Raises: ValueError."""
    found = [column for column in columns if column == word] or [column for column in columns if column.startswith(word)]
    if len(found) != 1:
        raise ValueError(unknown("column", word, columns))
    return found[0]


def unknown(kind: str, word: str, known: Sequence[str]) -> str:
    """The message about a name that is none: with the nearest one, or with all."""
    return f"there is no {kind} {word!r}{did_you_mean(word, known) or ': ' + ', '.join(known)}"


def plain(amount: Decimal) -> str:
    """Decimal text with two decimals or more."""
    whole, _, rest = f"{amount.normalize():f}".partition(".")
    return f"{whole}.{rest:0<2}"


def _model_row(name: str, model: CatalogueModel, rates: Mapping[str, ExchangeRate]) -> Row:
    price = model.price
    usd = None if price is None else _usd(price.currency, rates)
    of_input, of_output = (None, None) if price is None or usd is None else (side[0] * usd for side in _sides(price))
    return {
        "model": name,
        "family": model.family,
        "status": model.status,
        "ends": model.ends,
        "context_tokens": model.context_tokens,
        "max_output_tokens": model.max_output_tokens,
        "modalities": list(model.modalities),
        "price": None if price is None else _price_line(price),
        "input_usd": of_input,
        "output_usd": of_output,
        "price_date": None if price is None else price.date,
        "source": None if price is None else price.source,
        "note": model.note,
    }


def _usd(currency: str, rates: Mapping[str, ExchangeRate]) -> Decimal | None:
    if currency == "USD":
        return ONE
    return rates[currency].usd if currency in rates else None


def _sides(price: CataloguePrice) -> tuple[list[Decimal], list[Decimal]]:
    """Rates of input and of output, of the shortest requests first."""
    rates = price.tiers or (price,)
    return [rate.input or ZERO for rate in rates], [rate.output or ZERO for rate in rates]


def _price_line(price: CataloguePrice) -> str:
    """ "CNY 0.60–1.80 in, 3.60–10.80 out": per 1M tokens, from the cheapest tier to the dearest."""
    sides = _sides(price)
    if not any(rate for side in sides for rate in side):
        return "free"
    of_input, of_output = ("–".join(map(plain, sorted({min(side), max(side)}))) for side in sides)
    return f"{price.currency} {of_input} in, {of_output} out"


def _at_least(value: int | None, least: int | None) -> bool:
    return least is None or (value is not None and value >= least)


def _at_most(value: Decimal | None, most: Decimal | None) -> bool:
    return most is None or (value is not None and value <= most)


def _key(value: Any) -> Any:
    return value.casefold() if isinstance(value, str) else value
