"""gateway.yaml for tests: its parts as plain values, written into a folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.fakes import FakeArk, FakeCoze, FakeOpenAI

KEY = "sk-e2e-may-use-everything-0001"
DOUBAO_ONLY = "sk-e2e-family-doubao-only-0002"
EXPIRED = "sk-e2e-expired-long-ago-000003"
PENNILESS = "sk-e2e-budget-too-small-000004"

ARK_MODEL = "doubao-seed-2-0-lite-260215"
PRICE = {"input": 1, "output": 2}
"""USD per 1M tokens: 1,000 and 2,000 nano-USD a token."""

SIMULATOR = {"adapter": "simulator"}
HI = [{"role": "user", "content": "hi"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


def ark(fake: FakeArk, **more: Any) -> dict[str, Any]:
    return {"adapter": "ark", "base_url": fake.base_url, "api_key": fake.key, **more}


def ark_bots(fake: FakeArk, **more: Any) -> dict[str, Any]:
    return {"adapter": "ark_bots", "base_url": fake.base_url, "api_key": fake.key, **more}


def ark_messages(fake: FakeArk, **more: Any) -> dict[str, Any]:
    return {"adapter": "ark_messages", "base_url": fake.messages_url, "api_key": fake.key, **more}


def ark_responses(fake: FakeArk, **more: Any) -> dict[str, Any]:
    return {"adapter": "ark_responses", "base_url": fake.base_url, "api_key": fake.key, **more}


def coze(fake: FakeCoze, **more: Any) -> dict[str, Any]:
    return {"adapter": "coze", "base_url": fake.base_url, "api_key": fake.key, **more}


def relay(fake: FakeOpenAI, **more: Any) -> dict[str, Any]:
    return {"adapter": "openai_chat", "base_url": fake.base_url, "api_key": fake.key, **more}


def route(name: str, provider: str, model: str = "doubao-seed", **more: Any) -> dict[str, Any]:
    return {"name": name, "provider": provider, "model": model, **more}


def model(*routes: dict[str, Any], family: str = "doubao", **more: Any) -> dict[str, Any]:
    priced = {} if more.get("free") else {"price": PRICE}
    return {"family": family, "max_output_tokens": 4096, **priced, **more, "routes": list(routes)}


def key(name: str, secret: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "key": secret, **more}


def write(folder: Path, **sections: Any) -> Path:
    """Write a gateway.yaml. Sections that are None are left out; the store is quick where it says nothing else."""
    whole = {"store": {"url": "sqlite:///paifang.db", "durability": "process"}, **sections}
    file = folder / "gateway.yaml"
    # JSON is YAML, without YAML's surprises.
    file.write_text(json.dumps({name: value for name, value in whole.items() if value is not None}, indent=2))
    return file


def standard(fake_ark: FakeArk, fake_openai: FakeOpenAI) -> dict[str, Any]:
    """The sections most tests share: every adapter behind a model of its own, and a pool of two providers."""
    return {
        "server": {"max_body_bytes": 100_000, "drain_timeout_s": 2},
        "providers": {
            "ark": ark(fake_ark),
            "msgs": ark_messages(fake_ark),
            "resp": ark_responses(fake_ark),
            "relay": relay(fake_openai),
            "simulator": SIMULATOR,
        },
        "models": {
            "doubao-seed": model(route("ark-lite", "ark", ARK_MODEL), aliases=["doubao"], context_tokens=262144),
            "messages": model(route("msgs", "msgs", ARK_MODEL)),
            "responses": model(route("resp", "resp", ARK_MODEL)),
            "relayed": model(route("relay", "relay"), family="other"),
            "simulated": model(route("sim", "simulator"), family="simulator"),
            "pooled": model(
                route("first", "ark", ARK_MODEL, priority=1),
                route("second", "relay", "doubao-seed", priority=2),
            ),
        },
        "keys": standard_keys(),
    }


def standard_keys() -> Sequence[dict[str, Any]]:
    return [
        key("all", KEY, budget={"daily_usd": 100}),
        key("doubao-only", DOUBAO_ONLY, families=["doubao"]),
        key("expired", EXPIRED, expires_at="2026-01-01"),
        key("penniless", PENNILESS, budget={"daily_usd": 0.0001}),
    ]
