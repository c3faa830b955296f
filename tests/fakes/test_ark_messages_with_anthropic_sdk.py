"""The fake Ark's Messages door, held to Anthropic's SDK."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

from tests.fakes import FakeArk
from tests.fakes.ark import KEY

LITE = "doubao-seed-2-0-lite-260215"
SUMMARY = "doubao-seed-2-0-lite-260428"
PLAIN = "doubao-1-5-pro-32k-250115"
HI: Any = [{"role": "user", "content": "hi"}]
HELLO = "Hello, you said: hi"
THOUGHT = "The user asks, so I answer."
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


@pytest.fixture
def ark() -> Iterator[FakeArk]:
    fake = FakeArk()
    with fake.run_in_thread():
        yield fake


@pytest.fixture
def claude(ark: FakeArk) -> Iterator[Any]:
    with anthropic.Anthropic(api_key=KEY, base_url=ark.messages_url, max_retries=0) as made:
        yield made


def test_json(ark: FakeArk, claude: Any) -> None:
    ark.cached_tokens = 3
    answer = claude.messages.create(model=SUMMARY, messages=HI, max_tokens=100)
    thinking, text = answer.content
    assert (thinking.type, thinking.thinking, text.text) == ("thinking", THOUGHT, HELLO)
    assert thinking.signature.startswith("enc:")
    assert (answer.stop_reason, answer.model) == ("end_turn", SUMMARY)
    usage = answer.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (1, 3, 14)
    assert ark.billed == [(SUMMARY, 4, 14, 3)]


def test_stream(ark: FakeArk, claude: Any) -> None:
    with claude.messages.stream(model=LITE, messages=HI, max_tokens=10) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_message()
    assert (kinds[0], kinds[-1]) == ("message_start", "message_stop")
    assert "ping" not in kinds
    assert [block.type for block in final.content] == ["thinking", "text"]
    assert (final.stop_reason, final.usage.output_tokens) == ("max_tokens", 10)
    assert ark.billed == [(LITE, 4, 10, 0)]


@pytest.mark.parametrize("choice", [{"type": "tool", "name": "get_weather"}, {"type": "any"}])
def test_tools(claude: Any, choice: Any) -> None:
    tools: Any = [{"name": "get_weather", "input_schema": CITY}]
    ask: Any = {"model": PLAIN, "max_tokens": 100, "tools": tools, "tool_choice": choice}
    with claude.messages.stream(messages=HI, **ask) as stream:
        final = stream.get_final_message()
    answer = claude.messages.create(messages=HI, **ask)
    for message in (final, answer):
        [use] = message.content
        assert use.type == "tool_use" and message.stop_reason == "tool_use"
        assert (use.name, use.input) == ("get_weather", {"city": "text"})
    history: Any = [
        *HI,
        {"role": "assistant", "content": answer.content},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "rain"}]},
    ]
    told = claude.messages.create(messages=history, **(ask | {"tool_choice": {"type": "auto"}}))
    assert told.content[0].text == "The tool said: rain"


def test_take_either_key_header_and_no_max_tokens(ark: FakeArk) -> None:
    only_x_api_key: Any = {"Authorization": anthropic.Omit(), "x-api-key": KEY}
    url = ark.messages_url
    with anthropic.Anthropic(api_key=KEY, base_url=url, default_headers=only_x_api_key) as client:
        answer: Any = client.post("/v1/messages", body={"model": PLAIN, "messages": HI}, cast_to=object)
    assert answer["content"] == [{"type": "text", "text": HELLO}]
    assert "Authorization" not in ark.requests[0].headers


def test_errors(ark: FakeArk, claude: Any) -> None:
    with pytest.raises(anthropic.NotFoundError) as caught:
        claude.messages.create(model="nope", messages=HI, max_tokens=1)
    body: Any = caught.value.body
    assert (body["type"], body["error"]["code"], body["error"]["type"], body["error"]["param"]) == (
        "error",
        "InvalidEndpointOrModel.NotFound",
        "NotFound",
        "",
    )
    with (
        anthropic.Anthropic(api_key="wrong", base_url=ark.messages_url, max_retries=0) as stranger,
        pytest.raises(anthropic.AuthenticationError),
    ):
        stranger.messages.create(model=LITE, messages=HI, max_tokens=1)


def test_error_event(ark: FakeArk, claude: Any) -> None:
    ark.error_midstream(after=4)
    with (
        pytest.raises(anthropic.APIError) as caught,
        claude.messages.stream(model=LITE, messages=HI, max_tokens=9) as stream,
    ):
        stream.get_final_message()
    body: Any = caught.value.body
    assert body["error"]["code"] == "InternalServiceError"


def test_count_tokens(ark: FakeArk, claude: Any) -> None:
    assert claude.messages.count_tokens(model=LITE, messages=HI).input_tokens == 4
    assert ark.billed == []
