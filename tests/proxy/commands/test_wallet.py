"""`paifang wallet …`: made, filled, corrected, shown."""

from __future__ import annotations

import getpass
import json

import pytest

from tests.proxy.commands.stores import fill
from tests.proxy.conftest import Paifang


def test_a_wallet_from_its_making_to_its_last_cent(paifang: Paifang) -> None:
    assert paifang("wallet", "create", "team-b")[0] == 0
    assert paifang("wallet", "credit", "team-b", "25.000000001", "--reason", "invoice 7", "--id", "inv-7")[:2] == (
        0,
        "wallet team-b has 25.000000001 USD (operation inv-7)\n",
    )
    fill({"wallet": "team-b"})
    status, out, _ = paifang("wallet", "adjust", "team-b", "-24", "--reason", "by mistake", "--actor", "ann", "--json")
    done = json.loads(out)
    assert (status, done["balance_usd"], done["amount_usd"]) == (0, "0.999999901", "-24.00")
    assert done["id"].startswith("op_")
    shown = json.loads(paifang("wallet", "show", "team-b", "--json")[1])
    assert [shown[name] for name in ("balance_usd", "held_usd", "available_usd", "funded_usd", "spent_usd")] == [
        "0.999999901", "0.00", "0.999999901", "1.000000001", "0.0000001",
    ]  # fmt: skip
    moves = [(entry["kind"], entry["debit"], entry["credit"], entry["amount_usd"]) for entry in shown["entries"]]
    assert moves == [
        ("adjust", "wallet:team-b", "external", "24.00"),
        ("charge", "wallet:team-b", "provider:ark", "0.0000001"),
        ("topup", "external", "wallet:team-b", "25.000000001"),
    ]
    told = [(entry["actor"], entry["line"]) for entry in shown["entries"]]
    assert told == [("ann", "by mistake"), ("", "5 × $0.02/M"), (getpass.getuser(), "invoice 7")]
    assert paifang("ledger", "verify")[0] == 0


def test_all_wallets_are_listed(paifang: Paifang) -> None:
    paifang("wallet", "create", "a")
    paifang("wallet", "credit", "team", "3", "--reason", "x")
    header, *lines = paifang("wallet", "show")[1].splitlines()
    assert header.startswith("name\tsource\tbalance_usd")
    assert lines == [
        "a\tstore\t0.00\t0.00\t0.00\t0.00\t0.00",
        "team\tgateway.yaml\t3.00\t0.00\t3.00\t3.00\t0.00",
    ]


def test_a_wallet_of_the_store_is_one_to_report_on_from_its_making(paifang: Paifang) -> None:
    paifang("wallet", "create", "team-b")
    exporting = ("ledger", "export", "--account", "wallet:team-b", "--kind", "topup")
    assert paifang(*exporting) == (0, "", "")
    assert paifang("usage", "--wallet", "team-b")[0] == 0
    paifang("wallet", "credit", "team-b", "3", "--reason", "x", "--id", "op")
    assert json.loads(paifang(*exporting)[1])["operation"] == "op"
    told = "--wallet: There is no wallet 'teamb': did you mean \"team-b\"?\n"
    assert paifang("usage", "--wallet", "teamb") == (2, "", told)


def test_an_operation_is_repeated_without_effect(paifang: Paifang) -> None:
    for _ in range(2):
        assert paifang("wallet", "credit", "team", "3", "--reason", "x", "--id", "op")[1].startswith("wallet team has 3.00")
    status, _, err = paifang("wallet", "credit", "team", "4", "--reason", "x", "--id", "op")
    assert (status, err) == (2, "--id: The operation 'op' was another one; take a new id.\n")


def test_a_key_may_draw_on_either(paifang: Paifang) -> None:
    paifang("wallet", "create", "team-b")
    for number, wallet in enumerate(("team", "team-b")):
        assert paifang("keys", "create", f"key-{number}", "--wallet", wallet)[0] == 0
    assert json.loads(paifang("wallet", "show", "team-b", "--json")[1])["keys"] == ["key-1"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("create", "team"), "There is a wallet 'team' already."),
        (("create", "a b"), "A wallet's name has 1 to 64 letters"),
        (("credit", "teem", "1", "--reason", "x"), "There is no wallet 'teem': did you mean \"team\"?"),
        (("credit", "team", "0", "--reason", "x"), "USD: A credit is above 0"),
        (("credit", "team", "-1", "--reason", "x"), "USD: A credit is above 0; to take money away, adjust the wallet."),
        (("credit", "team", "0.0000000001", "--reason", "x"), "USD: expected an amount of USD as text"),
        (("credit", "team", "1e3", "--reason", "x"), "USD: expected an amount of USD as text"),
        (("credit", "team", "1000000.01", "--reason", "x"), "USD: expected at most 1000000.00 USD at a time."),
        (("credit", "team", "1", "--reason", ""), "--reason: string should have at least 1 character."),
        (("credit", "team", "1", "--reason", "x", "--id", "req_1"), "--id: An operation's id doesn't begin like a request's"),
        (("credit", "team", "1", "--reason", "x\ny"), "--reason: expected one line of text"),
        (("adjust", "team", "-0", "--reason", "x"), "USD: An adjustment is not 0."),
        (("show", "nobody"), "There is no wallet 'nobody'; those there are: team. To make one: `paifang wallet create`."),
    ],
)
def test_what_is_refused_is_one_line(paifang: Paifang, arguments: tuple[str, ...], message: str) -> None:
    status, out, err = paifang("wallet", *arguments)
    assert (status, out) == (2, "")
    assert err.startswith(message)
    assert err.count("\n") == 1
    assert json.loads(paifang("wallet", "show", "--json")[1])["wallets"][0]["funded_usd"] == "0.00"


@pytest.mark.parametrize(
    "arguments", [("credit", "team", "1"), ("credit", "team", "1", "--bogus", "--reason", "x"), ("adjust", "team")]
)
def test_wrong_usage_is_2(paifang: Paifang, arguments: tuple[str, ...]) -> None:
    assert paifang("wallet", *arguments)[0] == 2
