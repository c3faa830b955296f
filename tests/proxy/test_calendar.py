"""Days and months of any zone: no second in two of them, none in none."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, available_timezones

import pytest

from proxy.calendar import Calendar, day_of, month_of

HOUR_S = 3600


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


@pytest.mark.parametrize(
    ("zone", "noon", "hours"),
    [
        ("UTC", "2026-11-22T12:00:00+00:00", 24),
        ("Asia/Shanghai", "2026-11-22T12:00:00+08:00", 24),
        ("America/New_York", "2026-03-08T12:00:00-04:00", 23),
        ("America/New_York", "2026-11-01T12:00:00-05:00", 25),
        ("America/Sao_Paulo", "2018-11-04T12:00:00-02:00", 23),  # its midnight does not exist
        ("America/Havana", "2026-11-01T12:00:00-05:00", 25),  # its midnight comes twice
    ],
)
def test_hours_of_a_day(zone: str, noon: str, hours: int) -> None:
    start, end = day_of(at(noon), ZoneInfo(zone))
    assert end - start == hours * HOUR_S
    assert start <= at(noon) < end


def test_a_day_that_a_zone_leaves_out() -> None:
    apia = ZoneInfo("Pacific/Apia")
    before = day_of(at("2011-12-29T12:00:00-10:00"), apia)
    after = day_of(at("2011-12-31T12:00:00+14:00"), apia)
    assert before[1] == after[0]


def test_a_clock_that_goes_back_over_midnight_repeats_the_end_of_a_day_that_is_over() -> None:
    """St. John's went from 00:01 back to 23:01 of the day before."""
    zone = ZoneInfo("America/St_Johns")
    midnight = at("2008-11-02T00:00:00-02:30")
    assert day_of(midnight + 30 * 60, zone) == day_of(midnight, zone)
    assert day_of(midnight - 1, zone)[1] == midnight


@pytest.mark.parametrize(
    ("now", "start", "end"),
    [
        ("2024-02-29T23:59:59+00:00", "2024-02-01T00:00:00+00:00", "2024-03-01T00:00:00+00:00"),
        ("2026-12-31T23:59:59+00:00", "2026-12-01T00:00:00+00:00", "2027-01-01T00:00:00+00:00"),
    ],
)
def test_months(now: str, start: str, end: str) -> None:
    assert month_of(at(now), UTC) == (at(start), at(end))


def _tiles(zone: ZoneInfo, first: int, last: int) -> None:
    for find in (day_of, month_of):
        start, end = find(first, zone)
        while end < last:
            assert find(end - 1, zone) == (start, end)
            assert find(end, zone)[0] == end
            start, end = find(end, zone)


def test_windows_tile_a_year_of_some_zones() -> None:
    zones = sorted(available_timezones() - {"Factory", "localtime"})[::40]
    for zone in (*zones, "America/St_Johns", "Asia/Tehran", "Africa/Cairo", "Asia/Beirut"):
        _tiles(ZoneInfo(zone), at("2010-06-01T00:00:00+00:00"), at("2011-06-01T00:00:00+00:00"))


@pytest.mark.long
@pytest.mark.timeout(900)
def test_windows_tile_forty_years_of_all_zones() -> None:
    for zone in sorted(available_timezones() - {"Factory", "localtime"}):
        _tiles(ZoneInfo(zone), at("2000-01-01T00:00:00+00:00"), at("2040-01-01T00:00:00+00:00"))


async def test_a_calendar_answers_from_memory_for_zones_it_has_loaded() -> None:
    calendar = Calendar()
    await calendar.load("Asia/Singapore")
    noon = at("2026-11-22T12:00:00+08:00")
    assert calendar.day(noon, "Asia/Singapore") == (noon - 12 * HOUR_S, noon + 12 * HOUR_S)
    assert calendar.day(noon + 12 * HOUR_S, "Asia/Singapore")[0] == noon + 12 * HOUR_S
    assert calendar.day(noon) == (noon - 4 * HOUR_S, noon + 20 * HOUR_S)
    assert calendar.date(noon, "Asia/Singapore").isoformat() == "2026-11-22"
    assert calendar.month(noon)[0] == at("2026-11-01T00:00:00+00:00")
