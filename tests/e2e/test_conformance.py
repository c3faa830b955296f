"""The table all the way: providers over HTTP, a gateway, OpenAI's SDK. Its user can't tell which of them answered."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import openai
import pytest
import pytest_asyncio
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from proxy.testkit import FAILURES, SCENARIOS, Call, Door, Failure, Scenario, provider_of, running
from tests.adapters.doors import DOORS

BY_NAME = {str(door): door for door in DOORS if not door.adapter.simulated}
ANSWERED = [(name, told) for name, door in BY_NAME.items() for told in SCENARIOS if told.name in door.answers]
FAILED = [(name, told) for name, door in BY_NAME.items() for told in FAILURES if told.name in door.answers]


def named(value: object) -> str:
    return value.name if isinstance(value, (Scenario, Failure)) else str(value)


def sections(door: Door, url: str) -> dict[str, Any]:
    """A provider and a model for each scenario."""
    options = {} if door.options is None else door.options.model_dump(mode="json", exclude_defaults=True)
    account = {"adapter": door.adapter.name, "api_key": "k", **options}
    price = {"price": {"input": 1, "output": 1}, "family": "f"}
    return {
        "providers": {f"{door}-{name}": {**account, "base_url": f"{url}/{name}"} for name in door.answers},
        "models": {
            f"{door}-{name}": {
                **price,
                "max_output_tokens": 1000,
                "routes": [{"name": f"{door}-{name}", "provider": f"{door}-{name}", "model": door.upstream_model}],
            }
            for name in door.answers
        },
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[openai.AsyncOpenAI]:
    whole: dict[str, dict[str, Any]] = {"providers": {}, "models": {}}
    async with AsyncExitStack() as stack:
        for door in BY_NAME.values():
            for name, section in sections(door, await stack.enter_async_context(provider_of(door))).items():
                whole[name] |= section
        gateway = await stack.enter_async_context(running(tmp_path_factory.mktemp("gateway"), whole))
        made = openai.AsyncOpenAI(base_url=gateway.base_url, api_key=gateway.key, max_retries=0)
        yield await stack.enter_async_context(made)


def calls(message: dict[str, Any]) -> list[Call]:
    return [
        Call(call["id"], call["function"]["name"], json.dumps(json.loads(call["function"]["arguments"])))
        for call in message.get("tool_calls") or ()
    ]


async def ask(client: openai.AsyncOpenAI, model: str, fields: Any) -> ChatCompletion:
    """A JSON answer, or a stream put together by the SDK."""
    if not fields.get("stream"):
        answer = await client.chat.completions.create(model=model, **fields)
        return ChatCompletion.model_validate(answer.model_dump(warnings=False), strict=False)
    asked = {name: value for name, value in fields.items() if name != "stream"}
    async with client.chat.completions.stream(model=model, **asked, stream_options={"include_usage": True}) as stream:
        async for event in stream:
            if event.type == "chunk":
                ChatCompletionChunk.model_validate_json(event.chunk.model_dump_json(exclude_unset=True))
        try:
            return await stream.get_final_completion()
        except openai.LengthFinishReasonError as told:  # how the SDK's helper tells an answer that the cap has ended
            return told.completion


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("door", "scenario"), ANSWERED, ids=named)
async def test_an_answer(client: openai.AsyncOpenAI, door: str, scenario: Scenario) -> None:
    completion = await ask(client, f"{door}-{scenario.name}", scenario.fields)
    (choice,) = completion.choices
    message = choice.message.model_dump(warnings=False)
    assert completion.model == f"{door}-{scenario.name}"
    assert (message["content"] or "", message.get("reasoning_content") or "") == (scenario.text, scenario.reasoning)
    assert calls(message) == [
        Call(call.id, call.name, json.dumps(json.loads(call.arguments))) for call in BY_NAME[door].calls(scenario)
    ]
    assert choice.finish_reason == scenario.finish
    assert completion.usage is not None
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (12, 7)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("door", "failure"), FAILED, ids=named)
async def test_a_failure(client: openai.AsyncOpenAI, door: str, failure: Failure) -> None:
    with pytest.raises(openai.APIError) as caught:
        await ask(client, f"{door}-{failure.name}", {"messages": [{"role": "user", "content": "Hi"}], **failure.fields})
    assert caught.value.code in failure.codes
