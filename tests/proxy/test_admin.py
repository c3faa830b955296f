"""The admin API over a control socket and over TCP."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from proxy.control import AdminRefusal
from proxy.money import nano_to_usd, usd_to_nano
from tests.proxy.gateways import SIMULATED, WITH_STATIC_KEY, opened

A_DATE = "a date such as 2027-01-01 or a time such as 2027-01-01T18:00:00"
AN_AMOUNT = 'an amount of USD such as "1.50", with at most nine decimals'
PATHS = [
    ("GET", "status"),
    ("GET", "keys"),
    ("POST", "keys"),
    ("GET", "keys/ci"),
    ("PATCH", "keys/ci"),
    ("DELETE", "keys/ci"),
    ("GET", "models"),
    ("GET", "routes"),
    ("GET", "plugins"),
    ("GET", "usage"),
    ("GET", "usage/requests"),
    ("GET", "wallets"),
    ("POST", "wallets"),
    ("GET", "wallets/team"),
    ("POST", "wallets/team/credits"),
    ("POST", "wallets/team/adjustments"),
    ("GET", "ledger/entries"),
    ("GET", "ledger/verify"),
    ("GET", "diagnosis"),
    ("POST", "probes"),
    ("POST", "explain"),
    ("GET", "events"),
    ("GET", "openapi.json"),
    ("POST", "reload"),
]


async def test_a_key_is_shown_once_and_then_only_described(tmp_path: Path) -> None:
    async with opened(tmp_path, SIMULATED) as (_, caller):
        made = await caller.call(
            "POST",
            "keys",
            {
                "name": "team.a-1_x",
                "families": ["doubao"],
                "timezone": "Asia/Singapore",
                "expires_at": "2100-01-01",
                "budget": {"daily_usd": "0.000000001", "families": {"doubao": {"monthly_usd": 10}}},
            },
        )
        assert made["key"].startswith("sk-pf-") and len(made["key"]) == 49
        assert made["key"] in made["example"]
        shown = await caller.call("GET", "keys/team.a-1_x")
        listed = await caller.call("GET", "keys")
    left = shown.pop("left")
    assert [(room["param"], room["limit"], room["left"], room["unit"]) for room in left] == [
        ("key.daily", "0.000000001", "0.000000001", "USD"),
        ("family.monthly", "10.00", "10.00", "USD"),
    ]
    assert all(room["resets_at"].endswith("T16:00:00Z") for room in left)  # midnight in Singapore
    assert {name: value for name, value in made.items() if name not in ("key", "example")} == shown
    assert shown["hint"] == f"…{made['key'][-4:]}"
    assert shown["expires_at"] == "2099-12-31T16:00:00Z"
    assert shown["budget"] == {
        "daily_usd": "0.000000001",
        "monthly_usd": None,
        "families": {"doubao": {"daily_usd": None, "monthly_usd": "10.00"}},
    }
    assert listed == {"keys": [shown]}


async def test_a_change_touches_only_what_it_names(tmp_path: Path) -> None:
    async with opened(tmp_path, SIMULATED) as (_, caller):
        budget = {"daily_usd": "1", "monthly_usd": "2", "families": {"doubao": {"daily_usd": "3"}, "qwen": {"daily_usd": "4"}}}
        await caller.call("POST", "keys", {"name": "a", "models": ["seed"], "budget": budget})
        changed = await caller.call(
            "PATCH", "keys/a", {"models": None, "budget": {"daily_usd": None, "families": {"qwen": None}}}
        )
    assert changed["models"] is None
    assert changed["budget"] == {
        "daily_usd": None,
        "monthly_usd": "2.00",
        "families": {"doubao": {"daily_usd": "3.00", "monthly_usd": None}},
    }


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"name": "a", "role": "admin"}, "There is no field 'role'."),
        ({"name": "a", "spent": 0}, "There is no field 'spent'."),
        ({"name": "a", "digest": "0" * 64}, "There is no field 'digest': did you mean \"budget\"?"),
        ({"name": "a", "familys": ["doubao"]}, "There is no field 'familys': did you mean \"families\"?"),
        ({}, "name: field required."),
        ({"name": "a/b"}, "A key's name has 1 to 64 letters, digits, dots, dashes or underscores."),
        ({"name": ""}, "A key's name has 1 to 64 letters, digits, dots, dashes or underscores."),
        ({"name": 3}, "name: a valid string."),
        ({"name": "ci"}, "gateway.yaml has a key named 'ci'; take another name."),
        ({"name": "a", "families": []}, "families: list should have at least 1 item after validation, not 0."),
        ({"name": "a", "families": ["Doubao"]}, "'Doubao' is no family of gateway.yaml's models: did you mean \"doubao\"?"),
        ({"name": "a", "models": ["doubao"]}, "'doubao' is an alias: name the model itself, 'seed'."),
        ({"name": "a", "models": ["gpt"]}, "'gpt' is no model of gateway.yaml (other, seed)."),
        ({"name": "a", "wallet": "me"}, "'me' is no wallet (team)."),
        ({"name": "a", "timezone": "Asia/Singapoor"}, "'Asia/Singapoor' is no time zone: did you mean \"Asia/Singapore\"?"),
        ({"name": "a", "expires_at": "tomorrow"}, f"'tomorrow' is not {A_DATE}."),
        ({"name": "a", "expires_at": "2001-01-01"}, "The key would have expired already."),
        ({"name": "a", "budget": {"daily_usd": "-1"}}, f"budget.daily_usd: expected {AN_AMOUNT}."),
        ({"name": "a", "budget": {"daily_usd": 1e-10}}, f"budget.daily_usd: expected {AN_AMOUNT}."),
        ({"name": "a", "budget": {"daily_usd": True}}, f"budget.daily_usd: expected {AN_AMOUNT}."),
        ({"name": "a", "rate_limit": {"concurrent": 0}}, "rate_limit.concurrent: greater than or equal to 1."),
        ([], "the body: a valid dictionary or instance of KeyForm."),
    ],
)  # fmt: skip
async def test_a_wrong_form_makes_no_key(tmp_path: Path, form: Any, message: str) -> None:
    async with opened(tmp_path, WITH_STATIC_KEY) as (_, caller):
        with pytest.raises(AdminRefusal) as refused:
            await caller.call("POST", "keys", form)
        keys = (await caller.call("GET", "keys"))["keys"]
    assert (refused.value.status, str(refused.value)) == (400, message)
    assert [key["name"] for key in keys] == ["ci"]


@pytest.mark.parametrize(
    ("form", "plugin"),
    [
        ({"families": ["doubao"]}, "model_scope"),
        ({"models": ["seed"]}, "model_scope"),
        ({"budget": {"daily_usd": "1"}}, "budget"),
        ({"budget": {"families": {"doubao": {"daily_usd": "1"}}}}, "budget"),
    ],
)
async def test_a_limit_that_no_plugin_enforces_is_refused(tmp_path: Path, form: Any, plugin: str) -> None:
    async with opened(tmp_path, SIMULATED + "plugins: [virtual_keys, routing]\n") as (_, caller):
        with pytest.raises(AdminRefusal, match=f'add "- {plugin}" to plugins'):
            await caller.call("POST", "keys", {"name": "a", **form})


async def test_names_are_unique_and_a_revoked_key_stays_so(tmp_path: Path) -> None:
    async with opened(tmp_path, SIMULATED) as (_, caller):
        await caller.call("POST", "keys", {"name": "a"})
        revoked = await caller.call("DELETE", "keys/a")
        with pytest.raises(AdminRefusal) as taken:
            await caller.call("POST", "keys", {"name": "a"})
        with pytest.raises(AdminRefusal) as unknown:
            await caller.call("DELETE", "keys/b")
    assert revoked["state"] == "revoked"
    assert taken.value.status == 400
    assert unknown.value.status == 404


async def test_a_key_shows_what_is_left_of_every_limit(tmp_path: Path) -> None:
    limits = {"budget": {"daily_usd": "0.0002"}, "wallet": "team", "rate_limit": {"requests_per_minute": 5, "concurrent": 2}}
    async with opened(tmp_path, SIMULATED + "wallets: {team: {}}\nbudget: {monthly_usd: 9}\n") as (gateway, caller):
        await caller.call("POST", "wallets/team/credits", {"amount_usd": "1", "reason": "invoice"})
        key = (await caller.call("POST", "keys", {"name": "a", **limits}))["key"]
        port = await gateway.listen("127.0.0.1", 0)
        body = {"model": "seed", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
        async with (
            aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {key}"}) as session,
            session.post("/v1/chat/completions", json=body) as response,
        ):
            spent = usd_to_nano(Decimal(response.headers["x-paifang-cost-usd"]))
        shown = await caller.call("GET", "keys/a")
        left = {room["param"]: (room["left"], room["resets_at"] is None) for room in shown["left"]}
        assert left == {
            "requests_per_minute": (4, False),
            "concurrent": (2, True),
            "gateway.monthly": (nano_to_usd(9 * 10**9 - spent), False),
            "key.daily": (nano_to_usd(200_000 - spent), False),
            "wallet": (nano_to_usd(10**9 - spent), True),
        }
        await caller.call("DELETE", "keys/a")
        assert (await caller.call("GET", "keys/a"))["left"] == []


async def test_keys_of_the_file_are_changed_in_the_file(tmp_path: Path) -> None:
    async with opened(tmp_path, WITH_STATIC_KEY) as (_, caller):
        for method in ("PATCH", "DELETE"):
            with pytest.raises(AdminRefusal, match=r"stands in gateway\.yaml"):
                await caller.call(method, "keys/ci", {"timezone": "UTC"})


async def test_routes_say_why_they_rest(tmp_path: Path) -> None:
    async with opened(tmp_path, SIMULATED) as (_, caller):
        routes = (await caller.call("GET", "routes"))["routes"]
    assert [(route["route"], route["state"], route["reason"], route["next_try"]) for route in routes] == [
        ("real", "resting", "provider relay has no credential", None),
        ("sim", "serving", "", None),
        ("sim", "serving", "", None),
    ]


async def test_routes_say_whether_a_gateway_serves(tmp_path: Path) -> None:
    async with opened(tmp_path, SIMULATED) as (gateway, caller):
        assert (await caller.call("GET", "routes"))["running"] is False
        await gateway.listen("127.0.0.1", 0)
        assert (await caller.call("GET", "routes"))["running"] is True


async def test_plugins_off_come_after_those_of_the_chain(tmp_path: Path) -> None:
    async with opened(tmp_path, SIMULATED + "plugins: [routing, virtual_keys]\n") as (_, caller):
        plugins = (await caller.call("GET", "plugins"))["plugins"]
    assert [plugin["name"] for plugin in plugins if plugin["listed"]] == ["routing", "virtual_keys"]
    assert {"budget", "metering"} <= {plugin["name"] for plugin in plugins if not plugin["listed"]}


async def test_reload_takes_the_file_or_says_what_is_wrong(tmp_path: Path) -> None:
    async with opened(tmp_path, SIMULATED) as (gateway, caller):
        (tmp_path / "gateway.yaml").write_text(SIMULATED.replace("aliases: [doubao]", "aliases: [new]"))
        assert await caller.call("POST", "reload") == {"status": "ok"}
        (tmp_path / "gateway.yaml").write_text(SIMULATED + "bogus: 1\n")
        with pytest.raises(AdminRefusal, match=r"gateway\.yaml:\d+:1: bogus: unknown key"):
            await caller.call("POST", "reload")
        assert gateway.snapshot.aliases["new"] == "seed"


async def test_over_tcp_every_route_wants_the_token(tmp_path: Path) -> None:
    async with opened(tmp_path, WITH_STATIC_KEY + "admin: {token: secret-token}\n") as (gateway, _):
        port = await gateway.listen("127.0.0.1", 0)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            for method, path in PATHS:
                for value in ("", "secret-token", "Bearer wrong", "Bearer secret-tokeN", "Bearer \udcff", "Bearer"):
                    headers = {"Authorization": value} if value else {}
                    async with session.request(method, f"/admin/v1/{path}", headers=headers) as response:
                        assert response.status == 401
                        assert (await response.json())["error"]["code"] == "invalid_api_key"
            async with session.get("/admin/v1/keys", headers={"Authorization": "Bearer secret-token"}) as response:
                assert response.status == 200
                assert response.headers["cache-control"] == "no-store"


async def test_without_a_token_there_is_no_admin_api_over_tcp_and_the_log_says_so_once(tmp_path: Path) -> None:
    async with opened(tmp_path, SIMULATED) as (gateway, _):
        port = await gateway.listen("127.0.0.1", 0)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            with capture_logs() as lines:
                for method, path in PATHS:
                    async with session.request(method, f"/admin/v1/{path}") as response:
                        assert response.status == 404
                        told = (await response.json())["error"]["message"]
                        assert told == (
                            "The admin API is off over TCP: set admin.token in gateway.yaml and restart. The commands on the "
                            "gateway's machine need none."
                        )
    remedy = "set admin.token in gateway.yaml and restart; the commands on this machine need none"
    assert [line["remedy"] for line in lines if "remedy" in line] == [remedy]
