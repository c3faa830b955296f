"""Each built-in, taken out of `plugins:`, takes exactly its effect along."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from plugins.access_log import TOGETHER_S
from proxy.errors import ConfigError
from tests.e2e import files
from tests.e2e.conftest import Answered, Serve, Served
from tests.fakes import FakeOpenAI

GUEST = """
from proxy import Limits, Principal, hookimpl


@hookimpl
def authenticate(ctx):
    if ctx.headers.get("x-guest"):
        return Principal(
            id="guest",
            families=frozenset({"doubao"}),
            budget=Limits(daily_nanousd=100_000_000),
        )
"""
"""Lets guests in, and says what they may. Whoever enforces that is a built-in."""

ALL = ["virtual_keys", "./guest.py", "model_scope", "budget", "routing", "metering", "metrics", "access_log"]
AS_GUEST = {"x-guest": "yes", "authorization": ""}
BIG: Any = {"n": 50, "max_tokens": 4096}
"""At most 0.8 USD."""


async def facts(served: Served) -> dict[str, Any]:
    """One fact for the effect of each built-in."""
    with_key = await served.chat()
    guest = await as_guest(served)
    metrics = await served.ask("GET", "/metrics")
    return {
        "virtual_keys": with_key.status == 200,
        "model_scope": (await as_guest(served, model="other")).status == 403,
        "budget": (await as_guest(served, **BIG)).status == 429,
        "routing": guest.headers.get("x-paifang-route") == "cheap",
        "metering": guest.json["usage"].get("tracked") is True and "x-paifang-cost-usd" in guest.headers,
        "metrics": metrics.status == 200,
    }


async def as_guest(served: Served, model: str = "doubao-seed", **fields: Any) -> Answered:
    body = {"model": model, "messages": files.HI, **fields}
    return await served.ask("POST", "/v1/chat/completions", json=body, headers={"x-guest": "yes"})


async def with_plugins(serve: Serve, fake_openai: FakeOpenAI, plugins: list[str]) -> Served:
    return await serve(
        providers={"relay": files.relay(fake_openai)},
        models={
            "doubao-seed": files.model(files.route("dear", "relay", priority=2), files.route("cheap", "relay", priority=1)),
            "other": files.model(files.route("relay", "relay"), family="other"),
        },
        keys=[files.key("all", files.KEY)] if "virtual_keys" in plugins else None,
        plugins=plugins,
        also={"guest.py": GUEST},
    )


async def test_with_all_of_them(serve: Serve, fake_openai: FakeOpenAI) -> None:
    assert set((await facts(await with_plugins(serve, fake_openai, ALL))).values()) == {True}


@pytest.mark.parametrize("removed", ["virtual_keys", "model_scope", "budget", "routing", "metrics", "access_log"])
async def test_without_one(serve: Serve, fake_openai: FakeOpenAI, removed: str) -> None:
    served = await with_plugins(serve, fake_openai, [name for name in ALL if name != removed])
    told = await facts(served)
    assert [name for name, there in told.items() if not there] == [name for name in [removed] if name in told]


async def test_without_metering_nothing_is_metered(serve: Serve, fake_openai: FakeOpenAI) -> None:
    without = [name for name in ALL if name not in ("metering", "budget")]
    told = await facts(await with_plugins(serve, fake_openai, without))
    assert [name for name, there in told.items() if not there] == ["budget", "metering"]


async def test_a_budget_without_metering_is_refused(serve: Serve, fake_openai: FakeOpenAI) -> None:
    with pytest.raises(ConfigError, match="metering"):
        await with_plugins(serve, fake_openai, [name for name in ALL if name != "metering"])


@pytest.mark.parametrize(
    ("removed", "limits"),
    [
        ("virtual_keys", {}),
        ("model_scope", {"families": ["doubao"]}),
        ("budget", {"budget": {"daily_usd": 1}}),
        ("rate_limit", {"rate_limit": {"concurrent": 1}}),
    ],
)
async def test_a_limit_that_nobody_enforces_is_refused(
    serve: Serve, fake_openai: FakeOpenAI, removed: str, limits: dict[str, Any]
) -> None:
    chain = [name for name in ALL if name not in (removed, "./guest.py")]
    with pytest.raises(ConfigError, match=removed):
        await serve(
            providers={"relay": files.relay(fake_openai)},
            models={"doubao-seed": files.model(files.route("relay", "relay"))},
            keys=[files.key("all", files.KEY, **limits)],
            plugins=chain,
        )


@pytest.mark.parametrize("listed", [True, False])
async def test_the_access_log(serve: Serve, fake_openai: FakeOpenAI, capfd: pytest.CaptureFixture[str], listed: bool) -> None:
    chain = [name for name in ALL if listed or name != "access_log"]
    served = await with_plugins(serve, fake_openai, chain)
    await served.chat()
    await asyncio.sleep(2 * TOGETHER_S)
    assert ('"event":"request"' in capfd.readouterr().err) is listed


async def test_an_empty_chain_lets_nobody_in(serve: Serve, fake_openai: FakeOpenAI) -> None:
    served = await with_plugins(serve, fake_openai, [])
    assert (await served.chat()).status == 401 and (await as_guest(served)).status == 401
    assert fake_openai.requests == []
