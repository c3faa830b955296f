"""The words of a query about the past → a span of time; what the admin API's lists share."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from proxy.errors import BadRequest
from proxy.keyforms import instant, zone

SPAN = ("since", "until", "day", "month", "timezone")
SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Span:
    """Unix seconds, the first and the one after the last, and whose days they are."""

    since_s: int
    until_s: int
    timezone: str

    @property
    def ns(self) -> tuple[int, int]:
        return self.since_s * SECOND_NS, self.until_s * SECOND_NS


def read_span(given: Mapping[str, str], now_s: int) -> Span:
    """Left out: this month so far.

    given: since and until (exclusive) as dates or times, or day "2026-11-20", or month "2026-11", and timezone. Reads the
    system's zone files. Raises: BadRequest.
    """
    timezone = zone(given.get("timezone", "UTC"))
    named = [name for name in ("day", "month") if name in given]
    if len(named) == 2 or (named and {"since", "until"} & given.keys()):
        raise BadRequest("Give a day, or a month, or since and until, not several of them.", param=named[0])
    if "day" in given:
        return Span(*_day(given["day"], timezone), timezone.key)
    start_s, end_s = _month(given.get("month") or datetime.fromtimestamp(now_s, timezone).strftime("%Y-%m"), timezone)
    since_s = instant(given["since"], timezone, "since") if "since" in given else start_s
    until_s = instant(given["until"], timezone, "until") if "until" in given else max(end_s, since_s + 1)
    if since_s >= until_s:
        raise BadRequest("since must be before until.", param="since")
    return Span(since_s, until_s, timezone.key)


def check_names(given: Iterable[str], known: Iterable[str]) -> None:
    """Raises: BadRequest: a parameter that is none of the known ones."""
    known = tuple(known)
    for name in given:
        if name not in known:
            raise BadRequest(f"There is no parameter {name[:64]!r}; there are {', '.join(known)}.", param=name[:64])


def read_number(given: Mapping[str, str], name: str, default: int, lowest: int, highest: int) -> int:
    """Raises: BadRequest."""
    text = given.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,18}", text) or not lowest <= int(text) <= highest:
        raise BadRequest(f"{name} is a whole number from {lowest} to {highest}, not {text[:64]!r}.", param=name)
    return int(text)


def iso(unix_s: int) -> str:
    """ "2026-11-20T00:00:00Z"."""
    return datetime.fromtimestamp(unix_s, UTC).isoformat().replace("+00:00", "Z")


def iso_ms(unix_ns: int) -> str:
    """ "2026-11-20T00:00:00.123Z"."""
    seconds, rest_ns = divmod(unix_ns, SECOND_NS)
    return f"{iso(seconds).removesuffix('Z')}.{rest_ns // 1_000_000:03}Z"


def _day(text: str, timezone: zoneinfo.ZoneInfo) -> tuple[int, int]:
    try:
        following = (date.fromisoformat(text) + timedelta(days=1)).isoformat()
        if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            raise ValueError
    except (ValueError, OverflowError):
        raise BadRequest(f"{text[:64]!r} is not a day such as 2026-11-20.", param="day") from None
    return instant(text, timezone, "day"), instant(following, timezone, "day")


def _month(text: str, timezone: zoneinfo.ZoneInfo) -> tuple[int, int]:
    if not re.fullmatch(r"[0-9]{4}-(0[1-9]|1[0-2])", text):
        raise BadRequest(f"{text[:64]!r} is not a month such as 2026-11.", param="month")
    year, month = int(text[:4]), int(text[5:])
    following = f"{year + month // 12:04}-{month % 12 + 1:02}"
    return instant(f"{text}-01", timezone, "month"), instant(f"{following}-01", timezone, "month")
