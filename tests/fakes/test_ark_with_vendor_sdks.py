"""The fake Ark's Chat door, held to the vendor's two SDKs and OpenAI's: what they parse, what they raise."""

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

from tests.fakes import FakeArk
from tests.fakes.ark import BOT, ENDPOINT, KEY

LITE = "doubao-seed-2-0-lite-260215"
SUMMARY = "doubao-seed-2-0-lite-260428"
HI: Any = [{"role": "user", "content": "hi"}]
HELLO = "Hello, you said: hi"
THOUGHT = "The user asks, so I answer."
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = [{"type": "function", "function": {"name": "get_weather", "parameters": CITY}}]
ASK_WEATHER = [{"role": "user", "content": "please get_weather"}]


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


def test_json(ark: FakeArk, client: Any) -> None:
    answer = client.chat.completions.create(model=LITE, messages=HI)
    [choice] = answer.choices
    assert (choice.message.content, choice.message.reasoning_content) == (HELLO, THOUGHT)
    assert (choice.finish_reason, answer.model, answer.service_tier) == ("stop", LITE, "default")
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (
        4,
        14,
        18,
    )
    assert answer.usage.completion_tokens_details.reasoning_tokens == 8
    assert answer.id.startswith("0217") and len(answer.id) == 53
    assert ark.billed == [(LITE, 4, 14, 0)]


def test_stream(ark: FakeArk, client: Any) -> None:
    chunks = list(
        client.chat.completions.create(model=LITE, messages=HI, stream=True, stream_options={"include_usage": True})
    )
    deltas = [chunk.choices[0].delta for chunk in chunks[:-1]]
    assert "".join(delta.content for delta in deltas) == HELLO
    assert "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas) == THOUGHT
    assert {delta.role for delta in deltas} == {"assistant"}
    assert [chunk.choices[0].finish_reason for chunk in chunks[-3:-1]] == [None, "stop"]
    assert {chunk.usage for chunk in chunks[:-1]} == {None}
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == 14
    assert ark.billed == [(LITE, 4, 14, 0)]


def test_stream_without_usage(client: Any) -> None:
    chunks = list(client.chat.completions.create(model=LITE, messages=HI, stream=True))
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)


def test_some_models_end_with_usage_unasked(client: Any) -> None:
    *_, last = client.chat.completions.create(model="glm-5-2-260617", messages=HI, stream=True)
    assert last.usage.total_tokens == 18


def test_usage_on_each_chunk_is_cumulative(client: Any) -> None:
    chunks = client.chat.completions.create(
        model=LITE, messages=HI, stream=True, stream_options={"chunk_include_usage": True}
    )
    assert [chunk.usage.completion_tokens for chunk in chunks] == [*range(1, 15), 14]


def test_summary_models_send_encrypted_reasoning(client: Any) -> None:
    chunks = list(client.chat.completions.create(model=SUMMARY, messages=HI, stream=True))
    [sealed] = [c for c in chunks if getattr(c.choices[0].delta, "encrypted_content", None)]
    assert chunks.index(sealed) == 8 and sealed.choices[0].delta.content == ""
    answer = client.chat.completions.create(model=SUMMARY, messages=HI)
    assert answer.choices[0].message.encrypted_content == sealed.choices[0].delta.encrypted_content


def test_reasoning_goes_back_untouched(client: Any) -> None:
    said = client.chat.completions.create(model=SUMMARY, messages=HI).choices[0].message
    told = {"role": "assistant", "content": said.content, "reasoning_content": said.reasoning_content}
    history = [*HI, {**told, "encrypted_content": said.encrypted_content}, *HI]
    assert client.chat.completions.create(model=SUMMARY, messages=history).choices
    forged = [*HI, {**told, "encrypted_content": "enc:forged"}, *HI]
    assert "Invalid signature" in status_error(client, model=SUMMARY, messages=forged).message
    old = status_error(client, model="doubao-seed-code-preview-251028", messages=[*HI, told, *HI])
    assert (old.status_code, old.param) == (400, "messages.reasoning_content")


@pytest.mark.parametrize(
    "how",
    [
        {"extra_body": {"thinking": {"type": "disabled"}}},
        {"extra_body": {"thinking": {"type": "enabled"}, "reasoning_effort": "minimal"}},
    ],
)
def test_thinking_can_be_turned_off(client: Any, how: dict[str, Any]) -> None:
    answer = client.chat.completions.create(model=LITE, messages=HI, **how)
    assert getattr(answer.choices[0].message, "reasoning_content", None) is None
    assert answer.usage.completion_tokens == 6


def test_max_tokens_limits_the_answer_only(client: Any) -> None:
    answer = client.chat.completions.create(model=LITE, messages=HI, max_tokens=2)
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("Hello,", "length")
    assert answer.usage.completion_tokens == 10


def test_max_completion_tokens_limits_reasoning_too(client: Any) -> None:
    answer = client.chat.completions.create(model=LITE, messages=HI, max_completion_tokens=2)
    message = answer.choices[0].message
    assert (message.content, message.reasoning_content) == ("", "The user")
    assert (answer.choices[0].finish_reason, answer.usage.completion_tokens) == ("length", 2)


def test_an_endpoint_answers_with_its_model(client: Any) -> None:
    assert client.chat.completions.create(model=ENDPOINT, messages=HI).model == LITE


def test_tools_in_json(client: Any) -> None:
    forced = {"type": "function", "function": {"name": "get_weather"}}
    answer = client.chat.completions.create(model=LITE, messages=HI, tools=WEATHER, tool_choice=forced)
    [call] = answer.choices[0].message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", {"city": "text"})
    assert (answer.choices[0].finish_reason, answer.choices[0].message.content) == ("tool_calls", "")


def test_tools_in_fragments_and_the_result_after(client: Any) -> None:
    chunks = client.chat.completions.create(model=LITE, messages=ASK_WEATHER, tools=WEATHER, stream=True)
    fragments = [f for chunk in chunks for f in chunk.choices[0].delta.tool_calls or []]
    first, *rest = fragments
    assert (first.index, first.type, first.function.name, first.function.arguments) == (
        0,
        "function",
        "get_weather",
        "",
    )
    assert all(f.id is None and f.type is None for f in rest)
    arguments = "".join(f.function.arguments for f in rest)
    assert arguments == ' {"city":"text"}'
    call = {"id": first.id, "type": "function", "function": {"name": "get_weather", "arguments": arguments}}
    history = [
        *ASK_WEATHER,
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": first.id, "content": "rain"},
    ]
    answer = client.chat.completions.create(model=LITE, messages=history, tools=WEATHER)
    assert answer.choices[0].message.content == "The tool said: rain"


def test_json_schema(client: Any) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "place", "schema": CITY}}
    answer = client.chat.completions.create(model=LITE, messages=HI, response_format=wanted)
    assert json.loads(answer.choices[0].message.content) == {"city": "text"}


def test_a_bot(ark: FakeArk) -> None:
    ark.references = [{"url": "https://e.example/a", "title": "t", "site_name": "e"}]
    with volcenginesdkarkruntime.Ark(api_key=KEY, base_url=ark.base_url, max_retries=0) as client:
        answer = client.bot_chat.completions.create(model=BOT, messages=HI, metadata={"user_info": "{}"})
        usage = {"include_usage": True}
        chunks = list(client.bot_chat.completions.create(model=BOT, messages=HI, stream=True, stream_options=usage))
        with pytest.raises(ark_errors.ArkNotFoundError):
            client.bot_chat.completions.create(model="bot-x", messages=HI)
    assert (answer.choices[0].message.content, answer.usage) == (HELLO, None)
    assert "".join(chunk.choices[0].delta.content for chunk in chunks if chunk.choices) == HELLO
    for told, found in ((answer, answer), (chunks[-1], chunks[0])):
        assert [(used.prompt_tokens, used.completion_tokens) for used in told.bot_usage.model_usage] == [(5, 2), (4, 14)]
        assert len(told.bot_usage.action_usage) == 1
        assert [(page.url, page.title) for page in found.references] == [("https://e.example/a", "t")]
    assert ark.billed == [(LITE, 9, 16, 0)] * 2


def test_models() -> None:
    fake = FakeArk()
    with fake.run_in_thread() as base_url, openai.OpenAI(api_key=KEY, base_url=base_url) as client:
        assert [model.id for model in client.models.list()] == list(fake.models)


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"max_tokens": 1, "extra_body": {"max_completion_tokens": 1}}, "InvalidParameter", "max_tokens"),
    ({"messages": [{"role": "developer", "content": "x"}]}, "InvalidParameter", "messages.role"),
    ({"messages": [{"role": "wizard", "content": "x"}]}, "InvalidArgumentError.UnknownRole", "messages.role"),
    (
        {"extra_body": {"thinking": {"type": "disabled"}, "reasoning_effort": "low"}},
        "InvalidParameter",
        "reasoning_effort",
    ),
    ({"extra_body": {"thinking": {"type": "auto"}}}, "InvalidParameter", "thinking.type"),
    ({"extra_body": {"service_tier": "golden"}}, "InvalidParameter", "service_tier"),
    ({"stop": ["x"]}, "InvalidParameter.UnsupportedParameter", "stop"),
    ({"temperature": 2.5}, "InvalidParameter", "temperature"),
    ({"response_format": {"type": "json_object"}}, "InvalidParameter", "response_format.type"),
    ({"extra_body": {"messages": []}}, "MissingParameter", "messages"),
    (
        {"messages": [{"role": "tool", "tool_call_id": "call_x", "content": "x"}]},
        "InvalidParameter",
        "messages.tool_call_id",
    ),
]


@pytest.mark.parametrize(("how", "code", "param"), REFUSED)
def test_refusals(ark: FakeArk, client: Any, how: dict[str, Any], code: str, param: str) -> None:
    error = status_error(client, **how)
    assert (error.status_code, error.code, error.param, error.type) == (400, code, param, "BadRequest")
    assert ark.billed == []


def test_fast_is_refused_on_a_plan(ark: FakeArk, client: Any) -> None:
    ark.fast_tier = False
    error = status_error(client, extra_body={"service_tier": "fast"})
    assert (error.status_code, error.code, error.param) == (400, "InvalidParameter", "service_tier")


def test_unknown_model(client: Any) -> None:
    error = status_error(client, model="doubao-seed-9")
    assert (error.status_code, error.code, error.type) == (404, "InvalidEndpointOrModel.NotFound", "NotFound")


@pytest.mark.parametrize(
    ("status", "code", "kind", "name"),
    [
        (401, "InvalidAccountStatus", "Forbidden", "AuthenticationError"),
        (403, "AccountOverdueError", "Forbidden", "PermissionDeniedError"),
        (429, "RateLimitExceeded.EndpointRPMExceeded", "TooManyRequests", "RateLimitError"),
        (500, "InternalServiceError", "InternalServerError", "InternalServerError"),
    ],
)
def test_scripted_failures(ark: FakeArk, client: Any, status: int, code: str, kind: str, name: str) -> None:
    ark.fail_next(status, code, "no luck.")
    error = status_error(client)
    assert type(error).__name__.removeprefix("Ark") == name
    assert (error.code, error.param, error.type) == (code, "", kind)
    assert error.body["message"].startswith("no luck. Request id: 0217")
    assert client.chat.completions.create(model=LITE, messages=HI).choices


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (volcenginesdkarkruntime.Ark, ark_errors.ArkAuthenticationError),
        (arkruntime.Ark, ark_new_errors.ArkAuthenticationError),
        (openai.OpenAI, openai.AuthenticationError),
    ],
)
def test_wrong_key(ark: FakeArk, make: Any, expected: type[Exception]) -> None:
    client = make(api_key="ark-wrong", base_url=ark.base_url, max_retries=0)
    with pytest.raises(expected) as caught:
        client.chat.completions.create(model=LITE, messages=HI)
    client.close()
    error: Any = caught.value
    assert (error.code, error.type) == ("AuthenticationError", "Unauthorized")


def test_an_error_event_raises_in_the_stream(ark: FakeArk, client: Any) -> None:
    ark.error_midstream(after=3, code="InternalServiceError", message="lost it.")
    seen = []
    with pytest.raises((openai.APIError, ark_errors.ArkAPIError, ark_new_errors.ArkAPIError)) as caught:
        seen.extend(client.chat.completions.create(model=LITE, messages=HI, stream=True))
    error: Any = caught.value
    assert (error.code, error.message.partition(" Request")[0]) == ("InternalServiceError", "lost it.")
    assert ark.billed == [(LITE, 4, 3, 0)]


def test_the_ark_sdks_send_nulls_and_read_back_their_own_request_id(ark: FakeArk) -> None:
    for make in (volcenginesdkarkruntime.Ark, arkruntime.Ark):
        client = make(api_key=KEY, base_url=ark.base_url, max_retries=0)
        error = status_error(client, model="nope")
        client.close()
        sent = ark.requests[-1]
        assert b'"max_tokens":null' in sent.raw.replace(b": ", b":")
        assert error.request_id == sent.headers["X-Client-Request-Id"]


def test_openai_reads_the_servers_request_id(ark: FakeArk) -> None:
    with openai.OpenAI(api_key=KEY, base_url=ark.base_url, max_retries=0) as client:
        answer = client.chat.completions.create(model=LITE, messages=HI)
    assert answer._request_id == ark.requests[-1].id


async def test_the_async_ark_sdk(fake_ark: FakeArk) -> None:
    client: Any = volcenginesdkarkruntime.AsyncArk(api_key=KEY, base_url=fake_ark.base_url, max_retries=0)
    answer = await client.chat.completions.create(model=LITE, messages=HI)
    assert answer.choices[0].message.content == HELLO
    stream = await client.chat.completions.create(model=LITE, messages=HI, stream=True)
    assert "".join([chunk.choices[0].delta.content async for chunk in stream]) == HELLO
    fake_ark.fail_next(429, "ServerOverloaded")
    with pytest.raises(ark_errors.ArkRateLimitError) as caught:
        await client.chat.completions.create(model=LITE, messages=HI)
    assert caught.value.code == "ServerOverloaded"
    await client.close()


def status_error(client: Any, **how: Any) -> Any:
    """The exception with a status that a refused call raises."""
    with pytest.raises(
        (openai.APIStatusError, ark_errors.ArkAPIStatusError, ark_new_errors.ArkAPIStatusError)
    ) as caught:
        client.chat.completions.create(**({"model": LITE, "messages": HI} | how))
    return caught.value
