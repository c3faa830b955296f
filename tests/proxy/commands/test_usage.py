"""`paifang usage`: sums and single requests, as a table, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from tests.proxy.commands.stores import NOVEMBER_22_S, fill
from tests.proxy.conftest import Paifang

NOVEMBER = ("--month", "2026-11")


@pytest.fixture
def three(paifang: Paifang) -> Paifang:
    """Three requests, an hour apart, the last of them on the next day in Singapore."""
    more: list[dict[str, Any]] = [
        {},
        {"wallet": "team", "user": "v"},
        {"key": "cd", "cost_nanousd": 40, "client_request_id": "mine"},
    ]
    fill(*({"received_ns": (NOVEMBER_22_S + (14 + hour) * 3600) * 10**9, **fields} for hour, fields in enumerate(more)))
    return paifang


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (("--by", "key"), ["cd\t1\t10\t0\t5\t0\t0\t0.0000001\t0.00000004", "ci\t2\t20\t0\t10\t0\t0\t0.0000002\t-"]),
        (("--by", "day,wallet", "--timezone", "Asia/Singapore"), [
            "2026-11-22\t-\t1\t10\t0\t5\t0\t0\t0.0000001\t-",
            "2026-11-22\tteam\t1\t10\t0\t5\t0\t0\t0.0000001\t-",
            "2026-11-23\t-\t1\t10\t0\t5\t0\t0\t0.0000001\t0.00000004",
        ]),
        (("--by", "route,user", "--key", "ci"), [
            "ark\tu\t1\t10\t0\t5\t0\t0\t0.0000001\t-", "ark\tv\t1\t10\t0\t5\t0\t0\t0.0000001\t-"]),
        (("--by", "family", "--day", "2026-11-22"), ["doubao\t3\t30\t0\t15\t0\t0\t0.0000003\t0.00000004"]),
        (("--by", "family", "--day", "2026-11-22", "--timezone", "Asia/Singapore"),
         ["doubao\t2\t20\t0\t10\t0\t0\t0.0000002\t-"]),
        (("--by", "model", "--since", "2026-11-22T15:00:00", "--until", "2026-11-22T16:00:00"),
         ["doubao-seed\t1\t10\t0\t5\t0\t0\t0.0000001\t-"]),
    ],
)  # fmt: skip
def test_sums(three: Paifang, arguments: tuple[str, ...], lines: list[str]) -> None:
    span = () if {"--day", "--since"} & set(arguments) else NOVEMBER
    status, out, _ = three("usage", *arguments, *span)
    assert (status, out.splitlines()[1:]) == (0, lines)


def test_each_request_newest_first(three: Paifang) -> None:
    header, *lines = three("usage", "--each", *NOVEMBER)[1].splitlines()
    assert header.split("\t")[:4] == ["received_at", "request_id", "key", "wallet"]
    assert [line.split("\t")[:4] for line in lines] == [
        ["2026-11-22T16:00:00.000Z", "req_2", "cd", "-"],
        ["2026-11-22T15:00:00.000Z", "req_1", "ci", "team"],
        ["2026-11-22T14:00:00.000Z", "req_0", "ci", "-"],
    ]


def test_each_request_as_json_and_csv_tells_everything(three: Paifang) -> None:
    answer = json.loads(three("usage", "--each", "--request", "mine", *NOVEMBER, "--json")[1])
    assert (answer["since"], answer["timezone"]) == ("2026-11-01T00:00:00Z", "UTC")
    (request,) = answer["requests"]
    assert (request["debit_usd"], request["cost_usd"], request["price_line"]) == ("0.0000001", "0.00000004", "5 × $0.02/M")
    (row,) = csv.DictReader(io.StringIO(three("usage", "--each", "--request", "req_2", *NOVEMBER, "--csv")[1]))
    assert row.keys() == request.keys()
    assert (row["client_request_id"], row["estimated"], row["first_token_ms"]) == ("mine", "false", "")


def test_a_limit_and_none(three: Paifang, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.commands.usage.PAGE", 2)
    for limit, expected in (("1", ["req_2"]), ("3", ["req_2", "req_1", "req_0"]), ("0", ["req_2", "req_1", "req_0"])):
        answer = json.loads(three("usage", "--each", "--limit", limit, *NOVEMBER, "--json")[1])
        assert [request["request_id"] for request in answer["requests"]] == expected


def test_names_of_requests_of_the_past_are_known(three: Paifang) -> None:
    for name, value in (("key", "cd"), ("model", "doubao-seed"), ("route", "ark"), ("provider", "ark"), ("user", "nobody")):
        assert three("usage", f"--{name}", value, "--day", "2020-01-01")[0] == 0
    assert three("usage", "--key", "ce")[2] == "--key: There is no key 'ce'; those there are: cd, ci.\n"


def test_nothing_is_a_header(paifang: Paifang) -> None:
    for arguments in (("--csv",), ("--each", "--csv"), ("--each",)):
        assert paifang("usage", *arguments)[1].count("\n") == 1
