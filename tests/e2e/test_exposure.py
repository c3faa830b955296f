"""What may have been served and was never answered: the operator's exposure, and nothing of the caller's budget.

An output token costs 0.001 USD and input nothing, so that a request for at most six tokens may cost 0.006 USD.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import Connection
from structlog.testing import capture_logs

from proxy.admin import AdminEndpoints
from proxy.keyforms import KeyForm
from tests.e2e import files
from tests.e2e.conftest import Serve, Served
from tests.fakes import FIN, READ, RST, STALL, FakeOpenAI, ScriptedUpstream, chunk, eventually, http_head
from tests.fakes.scripted import Step

Scripted = Callable[..., Awaitable[ScriptedUpstream]]
PRICE = {"input": 0, "output": 1000}
SSE = http_head(content_type="text/event-stream", transfer_encoding="chunked")
MOST = 6_000_000

Script = list[Step]


async def relaying(
    serve: Serve, upstream: ScriptedUpstream, *more: dict[str, Any], retry_ambiguous: bool = False, **provider: Any
) -> Served:
    relay = {"adapter": "openai_chat", "base_url": upstream.url, "api_key": "sk-upstream", **provider}
    cost = {"input": 0, "output": 500}
    routes = [files.route("relay", "relay", priority=1, cost=cost, retry_ambiguous=retry_ambiguous), *more]
    return await serve(
        providers={"relay": relay, "simulator": files.SIMULATOR},
        models={"doubao-seed": files.model(*routes, price=PRICE)},
        keys=[files.key("ci", files.KEY, budget={"daily_usd": 1})],
        budget={"daily_usd": 1},
    )


async def exposed(served: Served) -> list[tuple[str, str, int]]:
    open_ones = await served.gateway.store.exposures.open(0, 2**62, "UTC")
    return [(one.provider, one.model, one.amount_nanousd) for one in open_ones]


async def posted(served: Served) -> dict[str, int]:
    """{scope: nano-USD} of the daily windows; the ledger has verified itself."""
    assert await served.gateway.store.reports.verify() == []
    assert await served.metric("paifang_ledger_unsettled") == 0
    sql = "SELECT scope, posted FROM spending WHERE period = 'daily'"
    rows = await served.gateway.store.writer.run(lambda db: db.exec_driver_sql(sql).fetchall())
    return dict(tuple(row) for row in rows)


UNANSWERED: list[Script] = [
    [READ, FIN],
    [READ, RST],
    [READ, STALL],
    [READ, b"HTTP/1.1 200"],
    [READ, SSE, FIN],
    [READ, SSE, STALL],
    [READ, SSE, chunk(b": a comment\n\n"), RST],
    [READ, SSE, chunk(b"")],
]


@pytest.mark.parametrize("script", UNANSWERED)
@pytest.mark.parametrize("stream", [False, True])
async def test_sent_and_never_answered(serve: Serve, scripted: Scripted, script: Script, stream: bool) -> None:
    upstream = await scripted(script)
    served = await relaying(serve, upstream, timeouts={"first_byte_s": 0.2, "idle_s": 0.2, "total_s": 0.4})
    assert (await served.chat(max_tokens=6, stream=stream)).status in (502, 504)
    assert await exposed(served) == [("relay", "doubao-seed", MOST)]
    assert await posted(served) == {"gateway": MOST, "key:ci": 0}


REFUSED: list[Script] = [
    [READ, http_head("500 Oops", content_length="2") + b"{}"],
    [READ, http_head("429 Busy", content_length="2") + b"{}"],
    [READ, http_head("302 Found", location="http://127.0.0.1:1/", content_length="0")],
    [READ, SSE, chunk(b'data: {"error": {"message": "no", "type": "server_error", "code": "oops"}}\n\n'), chunk(b"")],
]


@pytest.mark.parametrize("script", REFUSED)
async def test_what_a_provider_refused_is_owed_by_nobody(serve: Serve, scripted: Scripted, script: Script) -> None:
    served = await relaying(serve, await scripted(script))
    assert (await served.chat(max_tokens=6, stream=True)).status in (429, 502)
    assert await exposed(served) == []
    assert await posted(served) == {"gateway": 0, "key:ci": 0}


async def test_what_never_reached_a_provider_is_owed_by_nobody(serve: Serve, scripted: Scripted) -> None:
    upstream = await scripted([READ])
    served = await relaying(serve, upstream, base_url="http://127.0.0.1:1")
    assert (await served.chat(max_tokens=6)).status == 502
    assert await exposed(served) == []


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_left_before_the_first_byte(serve: Serve, scripted: Scripted, stream: bool) -> None:
    upstream = await scripted([READ, STALL])
    served = await relaying(serve, upstream)
    asking = asyncio.ensure_future(served.chat(max_tokens=6, stream=stream))
    async with asyncio.timeout(5):
        while not upstream.requests:
            await asyncio.sleep(0.01)
        asking.cancel()
        while served.gateway.pipeline.running or not upstream.ended:
            await asyncio.sleep(0.01)
        while not await exposed(served):
            await asyncio.sleep(0.01)
    assert await exposed(served) == [("relay", "doubao-seed", MOST)]
    assert await posted(served) == {"gateway": MOST, "key:ci": 0}


async def test_a_client_that_leaves_between_the_two_holds_of_what_is_sent_again(serve: Serve, scripted: Scripted) -> None:
    broken, busy, free = asyncio.Event(), threading.Event(), threading.Event()

    def hold_up(connection: Connection) -> bool:
        busy.set()
        return free.wait(5)

    upstream = await scripted([READ, broken, RST])
    served = await relaying(serve, upstream, retry_ambiguous=True)
    asking = asyncio.ensure_future(served.chat(max_tokens=6))
    await eventually(lambda: bool(upstream.requests))
    # The end of the first hold is to be written next, and waits for this.
    writing = asyncio.ensure_future(served.gateway.store.writer.run(hold_up))
    await eventually(busy.is_set)
    broken.set()
    (route,) = served.gateway.snapshot.models["doubao-seed"].pool
    await eventually(lambda: route.health.in_a_row == 1)
    asking.cancel()
    await eventually(lambda: not served.gateway.pipeline.running)
    free.set()
    assert await writing
    await eventually(lambda: not served.gateway.pipeline.unfinished())
    assert (len(upstream.requests), await exposed(served)) == (1, [("relay", "doubao-seed", MOST)])
    assert (await posted(served))["key:ci"] == 0


async def test_a_key_that_ends_before_what_may_have_been_served_is_sent_again(serve: Serve, scripted: Scripted) -> None:
    broken = asyncio.Event()
    upstream = await scripted([READ, broken, RST])
    served = await relaying(serve, upstream, retry_ambiguous=True)
    _, key = await AdminEndpoints(served.gateway).make_key(KeyForm(name="new"))
    asking = asyncio.ensure_future(served.chat(max_tokens=6, key=key))
    await eventually(lambda: bool(upstream.requests))
    await served.gateway.app.keys.revoke("new")
    broken.set()
    assert (await asking).status == 502
    assert (len(upstream.requests), await exposed(served)) == (1, [("relay", "doubao-seed", MOST)])
    assert len(await served.gateway.store.requests.page(0, 2**62, {}, limit=9)) == 1


async def test_half_a_json_answer_is_not_asked_for_elsewhere(serve: Serve, scripted: Scripted) -> None:
    upstream = await scripted([READ, http_head(content_length="999") + b'{"id":"1","choices":[{"index":0,', FIN])
    served = await relaying(serve, upstream, files.route("sim", "simulator", priority=2, enabled=True))
    answered = await served.chat(max_tokens=6)
    assert (answered.status, answered.headers["x-paifang-attempts"]) == (502, "1")
    assert await exposed(served) == [("relay", "doubao-seed", MOST)]


@pytest.mark.parametrize(("script", "ambiguous"), [([READ, RST], True), ([READ, SSE, chunk(b": served\n\n"), RST], False)])
async def test_what_may_be_billed_twice_has_room_twice(
    serve: Serve, scripted: Scripted, script: Script, ambiguous: bool
) -> None:
    """The gateway may spend 0.013 USD: two attempts that may cost 0.006 each, and no third."""
    upstream = await scripted(script)
    relay = {"adapter": "openai_chat", "base_url": upstream.url, "api_key": "sk-upstream"}
    routes = [files.route(f"r{n}", "relay", priority=n, retry_ambiguous=ambiguous) for n in (1, 2, 3)]
    served = await serve(
        providers={"relay": relay, "simulator": files.SIMULATOR},
        models={"doubao-seed": files.model(*routes, price=PRICE)},
        keys=[files.key("ci", files.KEY, budget={"daily_usd": 1})],
        budget={"daily_usd": 0.013},
    )
    answers = await asyncio.gather(*[served.chat(max_tokens=6, stream=True) for _ in range(8)])
    assert {answer.status for answer in answers} == {429, 502}
    assert len(upstream.requests) == 2
    assert (await served.chat(max_tokens=6)).status == 429
    assert await posted(served) == {"gateway": 2 * MOST, "key:ci": 0}


async def test_a_failed_route_that_reported_usage_is_the_operators_cost(serve: Serve, scripted: Scripted) -> None:
    """Two tokens on the route that broke, at 0.001 USD of price and 0.0005 of cost; the caller pays for the other route."""
    broken = b'{"error":{"message":"no"},"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}'
    upstream = await scripted([READ, http_head(content_length=str(len(broken))) + broken])
    free = {"currency": "USD", "input": 0, "output": 0}
    served = await relaying(serve, upstream, files.route("sim", "simulator", priority=2, cost=free, enabled=True))
    answered = await served.chat(max_tokens=6)
    assert (answered.status, answered.headers["x-paifang-route"]) == (200, "sim")
    assert await exposed(served) == [("relay", "doubao-seed", 2_000_000)]
    (logged,) = await served.gateway.store.requests.page(0, 2**62, {}, limit=9)
    assert (logged.provider, logged.cost, logged.debit) == ("simulator", 1_000_000, answered.json["usage"]["cost"] * 10**9)
    (entry, _) = await served.gateway.store.entries.page()
    assert entry.line == "relay: it failed after it had worked: upstream_error; 3 × $0.00/M + 2 × $1000.00/M"
    assert (await posted(served))["gateway"] == 2_000_000 + logged.debit


async def test_an_answer_of_nothing_is_paid_by_estimate(serve: Serve, scripted: Scripted) -> None:
    end = b'data: {"id":"1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    served = await relaying(serve, await scripted([READ, SSE, chunk(end), chunk(b"")]))
    assert (await served.chat(max_tokens=6, stream=True)).status == 200
    (logged,) = await served.gateway.store.requests.page(0, 2**62, {}, limit=9)
    assert logged.estimated and logged.input_tokens > 0
    assert await exposed(served) == []


async def test_listed_and_reconciled_over_the_admin_api(serve: Serve, fake_openai: FakeOpenAI) -> None:
    admin = {"authorization": "Bearer admin-token-0123456789"}
    served = await serve(
        providers={"relay": files.relay(fake_openai, timeouts={"total_s": 0.2})},
        models={"doubao-seed": files.model(files.route("relay", "relay"), price=PRICE)},
        keys=[files.key("ci", files.KEY)],
        admin={"token": "admin-token-0123456789"},
    )
    fake_openai.delay(before_s=5)
    assert [(await served.chat(max_tokens=6)).status for _ in range(2)] == [504, 504]
    listed = (await served.ask("GET", "/admin/v1/ledger/exposure", headers=admin)).json
    assert (listed["exposure"][0]["provider"], listed["exposure"][0]["requests"], listed["amount_usd"]) == ("relay", 2, "0.012")
    form = {"provider": "relay", "billed_usd": "0.006", "reason": "bill 7", "actor": "ann"}
    path = "/admin/v1/ledger/exposure/reconciliations"
    for wrong in ({**form, "billed_usd": "-1"}, {**form, "billed_usd": "1"}, {**form, "provider": "other"}):
        assert (await served.ask("POST", path, json=wrong, headers=admin)).status == 400
    done = await served.ask("POST", path, json=form, headers=admin)
    assert done.json == {"requests": 2, "billed_usd": "0.006", "returned_usd": "0.006"}
    assert (await served.ask("GET", "/admin/v1/ledger/exposure", headers=admin)).json["exposure"] == []
    assert await served.gateway.store.reports.verify() == []


JOBS = """
from proxy import Exchange, Finish, NoOptions, Send, TextDelta, UpstreamFailed, DONE, hookimpl

class Job(Exchange):
    def __init__(self):
        self.steps = iter([Send(path="/look", method="GET"), Send(path="/work"), Send(path="/result", method="GET")])
    def next(self):
        return next(self.steps, DONE)
    def feed_head(self, status, headers):
        self.status = status
    def feed_eof(self):
        if self.status != 200:
            raise UpstreamFailed("no")
        return ()

class Jobs:
    name, base_url, signer, simulated, options, prompt_overhead_tokens = "jobs", None, "bearer", False, NoOptions, 0
    def open(self, chat, target):
        return Job()

@hookimpl
def register_adapters(register):
    register(Jobs())
"""


SENDS = """
from proxy import hookimpl

class Sends:
    def __init__(self, headers):
        self.headers, self.told = headers, 0
    def dispatched(self):
        self.told += 1
        self.headers["x-sends"] = str(self.told)
    def settle(self, charge):
        pass
    def void(self):
        pass

@hookimpl
def reserve(ctx):
    return Sends(ctx.reply_headers)
"""


@pytest.mark.parametrize(("answers", "owed"), [(("500",), 0), (("200", "500"), 0), (("200", "200", "500"), MOST)])
async def test_a_provider_that_is_asked_first_and_polled_then(
    serve: Serve, scripted: Scripted, answers: tuple[str, ...], owed: int
) -> None:
    script = [step for status in answers for step in (READ, http_head(f"{status} X", content_length="0"))]
    upstream = await scripted(script)
    served = await serve(
        providers={"relay": {"adapter": "jobs", "base_url": upstream.url, "api_key": "sk-upstream"}},
        models={"doubao-seed": files.model(files.route("relay", "relay"), price=PRICE)},
        keys=[files.key("ci", files.KEY)],
        plugins=["virtual_keys", "budget", "./sends.py", "routing", "metering", "metrics", "./jobs.py"],
        also={"jobs.py": JOBS, "sends.py": SENDS},
    )
    answer = await served.chat(max_tokens=6)
    assert answer.status == 502
    tries = 1 if owed else 3  # a job that was taken is not given twice
    assert len(upstream.requests) == tries * len(answers) == int(answer.headers["x-sends"])
    assert sum(amount for _, _, amount in await exposed(served)) == owed


FAILS_AT_THE_END = [
    "@hookimpl\ndef meter(ctx):\n    1 / 0\n",
    "class Hold:\n    def settle(self, charge):\n        1 / 0\n    def void(self):\n        pass\n\n"
    "@hookimpl\ndef reserve(ctx):\n    return Hold()\n",
]


@pytest.mark.parametrize("plugin", FAILS_AT_THE_END, ids=["meter", "settle"])
async def test_what_a_plugin_keeps_from_being_charged(serve: Serve, plugin: str) -> None:
    served = await serve(
        providers={"simulator": files.SIMULATOR},
        models={"doubao-seed": files.model(files.route("sim", "simulator"), price={"input": 0, "output": 1000})},
        keys=[files.key("ci", files.KEY, budget={"daily_usd": 1})],
        budget={"daily_usd": 1},
        plugins=["virtual_keys", "budget", "./bad.py", "routing", "metering", "metrics"],
        also={"bad.py": f"from proxy import hookimpl\n\n{plugin}"},
    )
    with capture_logs():
        answer = await served.chat(max_tokens=6)
    assert (answer.status, answer.error["code"]) == (500, "plugin_error")
    assert await exposed(served) == [("simulator", "", MOST)]  # the usage log, which knows its model, has no row
    assert await posted(served) == {"gateway": MOST, "key:ci": 0}
