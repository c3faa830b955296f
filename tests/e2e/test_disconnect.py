"""Clients that leave: what their provider goes on doing, and the bill of each `on_disconnect`, stream and JSON alike.

An output token costs 0.001 USD and input nothing, so that "Hello, you said: hi", six tokens, costs 0.006 USD.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from proxy import pipeline
from proxy.story import Story
from tests.e2e import files
from tests.e2e.conftest import Serve, Served
from tests.fakes import FakeOpenAI

PRICE = {"input": 0, "output": 1000}
WHOLE, MOST = 6_000_000, 8_000_000
"""Of the answer, and of the eight tokens that are asked for."""


class Bill(NamedTuple):
    """What became of a request whose client left."""

    provider_was_cut_off: bool
    debit: int | tuple[int, int]
    """Nano-USD; a range where it is estimated."""
    estimated: bool = False
    exposure: int = 0


BEFORE, DURING = "before the first byte", "in the middle"
PART = (1_000_000, 5_000_000)
TABLE: list[tuple[str, bool, str, float, Bill]] = [
    # policy, stream, when the client leaves, how long a drain may take
    ("cancel", True, DURING, 60, Bill(True, PART, estimated=True)),
    ("cancel", True, BEFORE, 60, Bill(True, 0, exposure=MOST)),
    ("cancel", False, BEFORE, 60, Bill(True, 0, exposure=MOST)),
    ("drain", True, DURING, 60, Bill(False, WHOLE)),
    ("drain", True, BEFORE, 60, Bill(False, WHOLE)),
    ("drain", False, BEFORE, 60, Bill(False, WHOLE)),
    ("drain", True, DURING, 0.1, Bill(True, PART, estimated=True)),
    ("drain", True, BEFORE, 0.1, Bill(True, 0, exposure=MOST)),
    ("drain", False, BEFORE, 0.1, Bill(True, 0, exposure=MOST)),
    ("finish", True, DURING, 0.1, Bill(False, WHOLE)),
    ("finish", True, BEFORE, 0.1, Bill(False, WHOLE)),
    ("finish", False, BEFORE, 0.1, Bill(False, WHOLE)),
]


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


async def leave(served: Served, fake: FakeOpenAI, *, stream: bool, when: str) -> None:
    body = {"model": "doubao-seed", "messages": files.HI, "max_tokens": 8, "stream": stream}
    asking = asyncio.ensure_future(served.open(body))
    await eventually(lambda: len(fake.requests) == 1)
    if when is BEFORE:
        asking.cancel()
        await asyncio.wait([asking])
        return
    response = await asking
    while b"Hello" not in await response.content.readany():
        pass
    response.close()


@pytest.mark.parametrize(("policy", "stream", "when", "drain_s", "bill"), TABLE)
async def test_the_bill_of_a_client_that_left(
    serve: Serve,
    fake_openai: FakeOpenAI,
    monkeypatch: pytest.MonkeyPatch,
    policy: str,
    stream: bool,
    when: str,
    drain_s: float,
    bill: Bill,
) -> None:
    monkeypatch.setattr(pipeline, "DRAIN_S", drain_s)
    served = await serve(
        providers={"relay": files.relay(fake_openai, on_disconnect=policy), "other": files.SIMULATOR},
        models={"doubao-seed": files.model(files.route("relay", "relay"), price=PRICE)},
        keys=[files.key("ci", files.KEY, budget={"daily_usd": 1})],
    )
    fake_openai.delay(before_s=0.3 if when is BEFORE else 0, between_s=0.06)
    await leave(served, fake_openai, stream=stream, when=when)
    store = served.gateway.store
    async with asyncio.timeout(5):
        while not (logged := await store.requests.page(0, 2**62, {}, limit=2)):
            await asyncio.sleep(0.02)
    (request,) = logged
    assert (request.ended, request.status, request.estimated) == ("client_gone", 499, bill.estimated)
    lowest, highest = bill.debit if isinstance(bill.debit, tuple) else (bill.debit, bill.debit)
    assert lowest <= request.debit <= highest
    assert sum(one.amount_nanousd for one in await store.exposures.open(0, 2**62, "UTC")) == bill.exposure
    if bill.provider_was_cut_off:
        await eventually(lambda: fake_openai.requests[0].hung_up)
    else:
        assert not fake_openai.requests[0].hung_up
    assert await store.reports.verify() == []
    assert store.ledger.unsettled == 0


async def test_nothing_is_kept_of_a_drained_request_once_it_is_over(serve: Serve, fake_openai: FakeOpenAI) -> None:
    served = await serve(
        providers={"relay": files.relay(fake_openai, on_disconnect="drain")},
        models={"doubao-seed": files.model(files.route("relay", "relay"), price=PRICE)},
        keys=[files.key("ci", files.KEY)],
    )
    fake_openai.delay(before_s=0.3)
    await leave(served, fake_openai, stream=False, when=BEFORE)
    [request_id] = [story.ctx.request_id for story in served.gateway.pipeline.running]
    await eventually(lambda: not served.gateway.pipeline.unfinished())
    await asyncio.sleep(0.1)  # its tasks end
    gc.collect()
    assert not [kept for kept in gc.get_objects() if isinstance(kept, Story) and kept.ctx.request_id == request_id]


async def test_nobody_else_is_asked_for_a_client_that_left(serve: Serve, fake_openai: FakeOpenAI) -> None:
    served = await serve(
        providers={"relay": files.relay(fake_openai, on_disconnect="finish"), "sim": files.SIMULATOR},
        models={
            "doubao-seed": files.model(
                files.route("relay", "relay", priority=1), files.route("sim", "sim", priority=2, enabled=True), price=PRICE
            )
        },
        keys=[files.key("ci", files.KEY)],
    )
    fake_openai.delay(before_s=0.2)
    fake_openai.fail_next(500, "server_error", "oops")
    await leave(served, fake_openai, stream=False, when=BEFORE)
    log: Any = served.gateway.store.requests
    async with asyncio.timeout(5):
        while not (logged := await log.page(0, 2**62, {}, limit=2)):
            await asyncio.sleep(0.02)
    assert [(request.route, request.attempts, request.debit) for request in logged] == [("relay", 1, 0)]
