"""OpenAI's own SDK over the faults of providers: what it raises, how often it asks, and what that costs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import openai
import pytest

from tests.e2e import files
from tests.e2e.conftest import Serve
from tests.e2e.test_upstream_faults import DELTA, DONE, SSE_HEAD, STOP, WHOLE, behind, error
from tests.e2e.unharmed import unharmed
from tests.fakes import FIN, READ, RST, STALL, ScriptedUpstream, chunk, http_head
from tests.fakes.scripted import Step

Scripted = Callable[..., Awaitable[ScriptedUpstream]]
MESSAGES: Any = files.HI
FAULTS: dict[str, tuple[Sequence[Step], type[openai.APIStatusError], str, int]] = {
    "lost before any byte": ([READ, RST], openai.InternalServerError, "upstream_unreachable", 2),
    "no answer": ([READ, STALL], openai.InternalServerError, "upstream_timeout", 2),
    "garbage": ([READ, b"SSH-2.0-x\r\n", FIN], openai.InternalServerError, "upstream_error", 2),
    "a redirect": (
        [READ, http_head("307 X", location="/", content_length="0"), FIN], openai.InternalServerError, "upstream_error", 2,
    ),
    "a broken answer": (
        [READ, http_head(content_length="99"), b'{"id"', FIN], openai.InternalServerError, "upstream_error", 2,
    ),
    "a wrong key of ours": (
        [READ, error("401 X", b'{"error":{"message":"bad key sk-upstream-secret"}}'), FIN],
        openai.InternalServerError, "upstream_auth_failed", 1,
    ),
    "a request that it refuses": (
        [READ, error("400 X", b'{"error":{"message":"no"}}'), FIN], openai.BadRequestError, "upstream_invalid_request", 1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("script", "raised", "code", "asked"), FAULTS.values(), ids=FAULTS)
async def test_before_the_answer(
    serve: Serve, scripted: Scripted, script: Any, raised: type[openai.APIStatusError], code: str, asked: int, stream: bool
) -> None:
    upstream = await scripted(script)
    served = await behind(serve, upstream)
    async with openai.AsyncOpenAI(api_key=files.KEY, base_url=f"{served.url}/v1", max_retries=1) as client:
        with pytest.raises(raised) as caught:
            await client.chat.completions.create(model="m", messages=MESSAGES, stream=stream)
    assert caught.value.code == code and "sk-upstream" not in str(caught.value)
    assert upstream.connections == asked
    assert await served.metric("paifang_cost_usd_total", route="m/relay") == 0
    await unharmed(served, holds=asked)


@pytest.mark.parametrize("end", [[STALL], [FIN], [0.05, RST], [chunk(b""), STALL], [chunk(b"data: {oops\n\n"), STALL]])
async def test_a_stream_that_breaks_never_looks_complete(serve: Serve, scripted: Scripted, end: list[Step]) -> None:
    upstream = await scripted([READ, SSE_HEAD, chunk(DELTA), *end])
    served = await behind(serve, upstream)
    text = ""
    async with openai.AsyncOpenAI(api_key=files.KEY, base_url=f"{served.url}/v1") as client:
        with pytest.raises(openai.APIError):
            async for part in await client.chat.completions.create(model="m", messages=MESSAGES, stream=True):
                text += part.choices[0].delta.content or ""
    assert text == "half an answer" and upstream.connections == 1
    assert await served.metric("paifang_cost_usd_total", route="m/relay") > 0
    await unharmed(served)


async def test_a_fault_that_passes_is_got_over(serve: Serve, scripted: Scripted) -> None:
    whole = [READ, SSE_HEAD, chunk(DELTA + STOP + DONE), chunk(b"")]
    upstream = await scripted([READ, error("503 X")], whole, [READ, b"garbage\r\n\r\n"], [READ, WHOLE])
    served = await behind(serve, upstream)
    async with openai.AsyncOpenAI(api_key=files.KEY, base_url=f"{served.url}/v1") as client:
        answers = [await client.chat.completions.create(model="m", messages=MESSAGES) for _ in range(2)]
    assert [answer.choices[0].message.content for answer in answers] == ["half an answer", "all of it"]
    assert upstream.connections == 4
    await unharmed(served)
