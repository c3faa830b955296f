"""Wallets from their first credit to their last cent, over HTTP.

An output token costs 0.001 USD and input nothing, so that "Hello, you said: hi", six tokens, costs 0.006 USD.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from tests.e2e import files
from tests.e2e.conftest import Serve, Served
from tests.fakes import FakeOpenAI

PRICE = {"input": 0, "output": 1000}
TOKEN = "admin-token-0123456789"
SPENT = ("balance_usd", "held_usd", "funded_usd", "spent_usd")


@pytest.fixture
async def served(serve: Serve, fake_openai: FakeOpenAI) -> Served:
    return await serve(
        providers={"relay": files.relay(fake_openai)},
        models={"doubao-seed": files.model(files.route("relay", "relay"), price=PRICE)},
        keys=[files.key("ci", files.KEY, wallet="team-a"), files.key("cd", files.DOUBAO_ONLY, wallet="team-a")],
        wallets={"team-a": {}},
        admin={"token": TOKEN},
    )


async def admin(served: Served, method: str, path: str, body: Any = None, status: int = 200) -> Any:
    answered = await served.ask(method, f"/admin/v1/{path}", json=body, headers={"authorization": f"Bearer {TOKEN}"})
    assert answered.status == status, answered.raw
    return answered.json


def move(amount_usd: str, **more: str) -> dict[str, str]:
    return {"amount_usd": amount_usd, "reason": "invoice 7", "actor": "ann", **more}


async def state(served: Served, name: str = "team-a") -> tuple[str, ...]:
    wallet = await admin(served, "GET", f"wallets/{name}")
    return tuple(wallet[column] for column in SPENT)


@pytest.mark.parametrize("stream", [False, True])
async def test_credit_spend_empty_and_adjust(served: Served, fake_openai: FakeOpenAI, stream: bool) -> None:
    async def ask(max_tokens: int = 6) -> int:
        return (await served.chat(max_tokens=max_tokens, stream=stream)).status

    assert await ask() == 402
    assert await state(served) == ("0.00", "0.00", "0.00", "0.00")
    done = await admin(served, "POST", "wallets/team-a/credits", move("0.0130"))
    assert (done["wallet"], done["amount_usd"], done["balance_usd"]) == ("team-a", "0.013", "0.013")
    assert [await ask() for _ in range(3)] == [200, 200, 402]
    assert await state(served) == ("0.001", "0.00", "0.013", "0.012")

    refused = await served.chat(max_tokens=6, stream=stream)
    assert refused.error["code"] == "insufficient_balance"
    assert refused.error["type"] == "insufficient_quota"
    assert "'team-a' has $0.001 left; this request may cost up to $0.006" in refused.error["message"]
    assert refused.headers["x-should-retry"] == "false"

    await admin(served, "POST", "wallets/team-a/adjustments", move("+0.005"))
    assert [await ask(), await ask(1)] == [200, 402]
    await admin(served, "POST", "wallets/team-a/adjustments", move("-0.002"))
    assert await state(served) == ("-0.002", "0.00", "0.016", "0.018")
    assert len(fake_openai.billed) == 3
    assert await admin(served, "GET", "ledger/verify") == {"problems": []}


async def test_twenty_at_once_on_a_balance_for_ten(served: Served, fake_openai: FakeOpenAI) -> None:
    await admin(served, "POST", "wallets/team-a/credits", move("0.06"))
    keys = (files.KEY, files.DOUBAO_ONLY)
    answers = await asyncio.gather(*(served.chat(max_tokens=6, key=keys[number % 2]) for number in range(20)))
    assert Counter(answered.status for answered in answers) == {200: 10, 402: 10}
    assert await state(served) == ("0.00", "0.00", "0.06", "0.06")
    assert len(fake_openai.billed) == 10


async def test_what_runs_is_held(served: Served, fake_openai: FakeOpenAI) -> None:
    await admin(served, "POST", "wallets/team-a/credits", move("0.01"))
    fake_openai.delay(before_s=0.5)
    running = asyncio.ensure_future(served.chat(max_tokens=8))
    async with asyncio.timeout(5):
        while await state(served) != ("0.01", "0.008", "0.01", "0.00"):
            await asyncio.sleep(0.01)
    assert (await admin(served, "GET", "wallets/team-a"))["available_usd"] == "0.002"
    assert (await served.chat(max_tokens=3)).status == 402
    assert (await running).status == 200
    assert await state(served) == ("0.004", "0.00", "0.01", "0.006")


async def test_a_key_and_a_wallet_made_at_run_time(served: Served) -> None:
    unknown = await admin(served, "POST", "keys", {"name": "new", "wallet": "team-b"}, status=400)
    assert unknown["error"]["message"] == "'team-b' is no wallet: did you mean \"team-a\"?"
    await admin(served, "POST", "wallets", {"name": "team-b"})
    key = (await admin(served, "POST", "keys", {"name": "new", "wallet": "team-b"}))["key"]
    assert (await served.chat(max_tokens=6, key=key)).status == 402
    await admin(served, "POST", "wallets/team-b/credits", move("0.006"))
    assert (await served.chat(max_tokens=6, key=key, user="eve")).status == 200
    assert await state(served, "team-b") == ("0.00", "0.00", "0.006", "0.006")
    assert await state(served) == ("0.00", "0.00", "0.00", "0.00")
    (request,) = (await admin(served, "GET", "usage/requests?wallet=team-b&user=eve"))["requests"]
    assert (request["key"], request["wallet"], request["debit_usd"]) == ("new", "team-b", "0.006")


async def test_actor_and_reason_are_kept_and_an_operation_counts_once(served: Served) -> None:
    credit = move("5.00", id="inv-7")
    answers = await asyncio.gather(*(admin(served, "POST", "wallets/team-a/credits", credit) for _ in range(5)))
    assert answers == [{"id": "inv-7", "wallet": "team-a", "amount_usd": "5.00", "balance_usd": "5.00"}] * 5
    (entry,) = (await admin(served, "GET", "wallets/team-a"))["entries"]
    assert {name: entry[name] for name in ("kind", "operation", "debit", "credit", "amount_usd", "actor", "line")} == {
        "kind": "topup",
        "operation": "inv-7",
        "debit": "external",
        "credit": "wallet:team-a",
        "amount_usd": "5.00",
        "actor": "ann",
        "line": "invoice 7",
    }
    other = await admin(served, "POST", "wallets/team-a/credits", move("6.00", id="inv-7"), status=400)
    assert other["error"]["param"] == "id"


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("credits", move("0"), "amount_usd"),
        ("credits", move("-1"), "amount_usd"),
        ("credits", {**move("1"), "amount_usd": 1.5}, "amount_usd"),
        ("credits", move("0.0000000001"), "amount_usd"),
        ("credits", move("1000000.000000001"), "amount_usd"),
        ("credits", {"amount_usd": "1", "actor": "ann"}, "reason"),
        ("credits", move("1", id="req_0"), "id"),
        ("credits", move("1", balance="9"), "balance"),
        ("adjustments", move("-0.00"), "amount_usd"),
        ("adjustments", move("NaN"), "amount_usd"),
    ],
)
async def test_what_is_no_amount_is_refused(served: Served, path: str, body: Any, param: str) -> None:
    refused = await admin(served, "POST", f"wallets/team-a/{path}", body, status=400)
    assert refused["error"]["param"] == param
    assert await state(served) == ("0.00", "0.00", "0.00", "0.00")


async def test_a_wallet_that_is_not_there(served: Served) -> None:
    for method, path in (("GET", "wallets/nobody"), ("POST", "wallets/nobody/credits")):
        refused = await admin(served, method, path, move("1"), status=404)
        assert refused["error"]["code"] == "not_found"
