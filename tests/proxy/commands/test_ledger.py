"""`paifang ledger …`: the books checked, and told entry by entry."""

from __future__ import annotations

import csv
import io
import json

import pytest

from tests.proxy.commands.stores import alter, expose, fill
from tests.proxy.conftest import Paifang

FLIPS = {
    "spending": "UPDATE spending SET posted = posted + 1 WHERE scope = 'key:ci'",
    "hold": "UPDATE hold SET posted = posted - 1",
    "hold_leg": "UPDATE hold_leg SET posted = 99",
    "entry": "UPDATE entry SET amount = amount + 1 WHERE kind = 'topup'",
    "usage_row": "UPDATE usage_row SET debit = debit + 1",
    "subject": "UPDATE subject SET provider = 'other' WHERE provider <> ''",
    "price": "UPDATE price SET stamp = '{'",
}


@pytest.fixture
def filled(paifang: Paifang) -> Paifang:
    """A credit and two requests."""
    paifang("wallet", "credit", "team", "5", "--reason", 'invoice, "7"', "--actor", "ann")
    fill({}, {"wallet": "team"})
    return paifang


def test_what_was_written_agrees(filled: Paifang) -> None:
    assert filled("ledger", "verify") == (0, "the ledger agrees with itself\n", "")
    assert json.loads(filled("ledger", "verify", "--json")[1]) == {"ok": True, "problems": []}


@pytest.mark.parametrize("table", FLIPS)
def test_one_flipped_value_is_bad_news(filled: Paifang, table: str) -> None:
    alter(FLIPS[table])
    status, out, err = filled("ledger", "verify")
    assert status == 1
    assert out
    assert "put a backup in the store's place" in err


def test_entries_as_lines_of_json(filled: Paifang) -> None:
    entries = [json.loads(line) for line in filled("ledger", "export")[1].splitlines()]
    assert [(entry["id"], entry["kind"], entry["debit"], entry["amount_usd"]) for entry in entries] == [
        (1, "topup", "external", "5.00"),
        (2, "charge", "key:ci", "0.0000001"),
        (3, "charge", "wallet:team", "0.0000001"),
    ]
    assert entries[1]["price"] == {"input": "0.02"}


def test_entries_as_csv(filled: Paifang) -> None:
    topup, *charges = csv.DictReader(io.StringIO(filled("ledger", "export", "--csv")[1]))
    assert (topup["actor"], topup["line"], topup["price"]) == ("ann", 'invoice, "7"', "")
    assert [charged["price"] for charged in charges] == ['{"input": "0.02"}'] * 2


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        (("--account", "wallet:team"), [1, 3]),
        (("--kind", "charge"), [2, 3]),
        (("--account", "provider:ark", "--kind", "topup"), []),
        (("--until", "2020-01-01"), []),
        (("--since", "2020-01-01"), [1, 2, 3]),
        (("--month", "2020-01"), []),
    ],
)
def test_ranges(filled: Paifang, arguments: tuple[str, ...], ids: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.commands.ledger.PAGE", 1)
    assert [json.loads(line)["id"] for line in filled("ledger", "export", *arguments)[1].splitlines()] == ids


def test_exposure_is_listed_and_reconciled(filled: Paifang) -> None:
    expose("ark", 250_000_000)
    expose("relay", 7)
    head, ark, relay = (line.split("\t") for line in filled("ledger", "reconcile")[1].splitlines())
    assert head == ["day", "provider", "model", "requests", "amount_usd"]
    assert (ark[1:], relay[1:]) == (["ark", "doubao-seed", "1", "0.25"], ["relay", "doubao-seed", "1", "0.000000007"])
    closing = ("ledger", "reconcile", "--provider", "ark", "--billed-usd", "0.1")
    assert filled(*closing)[0] == 2
    told = filled(*closing, "--reason", "bill 7", "--actor", "ann")
    assert told == (0, "1 request reconciled: 0.10 USD were billed, 0.15 USD were not\n", "")
    assert [row["provider"] for row in json.loads(filled("ledger", "reconcile", "--json")[1])["exposure"]] == ["relay"]
    entries = [json.loads(line) for line in filled("ledger", "export", "--kind", "reconciled")[1].splitlines()]
    assert [(entry["credit"], entry["amount_usd"], entry["actor"], entry["line"]) for entry in entries] == [
        ("provider:ark", "0.10", "ann", "bill 7"),
        ("operator", "0.15", "ann", "bill 7"),
    ]
    assert filled("ledger", "verify")[0] == 0


def test_exposure_of_no_known_provider_is_closed_as_it_is_listed(filled: Paifang) -> None:
    expose("ark", 250_000_000)
    expose("", 250_000_000)
    listed = [line.split("\t")[1] for line in filled("ledger", "reconcile", "--provider", "-")[1].splitlines()]
    assert listed == ["provider", "-"]
    closing = ("ledger", "reconcile", "--provider", "-", "--billed-usd", "0.1", "--reason", "bill 7")
    assert filled(*closing)[1] == "1 request reconciled: 0.10 USD were billed, 0.15 USD were not\n"
    entries = [json.loads(line) for line in filled("ledger", "export", "--account", "provider")[1].splitlines()]
    assert [(entry["debit"], entry["credit"], entry["amount_usd"]) for entry in entries] == [("exposure", "provider", "0.10")]
    assert filled("ledger", "verify")[0] == 0


def test_either_format(filled: Paifang) -> None:
    assert filled("ledger", "export", "--csv", "--json")[0] == 2
