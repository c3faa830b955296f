"""GET /admin/v1/usage and /usage/requests: the query's words → what to add up or to list; the answers → JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from proxy.errors import BadRequest
from proxy.money import nano_to_usd
from proxy.spanquery import SPAN, Span, check_names, iso, iso_ms, read_number, read_span
from proxy.storage.reports import GROUPS, UsageSums
from proxy.storage.requestlog import FILTERS, LoggedRequest, Place

SUM_FILTERS = tuple(name for name in FILTERS if name in GROUPS)
COUNTS = ("requests", "estimated", "input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens")
PAGE = 1_000
"""The most requests in one answer."""


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """What to add up."""

    by: tuple[str, ...]
    span: Span
    where: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RequestsQuery:
    """What to list."""

    span: Span
    where: Mapping[str, str]
    limit: int
    before: Place | None = None


def usage_query(given: Mapping[str, str], now_s: int) -> UsageQuery:
    """Left out: this month so far, by key and model, in UTC.

    given: by "key,model", a span as `read_span` takes it, and any of SUM_FILTERS. Raises: BadRequest.
    """
    check_names(given, ("by", *SPAN, *SUM_FILTERS))
    by = tuple(dict.fromkeys(name.strip() for name in given.get("by", "key,model").split(",")))
    if unknown := [name for name in by if name not in GROUPS]:
        raise BadRequest(f"Usage is added up by {', '.join(GROUPS)}, not by {unknown[0][:64]!r}.", param="by")
    return UsageQuery(by, read_span(given, now_s), _filters(given, SUM_FILTERS))


def requests_query(given: Mapping[str, str], now_s: int) -> RequestsQuery:
    """given: a span, any of FILTERS, limit, and `after`: the `next` of the page before. Raises: BadRequest."""
    check_names(given, (*SPAN, *FILTERS, "limit", "after"))
    limit = read_number(given, "limit", 50, 1, PAGE)
    return RequestsQuery(read_span(given, now_s), _filters(given, FILTERS), limit, _place(given.get("after")))


def usage_body(query: UsageQuery, sums: Sequence[UsageSums]) -> dict[str, Any]:
    """{"since", "until", "timezone", "by", "rows": [{group…, counts…, "debit_usd", "cost_usd", "uncosted"}]}."""
    return {**_span_body(query.span), "by": list(query.by), "rows": [_sums_body(row) for row in sums]}


def requests_body(query: RequestsQuery, requests: Sequence[LoggedRequest]) -> dict[str, Any]:
    """{"since", "until", "timezone", "requests": [{…}], "next": what `after` continues with, or null}."""
    last = requests[-1] if len(requests) == query.limit else None
    return {
        **_span_body(query.span),
        "requests": [_request_body(request) for request in requests],
        "next": None if last is None else f"{last.received_ns}-{last.request_id}",
    }


def _span_body(span: Span) -> dict[str, Any]:
    return {"since": iso(span.since_s), "until": iso(span.until_s), "timezone": span.timezone}


def _sums_body(sums: UsageSums) -> dict[str, Any]:
    return {
        **sums.group,
        **{name: getattr(sums, name) for name in COUNTS},
        "debit_usd": nano_to_usd(sums.debit_nanousd),
        "cost_usd": None if sums.uncosted == sums.requests else nano_to_usd(sums.cost_nanousd),
        "uncosted": sums.uncosted,
    }


def _request_body(request: LoggedRequest) -> dict[str, Any]:
    return {
        "received_at": iso_ms(request.received_ns),
        "request_id": request.request_id,
        "client_request_id": request.client_request_id,
        "key": request.key,
        "wallet": request.wallet,
        "user": request.user,
        "model": request.model,
        "family": request.family,
        "route": request.route,
        "provider": request.provider,
        "attempts": request.attempts,
        "input_tokens": request.input_tokens,
        "cached_input_tokens": request.cached_input_tokens,
        "output_tokens": request.output_tokens,
        "reasoning_tokens": request.reasoning_tokens,
        "estimated": request.estimated,
        "debit_usd": nano_to_usd(request.debit),
        "cost_usd": None if request.cost is None else nano_to_usd(request.cost),
        "price_line": request.price_line,
        "latency_ms": request.latency_ms,
        "first_token_ms": request.first_token_ms,
        "overhead_ms": request.overhead_ms,
        "status": request.status,
        "code": request.code,
        "end": request.ended,
        "stream": request.stream,
    }


def _filters(given: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    return {name: given[name] for name in names if name in given}


def _place(text: str | None) -> Place | None:
    if text is None:
        return None
    found = re.fullmatch(r"([0-9]{1,18}|[0-8][0-9]{18})-(.{1,256})", text)
    if found is None:
        raise BadRequest("after is the `next` of the page before.", param="after")
    return int(found[1]), found[2]
