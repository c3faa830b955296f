"""The words of a usage query → a span of time and groups."""

from __future__ import annotations

import pytest

from proxy.errors import BadRequest
from proxy.storage.reports import UsageSums
from proxy.usagequery import UsageQuery, usage_body, usage_query

NOW_S = 1_795_326_000  # 2026-11-22 05:40 UTC
NOVEMBER = (1_793_491_200, 1_796_083_200)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, UsageQuery(("key", "model"), *NOVEMBER, "UTC")),
        ({"by": "day, key,day"}, UsageQuery(("day", "key"), *NOVEMBER, "UTC")),
        ({"month": "2026-12"}, UsageQuery(("key", "model"), 1_796_083_200, 1_798_761_600, "UTC")),
        (
            {"timezone": "Asia/Singapore"},
            UsageQuery(("key", "model"), *(second - 8 * 3600 for second in NOVEMBER), "Asia/Singapore"),
        ),
        (
            {"since": "2026-11-20", "until": "2026-11-20T12:00:00+08:00"},
            UsageQuery(("key", "model"), 1_795_132_800, 1_795_147_200, "UTC"),
        ),
        ({"since": "2030-01-01"}, UsageQuery(("key", "model"), 1_893_456_000, 1_893_456_001, "UTC")),
    ],
)
def test_the_span_and_the_groups(given: dict[str, str], expected: UsageQuery) -> None:
    assert usage_query(given, NOW_S) == expected


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"by": ""}, "by"),
        ({"by": "key,secret"}, "by"),
        ({"month": "2026-1"}, "month"),
        ({"month": "2026-11", "until": "2026-11-02"}, "month"),
        ({"since": "yesterday"}, "since"),
        ({"until": "2026-02-30"}, "until"),
        ({"since": "2026-11-02", "until": "2026-11-02"}, "since"),
        ({"timezone": "../etc/passwd"}, "timezone"),
        ({"limit": "3"}, "limit"),
    ],
)
def test_what_is_wrong_is_named(given: dict[str, str], param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        usage_query(given, NOW_S)
    assert refused.value.param == param


def test_amounts_are_decimal_text_and_an_unknown_cost_is_none() -> None:
    known = UsageSums(group={"key": "a"}, requests=2, debit_nanousd=1_500_000_000, cost_nanousd=1, uncosted=1)
    unknown = UsageSums(group={"key": "b"}, requests=2, uncosted=2)
    rows = usage_body(UsageQuery(("key",), *NOVEMBER, "UTC"), [known, unknown])["rows"]
    assert [(row["key"], row["debit_usd"], row["cost_usd"]) for row in rows] == [
        ("a", "1.50", "0.000000001"),
        ("b", "0.00", None),
    ]
