"""The fake doors of Anthropic's shape, held to Anthropic's SDK."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

from tests.fakes import FakeMessages, FakeMiniMax
from tests.fakes.messages import KEY
from tests.fakes.minimax import M2, M3

HI: Any = [{"role": "user", "content": "hi"}]
HELLO = "Hello, you said: hi"
THOUGHT = "The user asks, so I answer."
PIXEL: Any = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0="}}
TOOL: Any = {"name": "get_weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
BUDGET: Any = {"type": "enabled", "budget_tokens": 50}


@pytest.fixture(params=[FakeMessages, FakeMiniMax])
def fake(request: Any) -> Iterator[FakeMessages]:
    made: FakeMessages = request.param()
    with made.run_in_thread():
        yield made


@pytest.fixture
def claude(fake: FakeMessages) -> Iterator[Any]:
    with anthropic.Anthropic(api_key=KEY, base_url=fake.base_url, max_retries=0) as made:
        yield made


def on(fake: FakeMessages) -> Any:
    """The words that switch thinking on."""
    return {"type": "adaptive"} if isinstance(fake, FakeMiniMax) else BUDGET


def test_json(fake: FakeMessages, claude: Any) -> None:
    fake.cached_tokens, fake.written_tokens = 2, 1
    answer = claude.messages.create(model=M3, messages=HI, max_tokens=100, thinking=on(fake))
    thinking, text = answer.content
    assert (thinking.thinking, text.text, answer.stop_reason) == (THOUGHT, HELLO, "end_turn")
    usage = answer.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (1, 2, 1)
    assert fake.billed == [(M3, 4, 14, 2)]


def test_stream(fake: FakeMessages, claude: Any) -> None:
    with claude.messages.stream(model=M3, messages=HI, max_tokens=60, thinking=on(fake)) as stream:
        final = stream.get_final_message()
    assert [block.type for block in final.content] == ["thinking", "text"]
    assert final.content[0].signature.startswith("enc:")
    assert final.usage.output_tokens == 14


def test_a_tool_and_its_result(fake: FakeMessages, claude: Any) -> None:
    ask: Any = {"model": M3, "max_tokens": 100, "tools": [TOOL], "thinking": {"type": "disabled"}}
    answer = claude.messages.create(messages=HI, tool_choice={"type": "any"}, **ask)
    [use] = answer.content
    assert (use.name, use.input) == ("get_weather", {"city": "text"})
    result: Any = {"type": "tool_result", "tool_use_id": use.id, "content": "rain"}
    said = [*HI, {"role": "assistant", "content": answer.content}]
    told = claude.messages.create(messages=[*said, {"role": "user", "content": [result]}], **ask)
    assert told.content[0].text == "The tool said: rain"
    with pytest.raises(anthropic.BadRequestError, match="tool id not found"):
        claude.messages.create(messages=[*said, {"role": "user", "content": [result | {"tool_use_id": "x"}]}], **ask)


@pytest.mark.parametrize(
    "wrong",
    [
        {"extra_body": {"temperature": 1.5}},
        {"thinking": {"type": "sometimes"}},
        {"messages": [{"role": "system", "content": "x"}]},
        {"extra_body": {"output_config": {"effort": "low"}}},
    ],
)
def test_what_is_refused(claude: Any, wrong: Any) -> None:
    with pytest.raises(anthropic.BadRequestError):
        claude.messages.create(**{"model": M3, "messages": HI, "max_tokens": 100, **wrong})


def test_errors(fake: FakeMessages, claude: Any) -> None:
    fake.fail_next(429, "1002", "slow down")
    with pytest.raises(anthropic.RateLimitError) as caught:
        claude.messages.create(model=M3, messages=HI, max_tokens=1)
    body: Any = caught.value.body
    assert body["error"]["message"] == ("slow down (1002)" if isinstance(fake, FakeMiniMax) else "slow down")
    fake.error_midstream(after=2)
    with pytest.raises(anthropic.APIError), claude.messages.stream(model=M3, messages=HI, max_tokens=9) as stream:
        stream.get_final_message()
    with (
        anthropic.Anthropic(api_key="wrong", base_url=fake.base_url, max_retries=0) as stranger,
        pytest.raises(anthropic.AuthenticationError),
    ):
        stranger.messages.create(model=M3, messages=HI, max_tokens=1)


def test_what_minimax_does_in_its_own_way() -> None:
    with (
        FakeMiniMax().run_in_thread() as base_url,
        anthropic.Anthropic(auth_token=KEY, base_url=base_url, max_retries=0) as made,
    ):
        claude: Any = made
        ask: Any = {"messages": HI, "max_tokens": 100}
        answer = claude.messages.create(model=M2, thinking={"type": "disabled"}, stop_sequences=["you"], **ask)
        assert [block.type for block in answer.content] == ["thinking", "text"]
        assert answer.content[1].text == HELLO
        for zero in ("temperature", "top_p"):
            with pytest.raises(anthropic.BadRequestError, match="2013"):
                claude.messages.create(model=M3, **ask, extra_body={zero: 0})
        picture: Any = [{"role": "user", "content": [PIXEL]}]
        assert claude.messages.create(model=M3, messages=picture, max_tokens=100).content
        with pytest.raises(anthropic.BadRequestError, match="images"):
            claude.messages.create(model=M2, messages=picture, max_tokens=100)
