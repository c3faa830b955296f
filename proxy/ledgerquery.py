"""GET /admin/v1/ledger/entries: the query's words → which entries; entries → JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from proxy.jsontext import JsonError, loads
from proxy.money import nano_to_usd
from proxy.spanquery import SPAN, check_names, iso_ms, read_number, read_span
from proxy.storage.entries import Entry, Wanted

PAGE = 1_000
"""The most entries in one answer."""


@dataclass(frozen=True, slots=True)
class EntriesQuery:
    """Which entries, oldest first."""

    wanted: Wanted
    limit: int
    after_id: int


def entries_query(given: Mapping[str, str], now_s: int) -> EntriesQuery:
    """Left out: all there are.

    given: a span as `read_span` takes it, account "wallet:team-a", kind, limit, and `after`: the `next` of the page before.
    Raises: BadRequest.
    """
    check_names(given, (*SPAN, "account", "kind", "limit", "after"))
    since_ns, until_ns = read_span(given, now_s).ns
    spanned = given.keys() & {"day", "month"}
    wanted = Wanted(
        since_ns=since_ns if spanned or "since" in given else Wanted().since_ns,
        until_ns=until_ns if spanned or "until" in given else Wanted().until_ns,
        account=given.get("account", ""),
        kind=given.get("kind", ""),
    )
    return EntriesQuery(wanted, read_number(given, "limit", PAGE, 1, PAGE), read_number(given, "after", 0, 0, 10**18 - 1))


def entries_body(query: EntriesQuery, entries: Sequence[Entry]) -> dict[str, Any]:
    """{"entries": [{…}], "next": what `after` continues with, or null}."""
    more = len(entries) == query.limit
    return {"entries": [entry_body(entry) for entry in entries], "next": str(entries[-1].id) if more else None}


def entry_body(entry: Entry) -> dict[str, Any]:
    """{"id", "at", "kind", "operation", "debit", "credit", "amount_usd", "actor", "line", "price": {…} or null}."""
    return {
        "id": entry.id,
        "at": iso_ms(entry.at_ns),
        "kind": entry.kind,
        "operation": entry.request_id,
        "debit": entry.debit,
        "credit": entry.credit,
        "amount_usd": nano_to_usd(entry.amount),
        "actor": entry.actor,
        "line": entry.line,
        "price": _price(entry.price),
    }


def _price(text: str) -> Any:
    """As data; what is none is told as it stands, so that a damaged ledger can be exported too."""
    try:
        return loads(text.encode()) if text else None
    except JsonError:
        return text
