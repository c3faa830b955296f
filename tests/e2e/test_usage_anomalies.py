"""Providers that count what can't be true: the answer is served, the anomaly counted, and nothing billed in silence."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from proxy.jsontext import dumps
from tests.e2e import files
from tests.e2e.conftest import Serve
from tests.fakes import READ, ScriptedUpstream, chunk, http_head

Scripted = Callable[..., Awaitable[ScriptedUpstream]]
SSE = http_head(content_type="text/event-stream", transfer_encoding="chunked")
TEXT = "word" * 9
"""Nine tokens by our own estimate; the JSON of the prompt has ten."""

OPENAI = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}
CASES: list[tuple[Any, list[str], tuple[int, int, int], bool]] = [
    # the provider's usage blocks in turn, the kinds, (input, cached, output) tokens that are billed, estimated
    ([OPENAI], [], (100, 0, 50), False),
    ([{**OPENAI, "prompt_tokens": -1}], ["unusable"], (10, 0, 9), True),
    ([{**OPENAI, "completion_tokens": 10**18}], ["unusable"], (10, 0, 9), True),
    ([{**OPENAI, "completion_tokens": "50"}], ["unusable"], (10, 0, 9), True),
    ([{**OPENAI, "prompt_tokens_details": {"cached_tokens": 101}}], ["parts"], (100, 0, 50), True),
    ([{**OPENAI, "prompt_tokens": 1, "prompt_tokens_details": {"cached_tokens": 2}}], ["parts"], (10, 0, 50), True),
    ([{**OPENAI, "completion_tokens_details": {"reasoning_tokens": 51}}], ["parts"], (100, 0, 50), True),
    ([OPENAI, {**OPENAI, "completion_tokens": 20}], ["falling"], (100, 0, 50), False),
    ([{**OPENAI, "completion_tokens": 0}], ["zero"], (100, 0, 0), False),
]


def answer(blocks: list[Any], stream: bool) -> list[Any]:
    head = {"id": "1", "created": 1, "model": "m"}
    if not stream:
        choice = {"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}
        body = dumps({**head, "choices": [choice], "usage": blocks[-1]})
        return [READ, http_head(content_type="application/json", content_length=str(len(body))) + body]
    deltas = [{"index": 0, "delta": {"content": TEXT}}, {"index": 0, "delta": {}, "finish_reason": "stop"}]
    chunks = [{**head, "choices": [delta]} for delta in deltas] + [{**head, "choices": [], "usage": block} for block in blocks]
    events = b"".join(b"data: " + dumps(each) + b"\n\n" for each in chunks)
    return [READ, SSE, chunk(events + b"data: [DONE]\n\n"), chunk(b"")]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("blocks", "kinds", "billed", "estimated"), CASES)
async def test_counted_and_never_billed_in_silence(
    serve: Serve, scripted: Scripted, blocks: Any, kinds: list[str], billed: tuple[int, int, int], estimated: bool, stream: bool
) -> None:
    if len(blocks) > 1 and not stream:
        blocks, kinds, billed = blocks[:1], [], (100, 0, 50)
    upstream = await scripted(answer(blocks, stream))
    served = await serve(
        providers={"relay": {"adapter": "openai_chat", "base_url": upstream.url, "api_key": "sk-upstream"}},
        models={"doubao-seed": files.model(files.route("relay", "relay"))},
        keys=[files.key("ci", files.KEY, budget={"daily_usd": 1})],
    )
    assert (await served.chat(stream=stream)).status == 200
    (logged,) = await served.gateway.store.requests.page(0, 2**62, {}, limit=2)
    assert (logged.input_tokens, logged.cached_input_tokens, logged.output_tokens) == billed
    assert logged.estimated is estimated
    assert logged.debit == billed[0] * 1000 + billed[2] * 2000
    assert ("[the provider's counts: " in logged.price_line) is bool(kinds)
    for kind in ("unusable", "parts", "falling", "zero"):
        counted = await served.metric("paifang_usage_anomalies_total", route="relay", kind=kind)
        assert counted == kinds.count(kind)
    assert await served.metric("paifang_usage_anomalies_total") == len(kinds)
