"""/admin/v1/ledger/entries and exposure: the query's words → which entries; entries → JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, StrictStr

from proxy.errors import BadRequest
from proxy.jsontext import JsonError, loads
from proxy.knownnames import no_such
from proxy.money import nano_to_usd
from proxy.spanquery import SPAN, check_names, iso_ms, read_number, read_span
from proxy.storage.entries import Entry, Wanted
from proxy.storage.exposures import OpenExposure, Reconciled
from proxy.storage.tables import ENTRY_KINDS
from proxy.walletforms import NanoUsd, Told

UNNAMED, NAMED = ("operator", "external", "provider"), ("wallet", "key", "provider")
"""Accounts: those there are one of, and those that have a colon and a name. `provider`: a crash left no trace of which."""
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
    since_ns, until_ns, _ = read_open_span(given, now_s)
    account, kind = given.get("account", ""), given.get("kind", "")
    if kind and kind not in ENTRY_KINDS:
        raise BadRequest(no_such("kind of entry", kind, ENTRY_KINDS), param="kind")
    what, colon, name = account.partition(":")
    if account and not (name and what in NAMED if colon else what in UNNAMED):
        told = "An account is operator, external or provider, or wallet, key or provider with a name, such as wallet:team-a"
        raise BadRequest(f"{told}, not {account[:64]!r}.", param="account")
    wanted = Wanted(since_ns=since_ns, until_ns=until_ns, account=account, kind=kind)
    return EntriesQuery(wanted, read_number(given, "limit", PAGE, 1, PAGE), read_number(given, "after", 0, 0, 10**18 - 1))


def read_open_span(given: Mapping[str, str], now_s: int) -> tuple[int, int, str]:
    """(since_ns, until_ns, timezone), an end that is left out being open. Raises: BadRequest."""
    span, spanned = read_span(given, now_s), given.keys() & {"day", "month"}
    since_ns, until_ns = span.ns
    return (
        since_ns if spanned or "since" in given else Wanted().since_ns,
        until_ns if spanned or "until" in given else Wanted().until_ns,
        span.timezone,
    )


@dataclass(frozen=True, slots=True)
class ExposureQuery:
    """Which exposure."""

    since_ns: int
    until_ns: int
    timezone: str
    provider: str | None


def exposure_query(given: Mapping[str, str], now_s: int) -> ExposureQuery:
    """Left out: all there is. given: a span as `read_span` takes it, and provider. Raises: BadRequest."""
    check_names(given, (*SPAN, "provider"))
    return ExposureQuery(*read_open_span(given, now_s), given.get("provider"))


class ReconcileForm(BaseModel):
    """POST of a reconciliation."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    provider: StrictStr
    """"" for what a crash left no provider of."""
    billed_usd: NanoUsd
    """What the provider's bill has of it."""
    reason: Told
    """Kept with the entry."""
    actor: Told = "admin"
    """Who does it; kept with the entry."""
    since: StrictStr | None = None
    """Exposure from this day or time on."""
    until: StrictStr | None = None
    """Exposure until before this day or time."""
    day: StrictStr | None = None
    """Exposure of this day alone."""
    month: StrictStr | None = None
    """Exposure of this month alone."""
    timezone: StrictStr = "UTC"
    """Whose days they are."""

    def query(self, now_s: int) -> ExposureQuery:
        """Raises: BadRequest."""
        if self.billed_usd < 0:
            raise BadRequest("What was billed is 0 or more.", param="billed_usd")
        given = {name: value for name in SPAN if (value := getattr(self, name)) is not None}
        return exposure_query({**given, "provider": self.provider}, now_s)


def exposure_body(open_ones: Sequence[OpenExposure]) -> dict[str, Any]:
    """{"exposure": [{"day", "provider", "model", "requests", "amount_usd"}], "amount_usd": of all}."""
    return {
        "exposure": [
            {
                "day": one.day,
                "provider": one.provider,
                "model": one.model,
                "requests": one.requests,
                "amount_usd": nano_to_usd(one.amount_nanousd),
            }
            for one in open_ones
        ],
        "amount_usd": nano_to_usd(sum(one.amount_nanousd for one in open_ones)),
    }


def reconciled_body(done: Reconciled) -> dict[str, Any]:
    """{"requests", "billed_usd", "returned_usd"}."""
    return {
        "requests": done.requests,
        "billed_usd": nano_to_usd(done.billed_nanousd),
        "returned_usd": nano_to_usd(done.returned_nanousd),
    }


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
