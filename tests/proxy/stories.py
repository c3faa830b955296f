"""Requests in the middle of their story, on a real gateway: what settlement and exposure are told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from proxy.chat import ChatRequest
from proxy.context import Limits, Principal, RequestContext
from proxy.gateway import Gateway
from proxy.jsonreply import JsonReply
from proxy.story import Story
from tests.proxy.gateways import write

MILLI_USD = 1_000_000
"""In nano-USD: what an output token costs. Input costs nothing."""
PRICED = """
store: {url: "sqlite:///paifang.db", durability: process}
providers: {relay: {adapter: openai_chat, base_url: "http://127.0.0.1:9/v1", api_key: sk-upstream}}
models:
  seed:
    family: doubao
    price: {input: 0, output: 1000}
    routes: [{name: relay, provider: relay, model: m, cost: {currency: USD, input: 0, output: 500}}]
budget: {daily_usd: 1}
"""


@asynccontextmanager
async def opened(folder: Path, *own: str) -> AsyncIterator[Gateway]:
    """A gateway with these plugins of the test's own, as text, before the built-in ones."""
    for number, text in enumerate(own):
        (folder / f"own{number}.py").write_text("from proxy import *\n" + text)
    plugins = [*(f"./own{number}.py" for number in range(len(own))), "virtual_keys", "budget", "routing", "metering"]
    gateway = await Gateway.open(write(folder, f"{PRICED}plugins: [{', '.join(plugins)}]\n"), {})
    try:
        await gateway.store.wallets.credit("team", 10**9, operation_id="op", actor="ann", reason="")
        yield gateway
    finally:
        await gateway.close()


async def posted(gateway: Gateway) -> dict[str, int]:
    """{scope: nano-USD} of all windows. Nothing is held any more, and the ledger agrees with itself."""
    assert await gateway.store.reports.verify() == []
    assert gateway.store.reports.unsettled() == 0
    sql = "SELECT scope, posted FROM spending"
    rows = await gateway.store.writer.run(lambda db: db.exec_driver_sql(sql).fetchall())
    return dict(tuple(row) for row in rows)


async def entered(gateway: Gateway) -> list[tuple[str, str, int]]:
    """(debit, credit, nano-USD) of what requests came to, in order."""
    entries = await gateway.store.entries.page()
    return [(entry.debit, entry.credit, entry.amount) for entry in entries if entry.kind != "topup"]


def story(gateway: Gateway, **changes: Any) -> Story:
    """A request for at most six tokens, which may cost 0.006 USD, being tried on its one route."""
    model = gateway.snapshot.models["seed"]
    chat = ChatRequest(body={"messages": []}, body_bytes=2, model="seed", max_output_tokens=6)
    candidates = tuple(target.capped(6) for target in model.pool)
    clock = gateway.app.clock
    ctx = RequestContext(
        request_id="req_a",
        snapshot=gateway.snapshot,
        received_ns=clock.now_ns(),
        headers=CIMultiDict(),
        principal=Principal(id="ci", wallet="team", budget=Limits(daily_nanousd=10**9)),
        chat=chat,
        model=model,
        candidates=candidates,
        target=candidates[0],
    )
    reply = JsonReply(make_mocked_request("POST", "/"), None, ctx.request_id, ctx.received_ns)
    known = {"target": candidates[0], "asked": chat, **changes}
    return Story(ctx=ctx, reply=reply, clock=clock, started_ns=clock.monotonic_ns(), **known)
