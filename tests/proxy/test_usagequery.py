"""The words of a usage query → what to add up or to list."""

from __future__ import annotations

import pytest

from proxy.errors import BadRequest
from proxy.spanquery import Span
from proxy.storage.reports import UsageSums
from proxy.usagequery import RequestsQuery, UsageQuery, requests_query, usage_body, usage_query

NOW_S = 1_795_326_000  # 2026-11-22 05:40 UTC
NOVEMBER = Span(1_793_491_200, 1_796_083_200, "UTC")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, UsageQuery(("key", "model"), NOVEMBER)),
        ({"by": "day, key,day"}, UsageQuery(("day", "key"), NOVEMBER)),
        ({"by": "user", "key": "ci", "user": ""}, UsageQuery(("user",), NOVEMBER, {"key": "ci", "user": ""})),
    ],
)
def test_what_to_add_up(given: dict[str, str], expected: UsageQuery) -> None:
    assert usage_query(given, NOW_S) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, RequestsQuery(NOVEMBER, {}, 50)),
        ({"request": "req_1", "limit": "1000"}, RequestsQuery(NOVEMBER, {"request": "req_1"}, 1000)),
        ({"after": "17-req_1-2"}, RequestsQuery(NOVEMBER, {}, 50, (17, "req_1-2"))),
    ],
)
def test_what_to_list(given: dict[str, str], expected: RequestsQuery) -> None:
    assert requests_query(given, NOW_S) == expected


@pytest.mark.parametrize(
    ("given", "param"),
    [({"by": ""}, "by"), ({"by": "key,secret"}, "by"), ({"limit": "3"}, "limit"), ({"request": "x"}, "request")],
)
def test_what_is_wrong_with_sums_is_named(given: dict[str, str], param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        usage_query(given, NOW_S)
    assert refused.value.param == param


@pytest.mark.parametrize(
    ("given", "param"),
    [({"by": "key"}, "by"), ({"limit": "0"}, "limit"), ({"limit": "1001"}, "limit"), ({"limit": "-1"}, "limit"),
     ({"after": "x"}, "after"), ({"after": "9223372036854775808-a"}, "after")],
)  # fmt: skip
def test_what_is_wrong_with_a_list_is_named(given: dict[str, str], param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        requests_query(given, NOW_S)
    assert refused.value.param == param


def test_amounts_are_decimal_text_and_an_unknown_cost_is_none() -> None:
    known = UsageSums(group={"key": "a"}, requests=2, debit_nanousd=1_500_000_000, cost_nanousd=1, uncosted=1)
    unknown = UsageSums(group={"key": "b"}, requests=2, uncosted=2)
    rows = usage_body(UsageQuery(("key",), NOVEMBER), [known, unknown])["rows"]
    assert [(row["key"], row["debit_usd"], row["cost_usd"]) for row in rows] == [
        ("a", "1.50", "0.000000001"),
        ("b", "0.00", None),
    ]
