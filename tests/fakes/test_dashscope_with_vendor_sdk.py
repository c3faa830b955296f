"""The fake DashScope, held to the vendor's SDK."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dashscope
import pytest

from tests.fakes import Answer, FakeDashScope
from tests.fakes.dashscope import KEY

HI: Any = [{"role": "user", "content": "hi"}]
HELLO = "Hello, you said: hi"
THOUGHT = "The user asks, so I answer."
SEEN: Any = [{"role": "user", "content": [{"image": "https://example.com/a.png"}, {"text": "hi"}]}]
TOOL: Any = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDashScope]:
    made = FakeDashScope()
    with made.run_in_thread() as base_url:
        monkeypatch.setattr(dashscope, "base_http_api_url", base_url)
        yield made


def ask(model: str = "qwen-plus", messages: Any = HI, **more: Any) -> Any:
    return dashscope.Generation.call(model, messages=messages, **{"api_key": KEY, "result_format": "message", **more})


def see(model: str = "qwen3-vl-plus", messages: Any = SEEN, **more: Any) -> Any:
    return dashscope.MultiModalConversation.call(model, messages=messages, api_key=KEY, **more)


def test_json(fake: FakeDashScope) -> None:
    fake.cached_tokens = 2
    answer = ask()
    [choice] = answer.output.choices
    assert (choice.message.content, choice.finish_reason) == (HELLO, "stop")
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (4, 6)
    assert answer.request_id.startswith("3f1c0a52-")
    assert fake.billed == [("qwen-plus", 4, 6, 2)]
    assert ask(result_format="text").output.text == HELLO


def test_a_stream_of_pieces_with_counts_in_each(fake: FakeDashScope) -> None:
    *pieces, last = ask(stream=True, incremental_output=True)
    assert [piece.output.choices[0].message.content for piece in pieces] == ["Hello", ",", " you", " said", ":", " hi"]
    assert [piece.usage.output_tokens for piece in pieces] == [1, 2, 3, 4, 5, 6]
    assert {piece.output.choices[0].finish_reason for piece in pieces} == {"null"}
    assert (last.output.choices[0].finish_reason, last.usage.output_tokens) == ("stop", 6)


def test_a_stream_that_repeats_itself(fake: FakeDashScope) -> None:
    """The SDK asks for pieces and puts them together, except for models with omni in their name."""
    fake.models["qwen-omni"] = fake.models["qwen-plus"]
    for model in ("qwen-plus", "qwen-omni"):
        told = [piece.output.choices[0].message.content for piece in ask(model, stream=True, incremental_output=False)]
        assert (told[0], told[-1]) == ("Hello", HELLO)


def test_thinking(fake: FakeDashScope) -> None:
    told = list(ask("qwen3-32b", stream=True, incremental_output=True, thinking_budget=3))
    reasoning = "".join(piece.output.choices[0].message.get("reasoning_content", "") for piece in told)
    assert (reasoning, told[-1].usage["output_tokens_details"]) == ("The user asks", {"reasoning_tokens": 3})
    [choice] = ask("qwen3-32b", enable_thinking=False).output.choices
    assert "reasoning_content" not in choice.message


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_and_its_result(fake: FakeDashScope, stream: bool) -> None:
    forced = {"type": "function", "function": {"name": "get_weather"}}
    told = ask(tools=[TOOL], tool_choice=forced, stream=stream)
    [choice] = (list(told)[-1] if stream else told).output.choices
    [call] = choice.message.tool_calls
    assert (call["function"], choice.finish_reason) == ({"name": "get_weather", "arguments": '{"city":"text"}'}, "tool_calls")
    result = {"role": "tool", "tool_call_id": call["id"], "content": "rain"}
    answer = ask(messages=[*HI, {"role": "assistant", "content": "", "tool_calls": [call]}, result], tools=[TOOL])
    assert answer.output.choices[0].message.content == "The tool said: rain"


def test_multimodal_models_answer_in_parts(fake: FakeDashScope) -> None:
    assert see().output.choices[0].message.content == [{"text": HELLO}]
    assert list(see(stream=True, incremental_output=False))[-1].output.choices[0].message.content == [{"text": HELLO}]
    fake.answer = Answer(text="Two.", reasoning=THOUGHT)
    told = list(see("qwen3.8-max", stream=True, incremental_output=True))
    assert told[0].output.choices[0].message.reasoning_content == "The"


@pytest.mark.parametrize(
    ("call", "status", "code", "words"),
    [
        (lambda: ask("qwen3-vl-plus"), 400, "InvalidParameter", "url error"),
        (lambda: next(ask("qwen3-vl-plus", stream=True)), 400, "InvalidParameter", "url error"),
        (lambda: see("qwen-plus"), 400, "InvalidParameter", "url error"),
        (lambda: ask("nope"), 404, "Model.NotExist", ""),
        (lambda: ask(api_key="wrong"), 401, "InvalidApiKey", ""),
        (lambda: ask("qwq-plus"), 400, "InvalidParameter", "stream mode"),
        (lambda: ask(enable_thinking=True), 400, "InvalidParameter", "non-streaming"),
        (lambda: ask(temperature=2), 400, "InvalidParameter", "range"),
        (lambda: ask(top_p=1.0), 400, "InvalidParameter", "range"),
        (lambda: ask(thinking_budget=0), 400, "InvalidParameter", "positive"),
        (lambda: ask(frequency_penalty=1), 400, "InvalidParameter", "unknown"),
        (lambda: ask(tools=[TOOL], tool_choice="required"), 400, "InvalidParameter", "tool_choice"),
        (lambda: ask(messages=[{**HI[0], "reasoning_content": "x"}]), 400, "InvalidParameter", "not valid"),
        (lambda: ask(messages=SEEN), 400, "InvalidParameter", "content"),
    ],
)
def test_what_is_refused(fake: FakeDashScope, call: Any, status: int, code: str, words: str) -> None:
    refused = call()
    assert (refused.status_code, refused.code) == (status, code)
    assert words in refused.message


def test_an_error_in_the_middle(fake: FakeDashScope) -> None:
    fake.error_midstream(after=2, code="InternalError.Algo")
    *_, last = ask(stream=True, incremental_output=True)
    assert (last.output, last.code) == (None, "InternalError.Algo")
