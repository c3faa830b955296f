"""Volcengine's two Ark SDKs as clients of the gateway: they write every unset parameter as null."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import arkruntime  # type: ignore[import-untyped]
import pytest
import volcenginesdkarkruntime  # type: ignore[import-untyped]

from tests.e2e.conftest import Fakes
from tests.e2e.files import HI, KEY, WEATHER
from tests.e2e.processes import GatewayProcess

HELLO = "Hello, you said: hi"
MESSAGES: Any = HI
TOOLS: Any = [WEATHER]
USE_TOOL: Any = [{"role": "user", "content": "use get_weather"}]


@pytest.fixture(params=[volcenginesdkarkruntime.Ark, arkruntime.Ark], ids=["ark5", "ark0"])
def client(shared_process: GatewayProcess, request: pytest.FixtureRequest) -> Iterator[Any]:
    made = request.param(api_key=KEY, base_url=f"{shared_process.url}/v1", max_retries=0)
    yield made
    made.close()


@pytest.mark.parametrize("model", ["doubao-seed", "messages", "responses", "relayed"])
def test_create(client: Any, model: str) -> None:
    answer: Any = client.chat.completions.create(model=model, messages=MESSAGES)
    assert (answer.model, answer.choices[0].message.content, answer.choices[0].finish_reason) == (model, HELLO, "stop")
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_its_nulls_do_not_reach_the_provider(client: Any, fakes: Fakes) -> None:
    client.chat.completions.create(model="relayed", messages=MESSAGES)
    body = fakes.openai.requests[-1].body
    assert body is not None and None not in body.values()


def test_reasoning(client: Any) -> None:
    answer: Any = client.chat.completions.create(model="doubao-seed", messages=MESSAGES, thinking={"type": "enabled"})
    assert answer.choices[0].message.reasoning_content == "The user asks, so I answer."
    answer = client.chat.completions.create(model="doubao-seed", messages=MESSAGES, thinking={"type": "disabled"})
    assert answer.choices[0].message.reasoning_content is None


@pytest.mark.parametrize("model", ["doubao-seed", "messages", "responses", "relayed", "simulated"])
def test_stream(client: Any, model: str) -> None:
    options: Any = {"include_usage": True}
    stream: Any = client.chat.completions.create(model=model, messages=MESSAGES, stream=True, stream_options=options)
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == HELLO or model == "simulated"
    assert chunks[-1].usage.completion_tokens > 0 and {chunk.model for chunk in chunks} == {model}


def test_tools(client: Any) -> None:
    answer: Any = client.chat.completions.create(model="doubao-seed", messages=USE_TOOL, tools=TOOLS)
    [call] = answer.choices[0].message.tool_calls
    assert call.function.name == "get_weather"


def test_errors(client: Any, shared_process: GatewayProcess) -> None:
    with pytest.raises(Exception, match="gpt-17") as unknown:
        client.chat.completions.create(model="gpt-17", messages=MESSAGES)
    error: Any = unknown.value
    assert (type(error).__name__, error.code) == ("ArkNotFoundError", "model_not_found")
    stranger = type(client)(api_key="sk-pf-wrong", base_url=f"{shared_process.url}/v1", max_retries=0)
    with pytest.raises(Exception, match="not known") as refused:
        stranger.chat.completions.create(model="doubao-seed", messages=MESSAGES)
    assert type(refused.value).__name__ == "ArkAuthenticationError"
    stranger.close()


async def test_async(shared_process: GatewayProcess) -> None:
    made = volcenginesdkarkruntime.AsyncArk(api_key=KEY, base_url=f"{shared_process.url}/v1", max_retries=0)
    stream: Any = await made.chat.completions.create(model="doubao-seed", messages=MESSAGES, stream=True)
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    await made.close()
    assert text == HELLO
