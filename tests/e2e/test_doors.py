"""Every adapter behind one gateway: whatever the provider's dialect, the client sees the same shapes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.conftest import Served
from tests.e2e.files import ARK_MODEL, WEATHER
from tests.fakes import Answer, FakeArk, FakeOpenAI

PROVIDERS = ["doubao-seed", "messages", "responses", "relayed"]
DOORS = [*PROVIDERS, "simulated"]
ROUTES = {"doubao-seed": "ark-lite", "messages": "msgs", "responses": "resp", "relayed": "relay", "simulated": "sim"}
CAPS = {
    "doubao-seed": "max_completion_tokens",
    "messages": "max_tokens",
    "responses": "max_output_tokens",
    "relayed": "max_tokens",
}
THOUGHT = "One moment."
ON: Any = {"enable_thinking": True}
OFF: Any = {"enable_thinking": False}


@pytest.mark.parametrize("model", DOORS)
async def test_json(gateway: Served, model: str) -> None:
    answered = await gateway.chat(model, **OFF)
    body = answered.json
    assert (answered.status, body["object"], body["model"]) == (200, "chat.completion", model)
    [choice] = body["choices"]
    assert choice["finish_reason"] == "stop" and choice["index"] == 0
    assert choice["message"]["role"] == "assistant" and choice["message"]["content"].endswith("hi")
    usage = body["usage"]
    assert usage["prompt_tokens"] == usage["input_tokens"] > 0
    assert usage["completion_tokens"] == usage["output_tokens"] > 0
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 0
    assert usage["prompt_tokens_details"]["cached_tokens"] == 0
    assert (usage["tracked"], usage["currency"]) == (True, "USD")
    nanousd = usage["input_tokens"] * 1000 + usage["output_tokens"] * 2000
    assert usage["cost"] == nanousd / 1e9 == float(answered.headers["x-paifang-cost-usd"])
    assert answered.headers["x-paifang-route"] == ROUTES[model] and answered.headers["x-paifang-attempts"] == "1"
    assert answered.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize("model", DOORS)
async def test_stream(gateway: Served, model: str) -> None:
    answered = await gateway.chat(model, stream=True, **OFF)
    *chunks, done = answered.events
    assert done == "[DONE]" and answered.headers["content-type"].startswith("text/event-stream")
    assert {chunk["model"] for chunk in chunks} == {model}
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert not any(chunk.get("usage") for chunk in chunks)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0]["role"] == "assistant"
    assert "".join(delta.get("content") or "" for delta in deltas).endswith("hi")
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks if chunk["choices"][0].get("finish_reason")] == ["stop"]
    assert answered.headers["x-paifang-route"] == ROUTES[model]


@pytest.mark.parametrize("model", DOORS)
async def test_stream_and_json_cost_the_same(gateway: Served, model: str) -> None:
    whole = (await gateway.chat(model)).json["usage"]
    answered = await gateway.chat(model, stream=True, stream_options={"include_usage": True})
    *chunks, last, _ = answered.events
    assert last["choices"] == [] and last["usage"] == whole
    assert all(chunk.get("usage") is None and chunk["choices"] for chunk in chunks)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", DOORS)
async def test_tools(gateway: Served, model: str, stream: bool) -> None:
    answered = await gateway.chat(model, tools=[WEATHER], tool_choice="required", stream=stream, **OFF)
    if stream:
        *chunks, _ = answered.events
        fragments = [f for c in chunks for f in c["choices"][0]["delta"].get("tool_calls", ())]
        name = "".join(f["function"].get("name") or "" for f in fragments)
        arguments = "".join(f["function"].get("arguments") or "" for f in fragments)
        finish = [c["choices"][0].get("finish_reason") for c in chunks][-1]
        assert {f["index"] for f in fragments} == {0} and fragments[0]["id"] and fragments[0]["type"] == "function"
    else:
        [choice] = answered.json["choices"]
        [call] = choice["message"]["tool_calls"]
        name, arguments, finish = call["function"]["name"], call["function"]["arguments"], choice["finish_reason"]
        assert call["id"] and call["type"] == "function"
    assert (name, finish) == ("get_weather", "tool_calls")
    assert list(json.loads(arguments)) == ["city"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", DOORS)
async def test_reasoning(gateway: Served, fake_openai: FakeOpenAI, model: str, stream: bool) -> None:
    fake_openai.answer = Answer(text="Hello.", reasoning=THOUGHT)
    answered = await gateway.chat(model, stream=stream, stream_options={"include_usage": True} if stream else None, **ON)
    if stream:
        *chunks, last, _ = answered.events
        deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
        thought = "".join(delta.get("reasoning_content") or "" for delta in deltas)
        text = "".join(delta.get("content") or "" for delta in deltas)
        usage = last["usage"]
    else:
        message = answered.json["choices"][0]["message"]
        thought, text, usage = message["reasoning_content"], message["content"], answered.json["usage"]
    assert thought and text
    # Anthropic's shape doesn't tell how much of the output was reasoning.
    assert usage["completion_tokens_details"]["reasoning_tokens"] > 0 or model == "messages"
    assert thought == THOUGHT or model != "relayed"


@pytest.mark.parametrize("model", PROVIDERS)
async def test_the_cap_is_written_upstream_in_the_doors_own_words(
    gateway: Served, fake_ark: FakeArk, fake_openai: FakeOpenAI, model: str
) -> None:
    word = CAPS[model]
    cases: list[tuple[Any, int]] = [({}, 4096), ({"max_tokens": 2}, 2), ({"max_completion_tokens": 3}, 3)]
    for given, written in cases:
        answered = await gateway.chat(model, **given, **OFF)
        assert answered.json["usage"]["output_tokens"] <= written
        body = (fake_openai if model == "relayed" else fake_ark).requests[-1].body or {}
        caps = {name: body[name] for name in CAPS.values() if name in body}
        assert caps in ({word: written}, given)
    assert answered.json["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize("model", PROVIDERS)
async def test_the_provider_gets_its_own_model_and_credential(
    gateway: Served, fake_ark: FakeArk, fake_openai: FakeOpenAI, model: str
) -> None:
    headers = {"x-client-request-id": "mine", "cookie": "a=b", "x-api-version": "1"}
    answered = await gateway.chat(model, headers=headers)
    assert answered.headers["x-client-request-id"] == "mine"
    received = (fake_openai if model == "relayed" else fake_ark).requests[-1]
    assert received.model == ("doubao-seed" if model == "relayed" else ARK_MODEL)
    sent = str(dict(received.headers))
    assert gateway.key not in sent and gateway.key not in received.raw.decode()
    assert not {"cookie", "x-api-version"} & {name.lower() for name in received.headers}


@pytest.mark.parametrize("model", PROVIDERS)
async def test_cached_input(gateway: Served, fake_ark: FakeArk, fake_openai: FakeOpenAI, model: str) -> None:
    fake_ark.cached_tokens = fake_openai.cached_tokens = 2
    usage: Any = (await gateway.chat(model)).json["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] == 2
    assert usage["input_tokens"] == 4


async def test_an_alias_is_answered_under_the_name_that_was_asked_for(gateway: Served) -> None:
    assert (await gateway.chat("doubao")).json["model"] == "doubao"
    *chunks, _ = (await gateway.chat("doubao", stream=True)).events
    assert {chunk["model"] for chunk in chunks} == {"doubao"}
