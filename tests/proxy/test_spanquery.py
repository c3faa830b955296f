"""The words of a query about the past → a span of time."""

from __future__ import annotations

import pytest

from proxy.errors import BadRequest
from proxy.spanquery import Span, iso_ms, read_span

NOW_S = 1_795_326_000  # 2026-11-22 05:40 UTC
NOVEMBER = (1_793_491_200, 1_796_083_200)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, Span(*NOVEMBER, "UTC")),
        ({"month": "2026-12"}, Span(1_796_083_200, 1_798_761_600, "UTC")),
        ({"timezone": "Asia/Singapore"}, Span(*(second - 8 * 3600 for second in NOVEMBER), "Asia/Singapore")),
        ({"since": "2026-11-20", "until": "2026-11-20T12:00:00+08:00"}, Span(1_795_132_800, 1_795_147_200, "UTC")),
        ({"since": "2030-01-01"}, Span(1_893_456_000, 1_893_456_001, "UTC")),
        ({"day": "2026-11-20"}, Span(1_795_132_800, 1_795_219_200, "UTC")),
        # Clocks go back on this day, so that it has 25 hours.
        ({"day": "2026-11-01", "timezone": "America/New_York"}, Span(1_793_505_600, 1_793_595_600, "America/New_York")),
    ],
)
def test_the_span(given: dict[str, str], expected: Span) -> None:
    assert read_span(given, NOW_S) == expected


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"month": "2026-1"}, "month"),
        ({"month": "2026-11", "until": "2026-11-02"}, "month"),
        ({"month": "2026-11", "day": "2026-11-02"}, "day"),
        ({"day": "20261102"}, "day"),
        ({"day": "9999-12-31"}, "day"),
        ({"since": "yesterday"}, "since"),
        ({"until": "2026-02-30"}, "until"),
        ({"since": "2026-11-02", "until": "2026-11-02"}, "since"),
        ({"timezone": "../etc/passwd"}, "timezone"),
    ],
)
def test_what_is_wrong_is_named(given: dict[str, str], param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read_span(given, NOW_S)
    assert refused.value.param == param


def test_milliseconds_are_told() -> None:
    assert iso_ms(NOW_S * 10**9 + 1_234_567) == "2026-11-22T05:40:00.001Z"
