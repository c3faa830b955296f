"""The fake Ark's Responses door, held to the vendor's two SDKs and OpenAI's: what they send, parse and raise."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import arkruntime  # type: ignore[import-untyped]
import arkruntime._exceptions as ark_new_errors  # type: ignore[import-untyped]
import openai
import pytest
import volcenginesdkarkruntime  # type: ignore[import-untyped]
import volcenginesdkarkruntime._exceptions as ark_errors  # type: ignore[import-untyped]
from arkruntime.types.responses import Response, ResponseStreamEvent  # type: ignore[import-untyped]
from pydantic import TypeAdapter

from tests.fakes import FakeArk
from tests.fakes.ark import KEY

LITE = "doubao-seed-2-0-lite-260215"
SUMMARY = "doubao-seed-2-0-lite-260428"
PLAIN = "doubao-seed-character-251128"
TRANSLATION = "doubao-seed-translation-250915"
HELLO = "Hello, you said: hi"
THOUGHT = "The user asks, so I answer."
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = [{"type": "function", "name": "get_weather", "parameters": CITY}]
TEXT_STREAM = [
    "response.created",
    "response.in_progress",
    "response.output_item.added",
    "response.reasoning_summary_part.added",
    *["response.reasoning_summary_text.delta"] * 8,
    "response.reasoning_summary_text.done",
    "response.reasoning_summary_part.done",
    "response.output_item.done",
    "response.output_item.added",
    "response.content_part.added",
    *["response.output_text.delta"] * 6,
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.completed",
]


@pytest.fixture
def ark() -> Iterator[FakeArk]:
    fake = FakeArk()
    with fake.run_in_thread():
        yield fake


@pytest.fixture(params=[volcenginesdkarkruntime.Ark, arkruntime.Ark, openai.OpenAI], ids=["ark5", "ark0", "openai"])
def client(ark: FakeArk, request: pytest.FixtureRequest) -> Iterator[Any]:
    made = request.param(api_key=KEY, base_url=ark.base_url, max_retries=0)
    yield made
    made.close()


def texts(response: Any) -> list[str]:
    return [item.content[0].text for item in response.output if item.type == "message"]


def test_json(ark: FakeArk, client: Any) -> None:
    ark.cached_tokens = 3
    answer = client.responses.create(model=LITE, input="hi")
    reasoning, message = answer.output
    assert (reasoning.summary[0].text, message.content[0].text) == (THOUGHT, HELLO)
    assert (answer.status, answer.model, answer.object) == ("completed", LITE, "response")
    assert answer.id.startswith("resp_0217") and reasoning.id.startswith("rs_") and message.id.startswith("msg_")
    usage = answer.usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (4, 14, 18)
    assert (usage.input_tokens_details.cached_tokens, usage.output_tokens_details.reasoning_tokens) == (3, 8)
    assert answer.store is True
    assert ark.billed == [(LITE, 4, 14, 3)]


def test_stream(ark: FakeArk, client: Any) -> None:
    events = list(client.responses.create(model=LITE, input=[{"role": "user", "content": "hi"}], stream=True))
    assert [event.type for event in events] == TEXT_STREAM
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == HELLO
    assert texts(events[-1].response) == [HELLO] and events[-1].response.usage.output_tokens == 14
    assert ark.billed == [(LITE, 4, 14, 0)]


async def test_every_event_is_one_of_the_vendors_types_and_done_follows(fake_ark: FakeArk) -> None:
    import aiohttp

    body = {"model": SUMMARY, "input": "hi", "stream": True, "include": ["reasoning.encrypted_content"]}
    headers = {"Authorization": f"Bearer {KEY}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{fake_ark.base_url}/responses", json=body) as response,
    ):
        *frames, done, rest = (await response.text()).split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    created = json.loads(frames[0].partition("data: ")[2])["response"]
    assert not {"output", "status"} & created.keys()
    known: Any = TypeAdapter(ResponseStreamEvent)
    for frame in frames:
        name, _, data = frame.partition("\n")
        assert f"event: {known.validate_json(data.removeprefix('data: ')).type}" == name


def test_the_vendors_type_of_a_response_accepts_the_answer(ark: FakeArk) -> None:
    with openai.OpenAI(api_key=KEY, base_url=ark.base_url) as client:
        answer = client.responses.with_raw_response.create(model=LITE, input="hi").text
    assert Response.model_validate_json(answer).status == "completed"


def test_the_ark_sdks_send_nulls(ark: FakeArk) -> None:
    for make in (volcenginesdkarkruntime.Ark, arkruntime.Ark):
        client = make(api_key=KEY, base_url=ark.base_url, max_retries=0)
        client.responses.create(model=LITE, input="hi")
        client.close()
        assert b'"max_output_tokens":null' in ark.requests[-1].raw.replace(b": ", b":")


def test_max_output_tokens_counts_reasoning(client: Any) -> None:
    answer = client.responses.create(model=LITE, input="hi", max_output_tokens=9)
    assert (answer.status, answer.incomplete_details.reason) == ("incomplete", "length")
    assert texts(answer) == ["Hello"] and answer.usage.output_tokens == 9
    *_, last = client.responses.create(model=LITE, input="hi", max_output_tokens=2, stream=True)
    assert last.type == "response.incomplete"
    assert [(item.type, item.status) for item in last.response.output] == [("reasoning", "incomplete")]


def test_a_tool_there_and_back(client: Any) -> None:
    ask: Any = {"model": PLAIN, "tools": WEATHER}
    events = list(client.responses.create(**ask, input="please get_weather", stream=True))
    arguments = "".join(event.delta for event in events if event.type == "response.function_call_arguments.delta")
    [call] = events[-1].response.output
    assert call.type == "function_call" and arguments == call.arguments == '{"city":"text"}'
    history = [
        {"role": "user", "content": "please get_weather"},
        {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments},
        {"type": "function_call_output", "call_id": call.call_id, "output": "rain"},
    ]
    assert texts(client.responses.create(**ask, input=history)) == ["The tool said: rain"]


def test_summary_models_seal_their_reasoning_if_asked_to(client: Any) -> None:
    include: Any = ["reasoning.encrypted_content"]
    body: Any = {"model": SUMMARY, "input": "hi", "extra_body": {"include": include}}
    assert client.responses.create(**body).output[0].encrypted_content.startswith("enc:")
    assert getattr(client.responses.create(model=SUMMARY, input="hi").output[0], "encrypted_content", None) is None


def test_web_search(client: Any) -> None:
    tools: Any = [{"type": "web_search", "limit": 3}]
    headers = {"ark-beta-web-search": "true"}
    answer = client.responses.create(model=PLAIN, input="search the weather", tools=tools, extra_headers=headers)
    search, message = answer.output
    assert search.type == "web_search_call" and message.content[0].annotations[0].url == "https://example.com/weather"
    assert answer.model_dump()["usage"]["tool_usage"]["web_search"] == 1


def test_translation(client: Any) -> None:
    options = {"source_language": "en", "target_language": "zh"}
    part = {"type": "input_text", "text": "hi", "translation_options": options}
    answer = client.responses.create(model=TRANSLATION, input=[{"role": "user", "content": [part]}])
    assert texts(answer) == ["en to zh: hi"]


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"extra_body": {"stream_options": {"include_usage": True}}}, "", 'json: unknown field "stream_options"'),
    ({"extra_body": {"reasoning": {"effort": "low", "summary": "auto"}}}, "", 'json: unknown field "summary"'),
    (
        {"input": [{"role": "user", "content": [{"type": "input_text", "text": "x", "cache_control": {}}]}]},
        "",
        'json: unknown field "cache_control"',
    ),
    (
        {"input": [{"role": "user", "content": [{"type": "output_text", "text": "x"}]}]},
        "input.content.type",
        "Unknown content part output_text.",
    ),
    (
        {"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]},
        "input.call_id",
        "A function_call_output must follow its function_call.",
    ),
    ({"extra_body": {"include": ["message.x"]}}, "include", "include accepts reasoning.encrypted_content only."),
    ({"extra_body": {"service_tier": "flex"}}, "store", "store must be false with service_tier flex."),
    ({"extra_body": {"tools": [{"type": "file_search"}]}}, "tools.type", "Unknown tool file_search."),
    ({"model": "doubao-1-5-pro-32k-250115"}, "model", "The model doubao-1-5-pro-32k-250115 does not support this api."),
    ({"model": TRANSLATION}, "input", "This model takes one message with one input_text."),
]


@pytest.mark.parametrize(("how", "param", "message"), REFUSED)
def test_refusals(ark: FakeArk, client: Any, how: dict[str, Any], param: str, message: str) -> None:
    error = status_error(client, **how)
    assert (error.status_code, error.code, error.param, error.type) == (400, "InvalidParameter", param, "BadRequest")
    assert message in str(error)
    assert ark.billed == []


def test_translation_models_have_no_chat_door(client: Any) -> None:
    with pytest.raises((openai.APIStatusError, ark_errors.ArkAPIStatusError, ark_new_errors.ArkAPIStatusError)) as caught:
        client.chat.completions.create(model=TRANSLATION, messages=[{"role": "user", "content": "hi"}])
    error: Any = caught.value
    assert error.status_code == 400 and "does not support this api" in str(error)


def test_an_error_in_the_middle(ark: FakeArk, client: Any) -> None:
    ark.error_midstream(after=5, code="InternalServiceError", message="lost it.")
    *_, last = client.responses.create(model=LITE, input="hi", stream=True)
    assert (last.type, last.code) == ("error", "InternalServiceError")
    ark.fails_by_event = "response.failed"
    ark.error_midstream(after=5, code="InternalServiceError", message="lost it.")
    *_, last = client.responses.create(model=LITE, input="hi", stream=True)
    assert (last.type, last.response.error.code) == ("response.failed", "InternalServiceError")


async def test_the_async_ark_sdk(fake_ark: FakeArk) -> None:
    client: Any = volcenginesdkarkruntime.AsyncArk(api_key=KEY, base_url=fake_ark.base_url, max_retries=0)
    assert texts(await client.responses.create(model=LITE, input="hi")) == [HELLO]
    stream = await client.responses.create(model=LITE, input="hi", stream=True)
    assert [event.type async for event in stream] == TEXT_STREAM
    await client.close()


def status_error(client: Any, **how: Any) -> Any:
    """The exception with a status that a refused call raises."""
    with pytest.raises((openai.APIStatusError, ark_errors.ArkAPIStatusError, ark_new_errors.ArkAPIStatusError)) as caught:
        client.responses.create(**({"model": LITE, "input": "hi"} | how))
    return caught.value
