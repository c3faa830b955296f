"""GET /admin/v1/usage: the query's words → a span of time and groups; sums → JSON."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from proxy.errors import BadRequest
from proxy.keyforms import instant, zone
from proxy.money import nano_to_usd
from proxy.storage.reports import GROUPS, UsageSums

PARAMETERS = ("by", "since", "until", "month", "timezone")
SECOND_NS = 1_000_000_000
COUNTS = ("requests", "estimated", "input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens")


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """What to add up."""

    by: tuple[str, ...]
    since_s: int
    until_s: int
    """Exclusive."""
    timezone: str


def usage_query(given: Mapping[str, str], now_s: int) -> UsageQuery:
    """Left out: this month so far, by key and model, in UTC.

    given: by "key,model", since and until (exclusive) as dates or times, or month "2026-11", and timezone.
    Raises: BadRequest.
    """
    for name in given:
        if name not in PARAMETERS:
            raise BadRequest(f"There is no parameter {name[:64]!r}; there are {', '.join(PARAMETERS)}.", param=name[:64])
    timezone = zone(given.get("timezone", "UTC"))
    by = tuple(dict.fromkeys(name.strip() for name in given.get("by", "key,model").split(",")))
    if unknown := [name for name in by if name not in GROUPS]:
        raise BadRequest(f"Usage is added up by {', '.join(GROUPS)}, not by {unknown[0][:64]!r}.", param="by")
    month = datetime.fromtimestamp(now_s, timezone).strftime("%Y-%m")
    if "month" in given:
        if {"since", "until"} & given.keys():
            raise BadRequest("Give a month, or since and until, not both.", param="month")
        month = given["month"]
    start_s, end_s = _month(month, timezone)
    since_s = instant(given["since"], timezone, "since") if "since" in given else start_s
    until_s = instant(given["until"], timezone, "until") if "until" in given else max(end_s, since_s + 1)
    if since_s >= until_s:
        raise BadRequest("since must be before until.", param="since")
    return UsageQuery(by, since_s, until_s, timezone.key)


def usage_body(query: UsageQuery, sums: Sequence[UsageSums]) -> dict[str, Any]:
    """{"since", "until", "timezone", "by", "rows": [{group…, counts…, "debit_usd", "cost_usd", "uncosted"}]}."""
    return {
        "since": _iso(query.since_s),
        "until": _iso(query.until_s),
        "timezone": query.timezone,
        "by": list(query.by),
        "rows": [_row(row) for row in sums],
    }


def _row(sums: UsageSums) -> dict[str, Any]:
    return {
        **sums.group,
        **{name: getattr(sums, name) for name in COUNTS},
        "debit_usd": nano_to_usd(sums.debit_nanousd),
        "cost_usd": None if sums.uncosted == sums.requests else nano_to_usd(sums.cost_nanousd),
        "uncosted": sums.uncosted,
    }


def _month(text: str, timezone: zoneinfo.ZoneInfo) -> tuple[int, int]:
    if not re.fullmatch(r"[0-9]{4}-(0[1-9]|1[0-2])", text):
        raise BadRequest(f"{text[:64]!r} is not a month such as 2026-11.", param="month")
    year, month = int(text[:4]), int(text[5:])
    following = f"{year + month // 12:04}-{month % 12 + 1:02}"
    return instant(f"{text}-01", timezone, "month"), instant(f"{following}-01", timezone, "month")


def _iso(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).isoformat().replace("+00:00", "Z")
