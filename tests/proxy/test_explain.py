"""`explain` is what live traffic does: the same routes, the same refusals, and the request that would be sent."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from adapters.simulator import SimulatorOptions
from proxy.chat import ChatRequest
from proxy.config import Config
from proxy.control import AdminRefusal
from proxy.jsontext import dumps
from proxy.snapshot import Snapshot, compile_snapshot
from tests.proxy.gateways import SIMULATED, STATIC_KEY, WITH_STATIC_KEY, opened

CLAMP = "plugins: [virtual_keys, model_scope, {budget: {when_short: clamp}}, routing, metering]"
GROWN = "plugins: [virtual_keys, model_scope, budget, ./grow.py, routing, metering]"
GROW = """from proxy import hookimpl


@hookimpl
def transform_request(body):
    return {**body, "user": "u" * 500}
"""
FAMILIES = ("doubao", "qwen", "glm")


def compact(value: Any) -> str:
    """As many bytes as `explain` counts."""
    return dumps(value).decode()


def anything(rng: random.Random) -> dict[str, Any]:
    """A valid configuration of simulated providers, each active, with pools, fallbacks and scopes of any kind."""
    names = [f"m{number}" for number in range(rng.randint(1, 4))]
    models = {}
    for name in names:
        routes = [
            {
                "name": f"{name}-r{number}",
                "provider": rng.choice("abc"),
                "model": "any",
                "priority": rng.randint(0, 2),
                "weight": rng.randint(1, 5),
                "enabled": rng.choice((None, None, True, False)),
            }
            for number in range(rng.randint(1, 5))
        ]
        models[name] = {
            "family": rng.choice(FAMILIES),
            "aliases": (f"{name}-alias",),
            "free": True,
            "fallbacks": tuple(other for other in rng.sample(names, rng.randint(0, len(names))) if other != name),
            "max_output_tokens": rng.randint(1, 100),
            "routes": tuple(routes),
        }
    key: dict[str, Any] = {"name": "ci", "key": STATIC_KEY}
    if rng.random() < 0.4:
        key["families"] = tuple(rng.sample(FAMILIES, rng.randint(1, 3)))
    if rng.random() < 0.3:
        key["models"] = tuple(rng.sample(names, rng.randint(1, len(names))))
    options = SimulatorOptions(words=1)
    return {
        "providers": {name: {"adapter": "simulator", "options": options} for name in "abc"},
        "models": models,
        "keys": (key,),
    }


def make_ill(snapshot: Snapshot, rng: random.Random, now_ns: int) -> None:
    """Leave some routes alone, and sometimes a provider, in any of the ways there are."""
    for provider in snapshot.providers.values():
        if rng.random() < 0.05:
            provider.health.refuse("upstream_auth_failed", now_ns)
    for target in (target for entry in snapshot.models.values() for target in entry.pool):
        match rng.randint(0, 9):
            case 0:
                target.health.cool(60, "upstream_rate_limited", now_ns)
            case 1:
                target.health.open("upstream_error", now_ns)
            case 2:
                target.health.refuse("upstream_model_unavailable", now_ns)


async def test_the_first_route_is_that_of_the_live_request_over_1000_configurations(tmp_path: Path) -> None:
    rng = random.Random(20261120)
    served = refused = 0
    async with opened(tmp_path, SIMULATED + "plugins: [virtual_keys, model_scope, routing]\n") as (gateway, caller):
        port = await gateway.listen("127.0.0.1", 0)
        headers = {"Authorization": f"Bearer {STATIC_KEY}"}
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=headers) as session:
            for _ in range(1000):
                config = Config.model_validate(anything(rng))
                gateway.snapshot = compile_snapshot(config, gateway.registry.adapters, gateway.snapshot.chain)
                make_ill(gateway.snapshot, rng, gateway.app.clock.monotonic_ns())
                name = rng.choice((*config.models, "m0-alias", "m9"))
                body = {"messages": [{"role": "user", "content": "Hi"}]}
                if rng.random() < 0.3:
                    body["max_tokens"] = rng.randint(1, 120)  # type: ignore[assignment]
                told = await caller.call("POST", "explain", {"model": name, "key": "ci", "body": body})
                async with session.post("/v1/chat/completions", json={**body, "model": name}) as response:
                    error = (await response.json()).get("error")
                if response.status == 200:
                    served += 1
                    assert told["routes"][0]["route"] == response.headers["x-paifang-route"]
                    assert told["refusal"] is None
                else:
                    refused += 1
                    assert told["refusal"]["status"] == response.status
                    assert (told["refusal"]["code"], told["refusal"]["message"]) == (error["code"], error["message"])
    assert served > 300 and refused > 100


async def test_who_is_left_out_and_why(tmp_path: Path) -> None:
    async with opened(tmp_path, SIMULATED, {"RELAY_KEY": "k"}) as (gateway, caller):
        pool = gateway.snapshot.models["seed"].pool
        pool[0].health.cool(60, "upstream_rate_limited", gateway.app.clock.monotonic_ns())
        told = await caller.call("POST", "explain", {"model": "seed"})
        listed = (await caller.call("GET", "routes"))["routes"]
    assert told["refusal"] == {
        "stage": "routing",
        "status": 429,
        "message": "Every route of this model is busy now; try again later.",
        "type": "rate_limit_error",
        "param": None,
        "code": "upstream_rate_limited",
    }
    assert [rest["route"] for rest in told["resting"]] == ["sim", "real"]
    assert re.fullmatch(r"cooling for another \d\d\.\d s: upstream_rate_limited", told["resting"][1]["reason"])
    [real] = [route for route in listed if route["route"] == "real"]
    assert (real["state"], real["reason"]) == ("cooling", "upstream_rate_limited")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", real["next_try"])


async def test_a_request_that_is_too_large_for_what_is_left_of_a_routes_minute(tmp_path: Path) -> None:
    limited = SIMULATED.replace("{provider: sim,", "{provider: sim, limits: {tokens_per_minute: 2000},")
    asked = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1500}
    async with opened(tmp_path, limited) as (gateway, caller):
        [sim] = gateway.snapshot.models["seed"].pool
        before = ChatRequest(body={}, body_bytes=0, model="seed", max_output_tokens=900)
        sim.health.begin(gateway.app.clock.monotonic_ns(), before)
        told = await caller.call("POST", "explain", {"model": "seed", "body": asked})
        small = await caller.call("POST", "explain", {"model": "seed", "body": {**asked, "max_tokens": 10}})
    [reason] = [rest["reason"] for rest in told["resting"] if rest["route"] == "sim"]
    assert re.fullmatch(r"full: this request has more tokens than its minute has left, for another \d\d\.\d s", reason)
    assert told["refusal"]["code"] == "upstream_rate_limited"
    assert [route["route"] for route in small["routes"]] == ["sim"]


async def test_the_upstream_request_is_shown_without_the_credential(tmp_path: Path) -> None:
    async with opened(tmp_path, SIMULATED, {"RELAY_KEY": "sk-very-secret"}) as (_, caller):
        told = await caller.call(
            "POST", "explain", {"model": "doubao", "body": {"messages": [{"role": "user", "content": "Hi"}], "top_p": 0.5}}
        )
    request = told["request"]
    assert (request["method"], request["url"]) == ("POST", "http://127.0.0.1:9/v1/chat/completions")
    assert request["headers"]["authorization"] == "Bearer *****"
    assert request["body"]["model"] == "m"
    assert request["body"]["top_p"] == 0.5
    assert "sk-very-secret" not in str(told)


async def test_the_steps_follow_the_chain(tmp_path: Path) -> None:
    async with opened(tmp_path, WITH_STATIC_KEY) as (_, caller):
        told = await caller.call("POST", "explain", {"model": "seed", "key": "ci"})
    assert [(step["stage"], step["plugins"]) for step in told["steps"]] == [
        ("auth", ["virtual_keys"]),
        ("request", []),
        ("scope", ["model_scope"]),
        ("budget", ["rate_limit", "budget"]),
        ("routing", ["routing"]),
        ("adapter", []),
    ]
    assert told["resting"] == [{"model": "seed", "route": "real", "reason": "provider relay has no credential"}]
    assert told["request"] is None


async def test_a_refusal_names_its_stage(tmp_path: Path) -> None:
    async with opened(tmp_path, WITH_STATIC_KEY) as (_, caller):
        told = await caller.call("POST", "explain", {"model": "other", "key": "ci"})
        assert (told["refusal"]["stage"], told["refusal"]["status"]) == ("scope", 403)
        for body in ({"messages": []}, {"temperature": 1}):
            told = await caller.call("POST", "explain", {"model": "seed", "body": body})
            refusal = told["refusal"]
            assert (refusal["stage"], refusal["code"], refusal["param"]) == ("request", "invalid_value", "messages")
        await caller.call("POST", "keys", {"name": "old"})
        await caller.call("DELETE", "keys/old")
        told = await caller.call("POST", "explain", {"model": "seed", "key": "old"})
        assert (told["refusal"]["stage"], told["refusal"]["code"]) == ("auth", "key_revoked")


async def test_a_request_that_stays_on_its_route_takes_nobodys_turn(tmp_path: Path) -> None:
    routes = [{"name": name, "provider": "sim", "model": "any", "enabled": True} for name in "ab"]
    config = {
        "providers": {"sim": {"adapter": "simulator", "options": SimulatorOptions(words=1)}},
        "models": {"seed": {"family": "doubao", "free": True, "sticky": "prompt_cache_key", "routes": tuple(routes)}},
        "keys": ({"name": "ci", "key": STATIC_KEY},),
    }
    async with opened(tmp_path, SIMULATED + "plugins: [virtual_keys, model_scope, routing]\n") as (gateway, caller):
        gateway.snapshot = compile_snapshot(Config.model_validate(config), gateway.registry.adapters, gateway.snapshot.chain)
        port = await gateway.listen("127.0.0.1", 0)
        headers = {"Authorization": f"Bearer {STATIC_KEY}"}
        taken: dict[str, Counter[str]] = {"": Counter(), "ann": Counter()}
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=headers) as session:
            for user in ["", "ann"] * 40:
                body = {"messages": [{"role": "user", "content": "Hi"}], **({"user": user} if user else {})}
                told = await caller.call("POST", "explain", {"model": "seed", "key": "ci", "body": body})
                async with session.post("/v1/chat/completions", json={**body, "model": "seed"}) as response:
                    taken[user][response.headers["x-paifang-route"]] += 1
                assert told["routes"][0]["route"] == response.headers["x-paifang-route"]
    assert taken[""] == {"a": 20, "b": 20}
    assert len(taken["ann"]) == 1


async def test_nothing_is_held_and_no_turn_is_taken(tmp_path: Path) -> None:
    async with opened(tmp_path, WITH_STATIC_KEY) as (gateway, caller):
        for _ in range(3):
            await caller.call("POST", "explain", {"model": "seed", "key": "ci"})
        assert gateway.pipeline.turn("seed") == 0
        assert gateway.store.ledger.unsettled == 0


SPENDS = 0.0001
"""USD: more than the request below may cost, less than two of it come to."""
REFUSED = [
    ({"budget": {"daily_usd": SPENDS}}, "", (429, "budget_exceeded", "key.daily")),
    ({"budget": {"monthly_usd": SPENDS}}, "", (429, "budget_exceeded", "key.monthly")),
    ({"budget": {"families": {"doubao": {"daily_usd": SPENDS}}}}, "", (429, "budget_exceeded", "family.daily")),
    ({"budget": {"families": {"doubao": {"monthly_usd": SPENDS}}}}, "", (429, "budget_exceeded", "family.monthly")),
    ({}, f"budget: {{daily_usd: {SPENDS}}}", (429, "budget_exceeded", "gateway.daily")),
    ({}, f"budget: {{monthly_usd: {SPENDS}}}", (429, "budget_exceeded", "gateway.monthly")),
    ({"wallet": "team"}, "wallets: {team: {}}", (402, "insufficient_balance", "wallet")),
    ({"rate_limit": {"requests_per_minute": 2}}, "", (429, "rate_limit_exceeded", "requests_per_minute")),
    ({"rate_limit": {"tokens_per_minute": 40}}, "", (429, "rate_limit_exceeded", "tokens_per_minute")),
    # The first that refuses is told, as in the chain.
    (
        {"rate_limit": {"requests_per_minute": 1}, "budget": {"daily_usd": SPENDS}},
        "",
        (429, "rate_limit_exceeded", "requests_per_minute"),
    ),
    ({"budget": {"daily_usd": SPENDS}}, CLAMP, (429, "budget_exceeded", "key.daily")),
    ({"budget": {"daily_usd": SPENDS}}, GROWN, (429, "budget_exceeded", "key.daily")),
]


@pytest.mark.parametrize(("limits", "more", "expected"), REFUSED)
async def test_its_refusals_are_those_of_live_traffic(
    tmp_path: Path, limits: dict[str, Any], more: str, expected: tuple[int, str, str]
) -> None:
    (tmp_path / "grow.py").write_text(GROW)
    key = {"name": "ci", "key": STATIC_KEY, **limits}
    body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 12, "model": "seed"}
    answers, lowered = [], 0
    async with opened(tmp_path, f"{SIMULATED}{more}\nkeys: [{json.dumps(key)}]\n") as (gateway, caller):
        if "wallet" in limits:
            await gateway.store.wallets.credit("team", 100_000, operation_id="op", actor="ann", reason="invoice")
        port = await gateway.listen("127.0.0.1", 0)
        headers = {"Authorization": f"Bearer {STATIC_KEY}"}
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=headers, json_serialize=compact) as session:
            while answers[-1:] != [expected] and len(answers) < 9:
                told = await caller.call("POST", "explain", {"model": "seed", "key": "ci", "body": body})
                assert told["left"]
                assert gateway.store.ledger.unsettled == 0
                async with session.post("/v1/chat/completions", json=body) as response:
                    error = (await response.json()).get("error")
                    cap = response.headers.get("x-paifang-clamped-max-tokens")
                refusal = told["refusal"]
                assert (refusal is None) == (error is None)
                if error is None:
                    answers.append((200, None, None))
                    assert cap == (told["clamped_max_tokens"] and str(told["clamped_max_tokens"]))
                    lowered += cap is not None
                else:
                    answers.append((response.status, error["code"], error["param"]))
                    assert answers[-1] == (refusal["status"], refusal["code"], refusal["param"])
                    assert refusal["stage"] == ("adapter" if more == GROWN else "budget")
    assert answers[-1] == expected
    assert bool(lowered) == (more == CLAMP)
    assert len(answers) > 1 or more == GROWN


async def test_what_a_clamped_request_would_send(tmp_path: Path) -> None:
    text = SIMULATED + CLAMP + f"\nkeys: [{{name: ci, key: {STATIC_KEY}, budget: {{daily_usd: 0.001}}}}]\n"
    body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 500, "top_k": 3}
    async with opened(tmp_path, text, {"RELAY_KEY": "sk-very-secret"}) as (_, caller):
        told = await caller.call("POST", "explain", {"model": "seed", "key": "ci", "body": body})
    assert told["request"]["body"]["max_tokens"] == told["clamped_max_tokens"] < 500
    assert told["dropped"] == []


async def test_fields_that_would_be_dropped_are_named(tmp_path: Path) -> None:
    text = SIMULATED.replace("openai_chat", "ark_messages")
    body = {"messages": [{"role": "user", "content": "Hi"}], "seed": 7, "logit_bias": {"1": 2}}
    async with opened(tmp_path, text, {"RELAY_KEY": "sk-very-secret"}) as (_, caller):
        told = await caller.call("POST", "explain", {"model": "seed", "body": body})
    assert told["dropped"] == ["logit_bias", "seed"]
    assert "sk-very-secret" not in str(told)


async def test_who_can_not_foresee_is_named(tmp_path: Path) -> None:
    (tmp_path / "silent.py").write_text("from proxy import hookimpl\n\n\n@hookimpl\ndef reserve():\n    return None\n")
    text = SIMULATED + "plugins: [virtual_keys, ./silent.py, budget, routing, metering]\n"
    async with opened(tmp_path, text) as (_, caller):
        told = await caller.call("POST", "explain", {"model": "seed"})
    (budget,) = (step["result"] for step in told["steps"] if step["stage"] == "budget")
    assert budget.endswith("nothing is held now; not asked, as they can't say without holding: ./silent.py")


async def test_an_unknown_key_is_no_answer(tmp_path: Path) -> None:
    async with opened(tmp_path, SIMULATED) as (_, caller):
        with pytest.raises(AdminRefusal, match="There is no key 'nobody'"):
            await caller.call("POST", "explain", {"model": "seed", "key": "nobody"})
