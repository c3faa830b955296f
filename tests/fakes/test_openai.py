"""The fake aggregator, held to OpenAI's own client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.fakes import FakeOpenAI

HI: Any = [{"role": "user", "content": "hi"}]
HELLO = "Hello, you said: hi"
WEATHER: Any = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]


@pytest.fixture
def fake() -> Iterator[FakeOpenAI]:
    made = FakeOpenAI()
    with made.run_in_thread():
        yield made


@pytest.fixture
def client(fake: FakeOpenAI) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key=fake.key, base_url=fake.base_url, max_retries=0) as made:
        yield made


def test_json(fake: FakeOpenAI, client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="m", messages=HI)
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == (HELLO, "stop")
    assert answer.usage and answer.usage.total_tokens == 10
    assert fake.billed == [("m", 4, 6, 0)]


def test_stream_with_usage(client: openai.OpenAI) -> None:
    asked: Any = {"include_usage": True}
    chunks = list(client.chat.completions.create(model="m", messages=HI, stream=True, stream_options=asked))
    assert "".join(c.choices[0].delta.content or "" for c in chunks[:-1]) == HELLO
    assert [c.choices[0].delta.role for c in chunks[:3]] == ["assistant", None, None]
    assert chunks[-1].choices == [] and chunks[-1].usage and chunks[-1].usage.completion_tokens == 6


def test_stream_without_usage_has_no_such_member(client: openai.OpenAI) -> None:
    with client.chat.completions.with_streaming_response.create(model="m", messages=HI, stream=True) as raw:
        text = b"".join(raw.iter_bytes())
    assert text.endswith(b"data: [DONE]\n\n")
    assert b"usage" not in text and text.count(b'"finish_reason":null') == 7


def test_tools(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="m", messages=HI, tools=WEATHER, tool_choice="required") as stream:
        [choice] = stream.get_final_completion().choices
    assert choice.finish_reason == "tool_calls" and choice.message.tool_calls
    function = choice.message.tool_calls[0].function
    assert (function.name, json.loads(function.arguments)) == ("get_weather", {"city": "text"})


def test_caps_stops_and_choices(client: openai.OpenAI) -> None:
    capped = client.chat.completions.create(model="m", messages=HI, max_tokens=2, n=2)
    assert [(c.index, c.message.content, c.finish_reason) for c in capped.choices] == [
        (0, "Hello,", "length"),
        (1, "Hello,", "length"),
    ]
    stopped = client.chat.completions.create(model="m", messages=HI, stop=" said")
    assert (stopped.choices[0].message.content, stopped.choices[0].finish_reason) == ("Hello, you", "stop")


def test_errors(fake: FakeOpenAI, client: openai.OpenAI) -> None:
    fake.fail_next(429, "rate_limit_exceeded", "Slow down.")
    with pytest.raises(openai.RateLimitError) as busy:
        client.chat.completions.create(model="m", messages=HI)
    assert (busy.value.code, busy.value.type, busy.value.param) == (
        "rate_limit_exceeded",
        "rate_limit_error",
        None,
    )
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="sk-wrong").models.list()
    fake.error_midstream(after=2, code="server_error", message="lost it")
    with pytest.raises(openai.APIError, match="lost it"):
        list(client.chat.completions.create(model="m", messages=HI, stream=True))


def test_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["doubao-seed"]
