"""Providers that count what can't be true: the answer is served, the anomaly counted, and nothing billed in silence."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from proxy.jsontext import dumps
from tests.e2e import files
from tests.e2e.conftest import Serve, Served
from tests.e2e.unharmed import unharmed
from tests.fakes import READ, ScriptedUpstream, chunk, http_head

Scripted = Callable[..., Awaitable[ScriptedUpstream]]
SSE = http_head(content_type="text/event-stream", transfer_encoding="chunked")
TEXT = "word" * 9
"""Nine tokens by our own estimate; the JSON of the prompt has ten."""

OPENAI = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}
CASES: list[tuple[Any, list[str], tuple[int, int, int], bool]] = [
    # the provider's usage blocks in turn, the kinds, (input, cached, output) tokens that are billed, estimated
    ([OPENAI], [], (100, 0, 50), False),
    # U48
    ([], [], (10, 0, 9), True),
    ([None], [], (10, 0, 9), True),
    # U49: cumulative, and repeated
    ([{**OPENAI, "completion_tokens": 10}, {**OPENAI, "completion_tokens": 30}, OPENAI], [], (100, 0, 50), False),
    ([OPENAI, OPENAI, None], [], (100, 0, 50), False),
    # U51
    ([{**OPENAI, "prompt_tokens": -1}], ["unusable"], (10, 0, 9), True),
    ([{**OPENAI, "completion_tokens": 10**18}], ["unusable"], (10, 0, 9), True),
    ([{**OPENAI, "completion_tokens": "50"}], ["unusable"], (10, 0, 9), True),
    ([{**OPENAI, "prompt_tokens_details": {"cached_tokens": 101}}], ["parts"], (100, 0, 50), True),
    ([{**OPENAI, "prompt_tokens": 1, "prompt_tokens_details": {"cached_tokens": 2}}], ["parts"], (10, 0, 50), True),
    ([{**OPENAI, "completion_tokens_details": {"reasoning_tokens": 51}}], ["parts"], (100, 0, 50), True),
    ([{**OPENAI, "completion_tokens": 99_999_999 + 2}], ["unusable"], (10, 0, 9), True),
    ([{"total_tokens": 150}], ["unusable"], (10, 0, 9), True),
    ([OPENAI, {**OPENAI, "completion_tokens": 20}], ["falling"], (100, 0, 50), False),
    # U50
    ([{**OPENAI, "completion_tokens": 0}], ["zero"], (100, 0, 0), False),
    ([{"prompt_tokens": 0, "completion_tokens": 0}], ["zero"], (0, 0, 0), False),
]


def answer(blocks: list[Any], stream: bool) -> list[Any]:
    head = {"id": "1", "created": 1, "model": "m"}
    if not stream:
        choice = {"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}
        body = dumps({**head, "choices": [choice], **({"usage": blocks[-1]} if blocks else {})})
        return [READ, http_head(content_type="application/json", content_length=str(len(body))) + body]
    deltas: list[Any] = [{"index": 0, "delta": {"content": TEXT}}, {"index": 0, "delta": {}, "finish_reason": "stop"}]
    chunks = [{**head, "choices": [delta]} for delta in deltas]
    for block, each in zip(reversed(blocks), reversed([*chunks, {**head, "choices": []}]), strict=False):
        each["usage"] = block
    chunks += [{**head, "choices": [], "usage": blocks[-1]}] if blocks else []
    events = b"".join(b"data: " + dumps(each) + b"\n\n" for each in chunks)
    return [READ, SSE, chunk(events + b"data: [DONE]\n\n"), chunk(b"")]


async def before(serve: Serve, upstream: ScriptedUpstream, daily_usd: float = 1) -> Served:
    models = {
        "doubao-seed": files.model(files.route("relay", "relay")),
        "simulated": files.model(files.route("sim", "simulator"), free=True),
    }
    return await serve(
        providers={
            "relay": {"adapter": "openai_chat", "base_url": upstream.url, "api_key": "sk-upstream"},
            "simulator": files.SIMULATOR,
        },
        models=models,
        keys=[files.key("ci", files.KEY, budget={"daily_usd": daily_usd})],
    )


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("blocks", "kinds", "billed", "estimated"), CASES)
async def test_counted_and_never_billed_in_silence(
    serve: Serve, scripted: Scripted, blocks: Any, kinds: list[str], billed: tuple[int, int, int], estimated: bool, stream: bool
) -> None:
    if len(blocks) > 1 and not stream:
        blocks, kinds = [OPENAI], []
    upstream = await scripted(answer(blocks, stream))
    served = await before(serve, upstream)
    assert (await served.chat(stream=stream)).status == 200
    (logged,) = await served.gateway.store.requests.page(0, 2**62, {}, limit=2)
    assert (logged.input_tokens, logged.cached_input_tokens, logged.output_tokens) == billed
    assert logged.estimated is estimated
    assert logged.debit == billed[0] * 1000 + billed[2] * 2000
    # What costs nothing has no entry, and so no line.
    assert ("[the provider's counts: " in logged.price_line) is bool(kinds and logged.debit)
    for kind in ("unusable", "parts", "falling", "zero"):
        counted = await served.metric("paifang_usage_anomalies_total", route="relay", kind=kind)
        assert counted == kinds.count(kind)
    assert await served.metric("paifang_usage_anomalies_total") == len(kinds)
    await unharmed(served)


@pytest.mark.parametrize("stream", [False, True])
async def test_more_than_was_held_is_billed_in_full_and_the_next_is_refused(
    serve: Serve, scripted: Scripted, stream: bool
) -> None:
    upstream = await scripted(answer([{"prompt_tokens": 100, "completion_tokens": 50_000}], stream))
    served = await before(serve, upstream, daily_usd=0.05)  # U52
    assert (await served.chat(stream=stream, max_tokens=100)).status == 200
    [logged] = await served.gateway.store.requests.page(0, 2**62, {}, limit=2)
    assert (logged.debit, logged.estimated) == (100 * 1000 + 50_000 * 2000, False)
    refused = await served.chat(max_tokens=1)
    assert (refused.status, refused.error["code"], refused.error["param"]) == (429, "budget_exceeded", "key.daily")
    assert upstream.connections == 1
    store = served.gateway.store
    [overrun] = await store.writer.run(lambda db: db.exec_driver_sql("SELECT overrun FROM spending").scalars().all())
    assert logged.debit - 50_000_000 < overrun < logged.debit and await store.reports.verify() == []
    await unharmed(served)
