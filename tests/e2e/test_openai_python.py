"""OpenAI's own SDK for Python, as it comes from PyPI, pointed at the gateway."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.e2e.conftest import Fakes
from tests.e2e.files import DOUBAO_ONLY, HI, KEY, PENNILESS, WEATHER
from tests.e2e.processes import GatewayProcess

HELLO = "Hello, you said: hi"
MESSAGES: Any = HI
TOOLS: Any = [WEATHER]
USE_TOOL: Any = [{"role": "user", "content": "use get_weather"}]
MODELS = ["doubao-seed", "messages", "responses", "relayed"]
WITH_USAGE: Any = {"include_usage": True}


class Sent:
    """Counts the requests that the SDK really sends."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, request: object) -> None:
        self.count += 1


@pytest.fixture
def sent() -> Sent:
    return Sent()


@pytest.fixture
def client(shared_process: GatewayProcess, sent: Sent) -> Iterator[openai.OpenAI]:
    http = openai.DefaultHttpxClient(event_hooks={"request": [sent]})
    with openai.OpenAI(api_key=KEY, base_url=f"{shared_process.url}/v1", max_retries=1, http_client=http) as made:
        yield made


@pytest.fixture
async def aclient(shared_process: GatewayProcess) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(api_key=KEY, base_url=f"{shared_process.url}/v1", max_retries=0) as made:
        yield made


@pytest.mark.parametrize("model", MODELS)
def test_create(client: openai.OpenAI, model: str) -> None:
    answer = client.chat.completions.create(model=model, messages=MESSAGES)
    assert (answer.object, answer.model) == ("chat.completion", model)
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == (HELLO, "stop")
    usage: Any = answer.usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens == usage.input_tokens + usage.output_tokens
    assert (usage.tracked, usage.currency) == (True, "USD")
    assert usage.cost == pytest.approx(usage.prompt_tokens * 1e-6 + usage.completion_tokens * 2e-6)


@pytest.mark.parametrize("model", [*MODELS, "simulated"])
def test_stream(client: openai.OpenAI, model: str) -> None:
    chunks = list(client.chat.completions.create(model=model, messages=MESSAGES, stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == HELLO or (model == "simulated" and text.endswith("You said: hi"))
    assert {(chunk.object, chunk.model) for chunk in chunks} == {("chat.completion.chunk", model)}
    assert [chunk.choices[0].finish_reason for chunk in chunks[-2:]] == [None, "stop"]
    assert not any(chunk.usage for chunk in chunks)
    assert len({chunk.id for chunk in chunks}) == 1


@pytest.mark.parametrize("model", [*MODELS, "simulated"])
def test_stream_with_usage(client: openai.OpenAI, model: str) -> None:
    *chunks, last = client.chat.completions.create(model=model, messages=MESSAGES, stream=True, stream_options=WITH_USAGE)
    assert all(len(chunk.choices) == 1 and chunk.usage is None for chunk in chunks)
    usage: Any = last.usage
    assert last.choices == [] and last.model == model and last.id == chunks[0].id
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert (usage.tracked, usage.currency) == (True, "USD") and usage.cost > 0


@pytest.mark.parametrize("model", [*MODELS, "simulated"])
def test_tools_there_and_back(client: openai.OpenAI, model: str) -> None:
    [choice] = client.chat.completions.create(model=model, messages=USE_TOOL, tools=TOOLS).choices
    assert choice.finish_reason == "tool_calls" and choice.message.tool_calls
    asked: Any = choice.message
    call = asked.tool_calls[0]
    assert (call.function.name, list(json.loads(call.function.arguments))) == ("get_weather", ["city"])
    result: Any = {"role": "tool", "tool_call_id": call.id, "content": "22 degrees"}
    answer = client.chat.completions.create(model=model, messages=[*USE_TOOL, asked, result], tools=TOOLS)
    assert "22 degrees" in (answer.choices[0].message.content or "")


@pytest.mark.parametrize("model", [*MODELS, "simulated"])
def test_tools_streamed(client: openai.OpenAI, model: str) -> None:
    with client.chat.completions.stream(model=model, messages=MESSAGES, tools=TOOLS, tool_choice="required") as stream:
        [choice] = stream.get_final_completion().choices
    assert choice.finish_reason == "tool_calls" and choice.message.tool_calls
    [call] = choice.message.tool_calls
    assert call.id and call.function.name == "get_weather"
    assert list(json.loads(call.function.arguments)) == ["city"]


class City(BaseModel):
    name: str
    people: int


@pytest.mark.parametrize("model", ["doubao-seed", "responses", "relayed", "simulated"])
def test_json_schema_through_the_parse_helper(client: openai.OpenAI, model: str) -> None:
    answer = client.chat.completions.parse(model=model, messages=MESSAGES, response_format=City)
    assert isinstance(answer.choices[0].message.parsed, City)


def test_json_schema_and_json_object(client: openai.OpenAI) -> None:
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "city", "schema": City.model_json_schema()}}
    answer = client.chat.completions.create(model="doubao-seed", messages=MESSAGES, response_format=wanted)
    City.model_validate_json(answer.choices[0].message.content or "")
    loose: Any = {"type": "json_object"}
    answer = client.chat.completions.create(model="relayed", messages=MESSAGES, response_format=loose)
    assert json.loads(answer.choices[0].message.content or "") == {"answer": "hi"}


def test_raw_response(client: openai.OpenAI) -> None:
    mine = {"x-client-request-id": "mine-1"}
    raw = client.chat.completions.with_raw_response.create(model="doubao", messages=MESSAGES, extra_headers=mine)
    answer = raw.parse()
    assert answer.model == "doubao" and answer._request_id == raw.headers["x-request-id"]
    assert raw.headers["x-request-id"].startswith("req_")
    assert raw.headers["x-client-request-id"] == "mine-1"
    assert (raw.headers["x-paifang-route"], raw.headers["x-paifang-attempts"]) == ("ark-lite", "1")
    assert float(raw.headers["x-paifang-overhead-ms"]) >= 0
    usage: Any = answer.usage
    assert float(raw.headers["x-paifang-cost-usd"]) == usage.cost


def test_raw_stream(client: openai.OpenAI) -> None:
    with client.chat.completions.with_streaming_response.create(model="relayed", messages=MESSAGES, stream=True) as raw:
        text = b"".join(raw.iter_bytes())
    assert raw.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert raw.headers["x-paifang-route"] == "relay" and "x-paifang-cost-usd" not in raw.headers
    assert text.endswith(b"data: [DONE]\n\n")


def test_models(client: openai.OpenAI) -> None:
    listed: dict[str, Any] = {model.id: model for model in client.models.list()}
    assert {"doubao-seed", "doubao", "relayed", "simulated"} <= listed.keys()
    one: Any = client.models.retrieve("doubao")
    assert (one.id, one.family, one.context_tokens) == ("doubao", "doubao", 262144)
    assert one.pricing["currency"] == "USD" and float(one.pricing["input"]) == 1
    mine = {model.id for model in client.with_options(api_key=DOUBAO_ONLY).models.list()}
    assert {"doubao-seed", "doubao"} <= mine and not mine & {"relayed", "simulated"}
    with pytest.raises(openai.NotFoundError):
        client.with_options(api_key=DOUBAO_ONLY).models.retrieve("relayed")


def test_a_wrong_key(client: openai.OpenAI, sent: Sent) -> None:
    with pytest.raises(openai.AuthenticationError) as caught:
        client.with_options(api_key="sk-pf-wrong").chat.completions.create(model="doubao", messages=MESSAGES)
    assert (caught.value.code, caught.value.type) == ("invalid_api_key", "authentication_error")
    assert caught.value.request_id and sent.count == 1


def test_a_model_outside_the_scope(client: openai.OpenAI) -> None:
    with pytest.raises(openai.PermissionDeniedError) as caught:
        client.with_options(api_key=DOUBAO_ONLY).chat.completions.create(model="relayed", messages=MESSAGES)
    assert (caught.value.code, caught.value.param) == ("model_not_allowed", "model")


def test_an_unknown_model(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="gpt-17", messages=MESSAGES)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


def test_a_wrong_parameter(client: openai.OpenAI, sent: Sent) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="doubao", messages=MESSAGES, temperature=3)
    assert (caught.value.param, caught.value.code) == ("temperature", "invalid_value")
    assert sent.count == 1


def test_an_exhausted_budget_is_not_tried_again(client: openai.OpenAI, sent: Sent) -> None:
    with pytest.raises(openai.RateLimitError) as caught:
        client.with_options(api_key=PENNILESS, max_retries=5).chat.completions.create(model="doubao", messages=MESSAGES)
    error = caught.value
    assert (error.code, error.type, error.param) == ("budget_exceeded", "insufficient_quota", "key.daily")
    assert error.response.headers["x-should-retry"] == "false"
    assert sent.count == 1


def test_a_providers_failure_is_tried_again_by_the_sdk(client: openai.OpenAI, fakes: Fakes, sent: Sent) -> None:
    fakes.openai.fail_next(500, "server_error", "oops", times=3)
    answer = client.chat.completions.create(model="relayed", messages=MESSAGES)
    assert answer.choices[0].message.content == HELLO and sent.count == 2


def test_a_providers_failure(client: openai.OpenAI, fakes: Fakes, sent: Sent) -> None:
    fakes.openai.fail_next(500, "server_error", "secret words of the provider", times=3)
    with pytest.raises(openai.InternalServerError) as caught:
        client.with_options(max_retries=0).chat.completions.create(model="relayed", messages=MESSAGES)
    error: Any = caught.value
    assert (error.status_code, error.code, error.type) == (502, "upstream_error", "upstream_error")
    assert error.body["upstream"]["status"] == 500 and "secret words" not in str(error.body)
    assert sent.count == 1


def test_an_error_in_the_middle_of_a_stream(client: openai.OpenAI, fakes: Fakes) -> None:
    fakes.openai.error_midstream(after=3, code="server_error", message="lost it")
    chunks = client.chat.completions.create(model="relayed", messages=MESSAGES, stream=True)
    with pytest.raises(openai.APIError) as caught:
        list(chunks)
    assert caught.value.code == "upstream_error" and "lost it" not in str(caught.value)


async def test_async_create(aclient: openai.AsyncOpenAI) -> None:
    answer = await aclient.chat.completions.create(model="doubao", messages=MESSAGES)
    assert answer.choices[0].message.content == HELLO


async def test_async_stream(aclient: openai.AsyncOpenAI) -> None:
    stream = await aclient.chat.completions.create(model="messages", messages=MESSAGES, stream=True, stream_options=WITH_USAGE)
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == HELLO
    assert chunks[-1].usage and chunks[-1].usage.completion_tokens


async def test_async_stream_left_early(aclient: openai.AsyncOpenAI) -> None:
    stream = await aclient.chat.completions.create(model="relayed", messages=MESSAGES, stream=True)
    async with stream:
        async for chunk in stream:
            if chunk.choices[0].delta.content:
                break


async def test_async_tools_and_errors(aclient: openai.AsyncOpenAI) -> None:
    async with aclient.chat.completions.stream(model="relayed", messages=USE_TOOL, tools=TOOLS) as stream:
        answer = await stream.get_final_completion()
    assert answer.choices[0].finish_reason == "tool_calls"
    with pytest.raises(openai.NotFoundError):
        await aclient.chat.completions.create(model="gpt-17", messages=MESSAGES)
