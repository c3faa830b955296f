"""Days and months as spans of Unix seconds, in any time zone.

A day begins at its local midnight. Where a clock change skips midnight the day begins at the change, where one repeats it at
the first; so days have 23, 24 or 25 hours, and each second belongs to exactly one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

Span = tuple[int, int]
"""Unix seconds: the first, and the one after the last."""
LIFETIME: Span = (0, 253_402_300_800)
"""All the time there is, up to the year 10000: the window of a wallet."""


class Calendar:
    """Answers from memory for the zones it has loaded; "UTC" is always there."""

    def __init__(self) -> None:
        self._zones: dict[str, tzinfo] = {"UTC": UTC}
        self._days: dict[str, Span] = {}
        self._months: dict[str, Span] = {}

    async def load(self, zone: str) -> None:
        """Make a zone known, off the event loop: its rules are read from a file. Raises: ZoneInfoNotFoundError."""
        if zone not in self._zones:
            self._zones[zone] = await asyncio.to_thread(ZoneInfo, zone)

    def day(self, now_s: int, zone: str = "UTC") -> Span:
        """The day of this moment."""
        return self._span(self._days, now_s, zone, day_of)

    def month(self, now_s: int, zone: str = "UTC") -> Span:
        """The calendar month of this moment."""
        return self._span(self._months, now_s, zone, month_of)

    def date(self, moment_s: int, zone: str = "UTC") -> date:
        """The local date of this moment."""
        return datetime.fromtimestamp(moment_s, self._zones[zone]).date()

    def _span(self, known: dict[str, Span], now_s: int, zone: str, find: Callable[[int, tzinfo], Span]) -> Span:
        span = known.get(zone)
        if span is None or not span[0] <= now_s < span[1]:
            span = known[zone] = find(now_s, self._zones[zone])
        return span


def day_of(now_s: int, zone: tzinfo) -> Span:
    """The local day that a moment falls into."""
    return _tile(now_s, datetime.fromtimestamp(now_s, zone).date(), zone, _day_after, _day_before)


def month_of(now_s: int, zone: tzinfo) -> Span:
    """The local calendar month that a moment falls into."""
    first = datetime.fromtimestamp(now_s, zone).date().replace(day=1)
    return _tile(now_s, first, zone, _month_after, _month_before)


def _tile(now_s: int, first: date, zone: tzinfo, after: Callable[[date], date], before: Callable[[date], date]) -> Span:
    """The span between two beginnings around now. Clocks that go back over midnight repeat the end of a day that is over."""
    while _begin(first, zone) > now_s:
        first = before(first)
    while _begin(after(first), zone) <= now_s:
        first = after(first)
    return _begin(first, zone), _begin(after(first), zone)


def _begin(day: date, zone: tzinfo) -> int:
    """Local midnight; fold 0 is the first of two, and the moment of the change where there is none (PEP 495)."""
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp())


def _day_after(day: date) -> date:
    return day + timedelta(days=1)


def _day_before(day: date) -> date:
    return day - timedelta(days=1)


def _month_after(first: date) -> date:
    return (first + timedelta(days=31)).replace(day=1)


def _month_before(first: date) -> date:
    return (first - timedelta(days=1)).replace(day=1)
