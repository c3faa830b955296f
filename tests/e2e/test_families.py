"""Each family's fake behind the gateway, asked with OpenAI's own SDK: streams, tools, reasoning given back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import openai
import pytest

from tests.e2e import files
from tests.e2e.conftest import Serve, Served
from tests.fakes.families import MODELS, fake
from tests.fakes.family import FakeFamily

HELLO = "Hello, you said: hi"
REASON = "The user asks, so I answer."
THINK_UNASKED = {"deepseek", "kimi", "glm", "minimax", "stepfun", "spark", "sensenova", "pangu", "longcat"}
USE_TOOL: Any = [{"role": "user", "content": "use get_weather"}]
HI: Any = files.HI
TOOLS: Any = [files.WEATHER]


class Family:
    """One family's vendor, the gateway before it, and an SDK that knows neither."""

    def __init__(self, name: str, vendor: FakeFamily, served: Served, sdk: openai.AsyncOpenAI) -> None:
        self.name, self.vendor, self.served, self.sdk = name, vendor, served, sdk
        self.reasoning = REASON if name in THINK_UNASKED else None

    @property
    def last_asked(self) -> Any:
        return self.vendor.requests[-1].body


@pytest.fixture(params=MODELS)
async def family(request: pytest.FixtureRequest, serve: Serve) -> AsyncIterator[Family]:
    name = request.param
    async with AsyncExitStack() as stack:
        vendor = await stack.enter_async_context(fake(name))
        served = await serve(
            providers={name: {"adapter": name, "base_url": vendor.base_url, "api_key": vendor.key}},
            models={name: files.model(files.route(name, name, MODELS[name]), family=name)},
            keys=[files.key("all", files.KEY)],
        )
        sdk = await stack.enter_async_context(openai.AsyncOpenAI(api_key=files.KEY, base_url=f"{served.url}/v1", max_retries=0))
        yield Family(name, vendor, served, sdk)


def reasoning_of(message: Any) -> Any:
    return getattr(message, "reasoning_content", None)


async def test_it_answers_and_streams(family: Family) -> None:
    answer: Any = await family.sdk.chat.completions.create(model=family.name, messages=HI)
    assert (answer.model, answer.object) == (family.name, "chat.completion")
    [choice] = answer.choices
    assert (choice.message.content, reasoning_of(choice.message), choice.finish_reason) == (HELLO, family.reasoning, "stop")
    assert answer.usage.tracked and answer.usage.cost > 0
    with_usage: Any = {"include_usage": True}
    stream = await family.sdk.chat.completions.create(model=family.name, messages=HI, stream=True, stream_options=with_usage)
    *chunks, last = [chunk async for chunk in stream]
    assert {(chunk.object, chunk.model) for chunk in chunks} == {("chat.completion.chunk", family.name)}
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert "".join(delta.content or "" for delta in deltas) == HELLO
    assert ("".join(reasoning_of(delta) or "" for delta in deltas) or None) == family.reasoning
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices[0].finish_reason] == ["stop"]
    usage: Any = last.usage
    # Baichuan refuses stream_options, and nobody vouches for usage without them: it is estimated, and says so.
    estimated = family.name == "baichuan"
    assert last.choices == [] and getattr(usage, "estimated", False) is estimated
    assert estimated or usage.completion_tokens == answer.usage.completion_tokens


async def test_it_calls_tools_and_gets_its_reasoning_back(family: Family) -> None:
    asked: Any = {"model": family.name, "messages": USE_TOOL, "tools": TOOLS}
    async with family.sdk.chat.completions.stream(**asked) as stream:
        [streamed] = (await stream.get_final_completion()).choices
    [told] = (await family.sdk.chat.completions.create(**asked)).choices
    for choice in (streamed, told):
        assert choice.finish_reason == "tool_calls" and choice.message.tool_calls
        [call] = choice.message.tool_calls
        assert call.id and (call.function.name, call.function.arguments) == ("get_weather", '{"city":"text"}')
        result = {"role": "tool", "tool_call_id": call.id, "content": "22 degrees"}
        history: Any = [*USE_TOOL, choice.message.model_dump(exclude_none=True, exclude={"parsed"}), result]
        answer = await family.sdk.chat.completions.create(model=family.name, messages=history, tools=TOOLS)
        assert answer.choices[0].message.content == "The tool said: 22 degrees"
        given = family.last_asked["messages"][1]
        details = [detail["text"] for detail in given.get("reasoning_details", [])]
        assert ("".join(details) or given.get("reasoning_content")) == family.reasoning


async def test_its_account_without_money_is_the_operators_trouble(family: Family) -> None:
    family.vendor.fail_next(402, "403004" if family.name == "hunyuan" else "1008", "余额不足")
    with pytest.raises(openai.APIStatusError) as caught:
        await family.sdk.chat.completions.create(model=family.name, messages=HI)
    expected = "upstream_model_unavailable" if family.name == "hunyuan" else "upstream_quota_exhausted"
    assert (caught.value.status_code, caught.value.code) == (502, expected)
    assert "余额" not in str(caught.value.body)


@pytest.mark.parametrize("name", ["ernie", "zhinao"])
async def test_it_makes_embeddings(serve: Serve, name: str) -> None:
    async with fake(name) as vendor:
        vectors = {"task": "embeddings", "family": name, "price": {"input": 1}, "routes": [files.route(name, name, "any")]}
        served = await serve(
            providers={name: {"adapter": name, "base_url": vendor.base_url, "api_key": vendor.key}},
            models={"vectors": vectors},
            keys=[files.key("all", files.KEY)],
        )
        async with openai.AsyncOpenAI(api_key=files.KEY, base_url=f"{served.url}/v1", max_retries=0) as sdk:
            answer = await sdk.embeddings.create(model="vectors", input=["a", "b c"])
            assert (answer.model, len(answer.data), answer.usage.prompt_tokens) == ("vectors", 2, 3)
            vendor.fail_next(200 if name == "ernie" else 429, "rpm_rate_limit_exceeded")
            with pytest.raises(openai.RateLimitError):
                await sdk.embeddings.create(model="vectors", input="a")


async def test_a_signed_token_is_all_that_zhipu_sees(serve: Serve) -> None:
    async with fake("glm") as vendor:
        served = await serve(
            providers={
                "glm": {"adapter": "glm", "base_url": vendor.base_url, "api_key": "id.secret-of-zhipu", "auth": "jwt"},
                "broken": {"adapter": "glm", "base_url": vendor.base_url, "api_key": "no-pair-at-all", "auth": "jwt"},
            },
            models={name: files.model(files.route(name, name, "glm-4.6"), family="glm") for name in ("glm", "broken")},
            keys=[files.key("all", files.KEY)],
        )
        assert (await served.chat("glm")).error["code"] == "upstream_auth_failed"  # the fake knows another key
        [received] = vendor.requests
        scheme, token = received.headers["Authorization"].split(" ")
        assert scheme == "Bearer" and token.count(".") == 2 and "secret-of-zhipu" not in token
        answer = await served.chat("broken")
        assert (answer.status, answer.error["code"]) == (502, "upstream_auth_failed")
        assert len(vendor.requests) == 1 and "no-pair" not in answer.raw.decode()
