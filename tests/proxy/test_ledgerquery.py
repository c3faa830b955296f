"""The words of a query of the ledger → which entries; entries → JSON."""

from __future__ import annotations

import pytest

from proxy.errors import BadRequest
from proxy.ledgerquery import EntriesQuery, entries_body, entries_query, entry_body
from proxy.storage.entries import Entry, Wanted

NOW_S = 1_795_326_000
CHARGE = Entry(
    id=7, request_id="req_1", kind="charge", debit="wallet:a", credit="provider:ark", amount=1_500, price='{"input": "0.10"}',
    actor="", line="15 × $0.10/M", at_ns=NOW_S * 10**9,
)  # fmt: skip


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, EntriesQuery(Wanted(), 1000, 0)),
        ({"account": "wallet:a", "kind": "topup", "limit": "2", "after": "9"},
         EntriesQuery(Wanted(account="wallet:a", kind="topup"), 2, 9)),
        ({"since": "2026-11-20"}, EntriesQuery(Wanted(since_ns=1_795_132_800 * 10**9), 1000, 0)),
        ({"day": "2026-11-20"},
         EntriesQuery(Wanted(since_ns=1_795_132_800 * 10**9, until_ns=1_795_219_200 * 10**9), 1000, 0)),
    ],
)  # fmt: skip
def test_which_entries(given: dict[str, str], expected: EntriesQuery) -> None:
    assert entries_query(given, NOW_S) == expected


@pytest.mark.parametrize("given", [{"after": "x"}, {"limit": "0"}, {"colour": "red"}, {"month": "11"}])
def test_what_is_wrong_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(BadRequest):
        entries_query(given, NOW_S)


def test_an_entry_as_json() -> None:
    assert entry_body(CHARGE) == {
        "id": 7,
        "at": "2026-11-22T05:40:00.000Z",
        "kind": "charge",
        "operation": "req_1",
        "debit": "wallet:a",
        "credit": "provider:ark",
        "amount_usd": "0.0000015",
        "actor": "",
        "line": "15 × $0.10/M",
        "price": {"input": "0.10"},
    }


def test_a_full_page_has_a_next_one() -> None:
    assert entries_body(entries_query({"limit": "1"}, NOW_S), [CHARGE])["next"] == "7"
    assert entries_body(entries_query({"limit": "2"}, NOW_S), [CHARGE])["next"] is None
