"""SIGKILL at any instant of a busy `paifang serve`: whatever the provider metered is charged or listed, and nothing is twice.

The provider counts for itself, the clients keep what they were told, and after each restart the books must answer for both.
"""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from proxy.control import Caller, connect
from proxy.storage.writer import LINGER_S
from tests.e2e import files
from tests.e2e.conftest import StartProcess
from tests.e2e.metered import Bill, Clients, MeteredProvider
from tests.e2e.processes import GatewayProcess, clean_environ

CLIENTS = 40
PRICE = {"input": 1, "output": 10}
INPUT, OUTPUT = 1_000, 10_000
"""Nano-USD a token."""
KEYS = [files.KEY, files.DOUBAO_ONLY, files.EXPIRED, files.PENNILESS]
STALE_S = 2.0 + LINGER_S + 0.5
"""The age of the last checkpoint, and what a busy machine may add."""


def sections(base_url: str) -> dict[str, Any]:
    relay = {"adapter": "openai_chat", "base_url": base_url, "api_key": "sk-upstream"}
    budget = {"daily_usd": 1000, "monthly_usd": 1000, "families": {"doubao": {"daily_usd": 1000}}}
    return {
        "providers": {"relay": relay},
        "models": {"m": files.model(files.route("relay", "relay"), price=PRICE)},
        "wallets": {"team": {}},
        "keys": [
            files.key("budgeted", KEYS[0], budget=budget),
            files.key("of-wallet", KEYS[1], wallet="team"),
            files.key("limited", KEYS[2], rate_limit={"concurrent": 100}),
            files.key("unlimited", KEYS[3]),
        ],
    }


async def all_of(caller: Caller, path: str, name: str, **query: str) -> AsyncIterator[dict[str, Any]]:
    """Every item of a list, page after page."""
    place: dict[str, str] = {}
    while True:
        page = await caller.call("GET", path, **query, **place, limit="1000")
        for item in page[name]:
            yield item
        if page["next"] is None:
            return
        place = {"after": page["next"]}


def nano(usd: str) -> int:
    return int(Decimal(usd) * 10**9)


def cost(bill: Bill, by_s: float = float("inf")) -> int:
    """Nano-USD of what the provider had metered by then."""
    return bill.prompt * INPUT + sum(at_s <= by_s for at_s in bill.at_s) * OUTPUT


async def check(process: GatewayProcess, provider: MeteredProvider, clients: Clients, killed_s: dict[str, float]) -> None:
    """killed_s: {user: when the gateway that it had asked was killed}."""
    async with connect(process.file, clean_environ()) as caller:
        assert await caller.call("GET", "ledger/verify") == {"problems": []}
        rows = {row["request_id"]: row async for row in all_of(caller, "usage/requests", "requests", since="2000-01-01")}
        charged: defaultdict[str, int] = defaultdict(int)
        exposed: defaultdict[str, int] = defaultdict(int)
        kinds = set()
        async for entry in all_of(caller, "ledger/entries", "entries"):
            if entry["kind"] == "topup":
                continue
            assert (entry["operation"], entry["kind"]) not in kinds
            kinds.add((entry["operation"], entry["kind"]))
            sums = exposed if entry["kind"] == "exposure" else charged
            sums[rows[entry["operation"]]["user"]] += nano(entry["amount_usd"])
    users = [row["user"] for row in rows.values()]
    assert len(users) == len(set(users)), "a request was logged twice"
    for row in rows.values():
        assert charged[row["user"]] == nano(row["debit_usd"])
    for user, bill in provider.bills.items():
        if user in clients.promised:
            assert (charged[user], exposed[user]) == (cost(bill), 0) and clients.promised[user] == cost(bill)
        else:
            assert charged[user] + exposed[user] >= cost(bill), f"{user}: {bill.prompt} + {bill.completion} tokens"
            seen_s = killed_s[user] - STALE_S
            if bill.stream and any(at_s <= seen_s for at_s in bill.at_s):
                assert charged[user] >= cost(bill, seen_s), "the last checkpoint is too old"
    assert clients.promised.keys() <= provider.bills.keys()


async def start_again(gateway_process: StartProcess, folder: Path, dice: random.Random) -> GatewayProcess:
    """Start until it is ready; sometimes it is killed first, in the middle of its start."""
    while dice.random() < 0.3:
        command = [sys.executable, "-m", "proxy", "serve", "-c", str(folder / "gateway.yaml"), "--port", "0"]
        cut_short = await asyncio.to_thread(
            subprocess.Popen, command, env=clean_environ(), cwd=folder, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        await asyncio.sleep(dice.random() * 1.5)
        cut_short.kill()
        await asyncio.to_thread(cut_short.wait)
    return await asyncio.to_thread(gateway_process, folder)


async def kill_again_and_again(gateway_process: StartProcess, folder: Path, seed: int, kills: int) -> None:
    dice = random.Random(seed)
    provider, clients = MeteredProvider(seed), Clients(KEYS, seed)
    killed_s: dict[str, float] = {}
    async with provider.running() as base_url:
        process = await asyncio.to_thread(gateway_process, folder, **sections(base_url))
        async with connect(process.file, clean_environ()) as caller:
            credit = {"amount_usd": "1000", "reason": "test", "actor": "test"}
            await caller.call("POST", "wallets/team/credits", credit)
        for _ in range(kills):
            siege = asyncio.ensure_future(clients.besiege(process.port, CLIENTS))
            await asyncio.sleep(0.2 + dice.random() * 3.5)
            assert len(provider.bills) - len(clients.promised) >= 32
            process.process.kill()
            now_s = time.monotonic()
            await siege
            await asyncio.to_thread(process.process.wait)
            process = await start_again(gateway_process, folder, dice)
            killed_s |= dict.fromkeys(provider.bills.keys() - killed_s.keys(), now_s)
            await check(process, provider, clients, killed_s)
        assert await asyncio.to_thread(process.stop) == 0


async def test_killed_at_three_instants(gateway_process: StartProcess, tmp_path: Path) -> None:
    await kill_again_and_again(gateway_process, tmp_path, seed=3, kills=3)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
async def test_killed_at_fifty_instants(gateway_process: StartProcess, tmp_path: Path, seed: int) -> None:
    await kill_again_and_again(gateway_process, tmp_path, seed, kills=10)
