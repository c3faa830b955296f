"""The catalogue's rows: what stands in them, which are wanted, in what order."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from proxy.catalogue import Catalogue
from proxy.comparison import Wanted, column_of, family_rows, model_rows, ordered, plain, unknown
from proxy.configsections import ExchangeRateConfig

DAY = date(2026, 11, 20)
SAID = {"date": DAY, "source": "a price list"}
TIERS = [
    {"up_to_input_tokens": 32_000, "input": Decimal("0.6"), "output": Decimal("3.6")},
    {"input": Decimal("1.8"), "output": Decimal("10.8")},
]
CATALOGUE = Catalogue.model_validate(
    {
        "models": {
            "a": {"family": "f", "status": "live", "context_tokens": 1000, "price": {"input": 3, "output": 15, **SAID}},
            "b": {"family": "f", "status": "live", "price": {"currency": "CNY", "tiers": TIERS, **SAID}},
            "c": {"family": "g", "status": "retiring", "ends": DAY, "modalities": ["text", "image"], "context_tokens": 2000},
            "d": {"family": "g", "status": "preview", "price": {"input": 0, "output": 0, **SAID}},
        },
        "families": {
            "f": {"name": "F", "context_k": 128, "input_usd": 1, "output_usd": 2, "reasoning": 5, "coding": 4, "best_for": "x"}
        },
    }
)
ROWS = model_rows(CATALOGUE, {"CNY": ExchangeRateConfig(usd=Decimal("0.14"), date=DAY)})


def names(rows: Any) -> str:
    return "".join(row["model"] for row in rows)


def test_a_row() -> None:
    assert ROWS[1] == {
        "model": "b", "family": "f", "status": "live", "ends": None, "context_tokens": None, "max_output_tokens": None,
        "modalities": ["text"], "price": "CNY 0.60–1.80 in, 3.60–10.80 out", "input_usd": Decimal("0.084"),
        "output_usd": Decimal("0.504"), "price_date": DAY, "source": "a price list", "note": None,
    }  # fmt: skip


def test_prices() -> None:
    assert [row["price"] for row in ROWS] == ["USD 3.00 in, 15.00 out", "CNY 0.60–1.80 in, 3.60–10.80 out", None, "free"]
    assert [row["input_usd"] for row in model_rows(CATALOGUE, {})] == [3, None, None, 0]


def test_a_family() -> None:
    assert family_rows(CATALOGUE) == [
        {
            "family": "f", "name": "F", "context_tokens": 128_000, "input_usd": 1, "output_usd": 2, "reasoning": 5, "coding": 4,
            "best_for": "x",
        }
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "taken"),
    [
        (Wanted(), "abcd"),
        (Wanted(families=["g"]), "cd"),
        (Wanted(families=["f", "g"], statuses=["live", "preview"]), "abd"),
        (Wanted(modalities=["text"]), "abcd"),
        (Wanted(modalities=["text", "image"]), "c"),
        (Wanted(min_context_tokens=1000), "ac"),
        (Wanted(min_context_tokens=1001), "c"),
        (Wanted(max_input_usd=Decimal("0.084")), "bd"),
        (Wanted(max_input_usd=Decimal("0.083")), "d"),
        (Wanted(max_output_usd=Decimal(15), statuses=["live"]), "ab"),
    ],
)
def test_what_is_wanted(wanted: Wanted, taken: str) -> None:
    assert names(filter(wanted.takes, ROWS)) == taken


@pytest.mark.parametrize(
    ("column", "reverse", "order"),
    [("input_usd", False, "dbac"), ("input_usd", True, "abdc"), ("ends", False, "cabd"), ("modalities", True, "cabd")],
)
def test_rows_that_do_not_say_come_last(column: str, reverse: bool, order: str) -> None:
    assert names(ordered(ROWS, column, reverse)) == order


def test_words_for_columns() -> None:
    columns = ["price", "price_date", "input_usd", "note"]
    assert [column_of(columns, word) for word in ("price", "input", "note")] == ["price", "input_usd", "note"]
    for word in ("pri", "x"):
        with pytest.raises(ValueError, match=f"there is no column '{word}'"):
            column_of(columns, word)
    assert unknown("family", "qwenn", ["qwen", "yi"]) == "there is no family 'qwenn': did you mean \"qwen\"?"
    assert unknown("family", "zzz", ["qwen", "yi"]) == "there is no family 'zzz': qwen, yi"


def test_amounts() -> None:
    amounts = ("3", "0.5", "100", "0.008436", "1.500")
    assert [plain(Decimal(text)) for text in amounts] == ["3.00", "0.50", "100.00", "0.008436", "1.50"]
