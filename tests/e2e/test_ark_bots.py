"""A bot as a model: OpenAI's SDK, the gateway, the fake Ark."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from tests.e2e import files
from tests.e2e.conftest import Serve
from tests.fakes import FakeArk
from tests.fakes.ark import BOT

HELLO = "Hello, you said: hi"
HI: Any = files.HI
PAGE = {"url": "https://e.example/a", "title": "t", "summary": "s"}


@pytest.fixture
async def client(serve: Serve, fake_ark: FakeArk) -> AsyncIterator[openai.AsyncOpenAI]:
    fake_ark.references = [PAGE]
    served = await serve(
        providers={"bots": files.ark_bots(fake_ark)},
        models={"helper": files.model(files.route("bot", "bots", BOT), context_tokens=100_000)},
        keys=[files.key("all", files.KEY, budget={"daily_usd": 1})],
    )
    async with openai.AsyncOpenAI(api_key=files.KEY, base_url=f"{served.url}/v1", max_retries=0) as made:
        yield made


async def test_json(client: openai.AsyncOpenAI, fake_ark: FakeArk) -> None:
    answer = await client.chat.completions.create(model="helper", messages=HI)
    message: Any = answer.choices[0].message
    assert (answer.model, message.content) == ("helper", HELLO)
    [annotation] = message.annotations
    assert (annotation.type, annotation.url_citation.url, annotation.url_citation.title) == ("url_citation", PAGE["url"], "t")
    usage: Any = answer.usage
    [bill] = fake_ark.billed
    assert (usage.prompt_tokens, usage.completion_tokens) == (bill.prompt, bill.completion) == (9, 16)
    assert usage.total_tokens == 25 and usage.cost == pytest.approx((9 * 1 + 16 * 2) / 1e6)


async def test_stream(client: openai.AsyncOpenAI, fake_ark: FakeArk) -> None:
    stream = await client.chat.completions.create(
        model="helper", messages=HI, stream=True, stream_options={"include_usage": True}
    )
    *chunks, last = [chunk async for chunk in stream]
    deltas: list[Any] = [chunk.choices[0].delta for chunk in chunks]
    assert "".join(delta.content or "" for delta in deltas) == HELLO
    assert [getattr(delta, "annotations", None) is not None for delta in deltas] == [True] + [False] * (len(deltas) - 1)
    assert all(chunk.usage is None for chunk in chunks) and last.usage
    [bill] = fake_ark.billed
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (bill.prompt, bill.completion)


async def test_a_bot_that_does_not_exist(client: openai.AsyncOpenAI, fake_ark: FakeArk) -> None:
    fake_ark.bots.clear()
    with pytest.raises(openai.APIStatusError) as caught:
        await client.chat.completions.create(model="helper", messages=HI)
    assert (caught.value.status_code, caught.value.code) == (502, "upstream_model_unavailable")
