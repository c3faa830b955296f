"""DashScope and the doors of Anthropic's shape behind the gateway, asked with OpenAI's SDK and over plain HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import aiohttp
import openai
import pytest

from tests.e2e import files
from tests.e2e.conftest import Serve, Served
from tests.fakes import Answer, FakeDashScope, FakeMessages, FakeMiniMax, FakeOpenAI, ToolCall, eventually
from tests.fakes.minimax import M2, M3

HELLO = "Hello, you said: hi"
THOUGHT = "The user asks, so I answer."
HI: Any = files.HI
TOOLS: Any = [files.WEATHER]
USE_TOOL: Any = [{"role": "user", "content": "use get_weather"}]
WITH_USAGE: Any = {"include_usage": True}
OFF: Any = {"enable_thinking": False}
ON: Any = {"enable_thinking": True}
PIXEL = "data:image/png;base64,iVBORw0KGgo="
PICTURES: Any = [
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "hi"},
            {"type": "image_url", "image_url": {"url": PIXEL}},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        ],
    }
]
Fake = FakeDashScope | FakeMessages


@dataclass(frozen=True, kw_only=True)
class Way:
    """A door, and a model behind it."""

    adapter: str
    fake: type[FakeDashScope] | type[FakeMessages]
    model: str
    sees: bool = True


WAYS = {
    "text": Way(adapter="dashscope", fake=FakeDashScope, model="qwen-plus", sees=False),
    "multimodal": Way(adapter="dashscope", fake=FakeDashScope, model="qwen3.8-max"),
    "minimax": Way(adapter="minimax_messages", fake=FakeMiniMax, model=M3),
    "anthropic": Way(adapter="anthropic_messages", fake=FakeMessages, model="any"),
}
CODES = {
    "dashscope": {"busy": (429, "Throttling"), "poor": (400, "Arrearage"), "unsafe": (400, "DataInspectionFailed")},
    "minimax_messages": {"busy": (429, "1002"), "poor": (429, "1008"), "unsafe": (400, "1026")},
    "anthropic_messages": {"busy": (429, ""), "poor": (402, "")},
}
"""(status, code) of the vendors' errors."""
OURS = {
    "busy": (429, "upstream_rate_limited"),
    "poor": (502, "upstream_quota_exhausted"),
    "unsafe": (400, "content_filter"),
}


@dataclass
class Gate:
    """A vendor, the gateway before it, and an SDK that knows neither."""

    way: Way
    fake: Any
    served: Served
    sdk: openai.AsyncOpenAI


async def gate_to(way: Way, stack: AsyncExitStack, serve: Serve, **options: Any) -> Gate:
    fake: Any = await stack.enter_async_context(way.fake())
    relay = await stack.enter_async_context(FakeOpenAI())
    account = {"adapter": way.adapter, "base_url": fake.base_url, "api_key": fake.key, **options}
    served = await serve(
        providers={"native": account, "relay": files.relay(relay)},
        models={
            "m": files.model(files.route("native", "native", way.model)),
            "pooled": files.model(
                files.route("first", "native", way.model, priority=1), files.route("second", "relay", "x", priority=2)
            ),
        },
        keys=[files.key("all", files.KEY)],
    )
    made = openai.AsyncOpenAI(api_key=files.KEY, base_url=f"{served.url}/v1", max_retries=0)
    return Gate(way, fake, served, await stack.enter_async_context(made))


@pytest.fixture(params=WAYS)
async def gate(request: pytest.FixtureRequest, serve: Serve) -> AsyncIterator[Gate]:
    async with AsyncExitStack() as stack:
        yield await gate_to(WAYS[request.param], stack, serve)


async def answer(gate: Gate, stream: bool, messages: Any = HI, **fields: Any) -> tuple[Any, Any]:
    """The message of the answer, and its usage."""
    asked: Any = {"model": "m", "messages": messages, **fields}
    if not stream:
        completion = await gate.sdk.chat.completions.create(**asked)
    else:
        async with gate.sdk.chat.completions.stream(**asked, stream_options=WITH_USAGE) as events:
            completion = await events.get_final_completion()
    [choice] = completion.choices
    assert completion.model == "m"
    assert choice.finish_reason == ("tool_calls" if choice.message.tool_calls else "stop")
    return choice.message, completion.usage


@pytest.mark.parametrize("stream", [False, True])
async def test_text(gate: Gate, stream: bool) -> None:
    message, usage = await answer(gate, stream, extra_body=OFF)
    assert message.content == HELLO
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (4, 6, 10)
    assert usage.cost == (4 * 1000 + 6 * 2000) / 1e9
    await eventually(lambda: gate.served.gateway.store.ledger.unsettled == 0)
    assert gate.fake.billed == [(gate.way.model, 4, 6, 0)]


async def test_each_event_leaves_before_the_next_arrives(gate: Gate) -> None:
    pacer = gate.fake.stepwise()
    body = {"model": "m", "messages": HI, "stream": True, **OFF}
    opening = asyncio.ensure_future(gate.served.open(body))
    before = 0 if gate.way.fake is FakeDashScope else 2  # message_start, content_block_start
    for _ in range(before + 1):
        await pacer.step()
    async with asyncio.timeout(2), await opening as response:
        for word in ("Hello", ",", " you"):
            line = await response.content.readline()
            assert json.loads(line.removeprefix(b"data: "))["choices"][0]["delta"]["content"] == word
            await response.content.readline()
            await pacer.step()


@pytest.mark.parametrize("stream", [False, True])
async def test_reasoning(gate: Gate, stream: bool) -> None:
    message, usage = await answer(gate, stream, extra_body=ON)
    assert (message.reasoning_content, message.content) == (THOUGHT, HELLO)
    assert usage.completion_tokens == 14
    if gate.way.adapter == "dashscope":
        assert usage.completion_tokens_details.reasoning_tokens == 8
        sent = gate.fake.requests[-1].body["parameters"]
        assert sent["max_tokens"] + sent["thinking_budget"] == 4096


@pytest.mark.parametrize("stream", [False, True])
async def test_a_tool_loop_of_three_turns_with_reasoning_given_back(gate: Gate, stream: bool) -> None:
    calls = (
        ToolCall(name="get_weather", arguments='{"city":"Tokyo"}'),
        ToolCall(name="get_weather", arguments='{"city":"北京"}'),
    )
    said: list[Any] = list(USE_TOOL)
    for words in ("One.", "Two."):
        gate.fake.answer = Answer(text=words, reasoning=THOUGHT, tool_calls=calls)
        message, _ = await answer(gate, stream, said, tools=TOOLS, extra_body=ON)
        assert (message.content, message.reasoning_content) == (words, THOUGHT)
        assert [json.loads(call.function.arguments) for call in message.tool_calls] == [{"city": "Tokyo"}, {"city": "北京"}]
        said.append(message.model_dump(exclude_none=True, exclude={"parsed"}))
        said += [{"role": "tool", "tool_call_id": call.id, "content": "22 degrees"} for call in message.tool_calls]
    gate.fake.answer = None
    message, _ = await answer(gate, stream, said, tools=TOOLS, extra_body=ON)
    assert message.content == "The tool said: 22 degrees and 22 degrees"
    assert not message.tool_calls
    sent = gate.fake.requests[-1].body
    if gate.way.adapter == "dashscope":
        assert "reasoning_content" not in json.dumps(sent)
    else:
        blocks = [block for turn in sent["messages"][1::2] for block in turn["content"]]
        thoughts = [block for block in blocks if block["type"] == "thinking"]
        assert [thought["thinking"] for thought in thoughts] == [THOUGHT, THOUGHT]
        assert all(thought["signature"].startswith("enc:") for thought in thoughts)


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_weather"}}])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_tool_that_is_forced(gate: Gate, stream: bool, choice: Any) -> None:
    message, _ = await answer(gate, stream, tools=TOOLS, tool_choice=choice, extra_body=OFF)
    [call] = message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", {"city": "text"})


async def test_pictures(gate: Gate) -> None:
    if not gate.way.sees:
        refused = await gate.served.chat("m", messages=PICTURES)
        # The model is where texts are alone: first asked where pictures are, then there.
        assert (refused.status, refused.error["code"], len(gate.fake.requests)) == (400, "upstream_invalid_request", 2)
        return
    message, _ = await answer(gate, False, PICTURES, extra_body=OFF)
    assert message.content == HELLO
    sent = json.dumps(gate.fake.requests[-1].body)
    assert "iVBORw0KGgo=" in sent and "https://example.com/a.png" in sent


@pytest.mark.parametrize("stream", [False, True])
async def test_cached_input(gate: Gate, stream: bool) -> None:
    gate.fake.cached_tokens = 2
    _, usage = await answer(gate, stream, extra_body=OFF)
    assert (usage.prompt_tokens, usage.prompt_tokens_details.cached_tokens) == (4, 2)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("trouble", OURS)
async def test_errors(gate: Gate, trouble: str, stream: bool) -> None:
    if trouble not in CODES[gate.way.adapter]:
        return
    status, code = CODES[gate.way.adapter][trouble]
    gate.fake.fail_next(status, code, "秘密 secret words")
    refused = await gate.served.chat("m", stream=stream)
    assert (refused.status, refused.error["code"]) == OURS[trouble]
    assert refused.error["upstream"]["request_id"] == gate.fake.requests[-1].id
    assert "secret" not in refused.raw.decode()


async def test_a_wrong_key(gate: Gate) -> None:
    gate.fake.key = "sk-another-key-000000000000000"
    refused = await gate.served.chat("m")
    assert (refused.status, refused.error["code"]) == (502, "upstream_auth_failed")


@pytest.mark.parametrize("stream", [False, True])
async def test_what_fails_before_its_first_word_is_answered_elsewhere(gate: Gate, stream: bool) -> None:
    gate.fake.error_midstream(after=0, code="1000") if stream else gate.fake.fail_next(503, "1000")
    # multimodal: a model that thinks is asked for a stream whatever the client wants
    answered = await gate.served.chat("pooled", stream=stream)
    assert (answered.status, answered.headers["x-paifang-route"]) == (200, "second")


async def test_an_error_in_the_middle_of_a_stream(gate: Gate) -> None:
    gate.fake.error_midstream(after=4, code="1000", message="秘密 secret words")
    first, *_, last = (await broken_stream(gate)).strip().split("\n\n")
    assert json.loads(first.removeprefix("data: "))["choices"][0]["delta"]["content"] == "Hello"
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "upstream_error"
    assert "secret" not in last


@pytest.mark.parametrize("how", ["fin", "rst", "eof"])
async def test_a_cut_stream(gate: Gate, how: Any) -> None:
    gate.fake.cut_stream(after=4, how=how)
    text = await broken_stream(gate)
    assert json.loads(text.strip().rpartition("data: ")[2])["error"]["code"] == "upstream_error"


async def broken_stream(gate: Gate) -> str:
    """What a client gets of a stream that doesn't end well."""
    got = b""
    async with gate.served.open({"model": "m", "messages": HI, "stream": True, **OFF}) as response:
        with pytest.raises(aiohttp.ClientPayloadError):
            while piece := await response.content.readany():
                got += piece
    text = got.decode()
    assert "[DONE]" not in text and '"finish_reason":"stop"' not in text
    return text


@pytest.mark.parametrize("model", ["qwq-plus", "qwen3-32b"])
async def test_models_that_only_stream_answer_in_json_too(serve: Serve, model: str) -> None:
    async with AsyncExitStack() as stack:
        gate = await gate_to(Way(adapter="dashscope", fake=FakeDashScope, model=model), stack, serve)
        message, usage = await answer(gate, False)
        assert (message.reasoning_content, message.content, usage.completion_tokens) == (THOUGHT, HELLO, 14)
        assert gate.fake.requests[0].headers["X-DashScope-SSE"] == "enable"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_model_at_the_path_that_its_name_hides_is_found_once(serve: Serve, stream: bool) -> None:
    async with AsyncExitStack() as stack:
        gate = await gate_to(Way(adapter="dashscope", fake=FakeDashScope, model="kimi-k2.6"), stack, serve)
        for _ in range(2):
            answered = await gate.served.chat("m", stream=stream)
            assert (answered.status, answered.headers["x-paifang-attempts"]) == (200, "1")
        assert [request.path.split("/")[-2] for request in gate.fake.requests] == [
            "text-generation",
            "multimodal-generation",
            "multimodal-generation",
        ]


async def test_a_model_that_sees_nothing_is_not_shown_pictures(serve: Serve) -> None:
    async with AsyncExitStack() as stack:
        gate = await gate_to(Way(adapter="minimax_messages", fake=FakeMiniMax, model=M2), stack, serve)
        refused = await gate.served.chat("m", messages=PICTURES)
        assert (refused.status, refused.error["code"]) == (400, "unsupported_parameter")
        assert not gate.fake.requests
        answered = await gate.served.chat("m", stop=["you"], **OFF)
        assert answered.headers["x-paifang-dropped"] == "stop, enable_thinking"


async def test_the_key_as_a_bearer(serve: Serve) -> None:
    async with AsyncExitStack() as stack:
        gate = await gate_to(WAYS["anthropic"], stack, serve, auth="bearer")
        assert (await gate.served.chat("m")).status == 200
        assert gate.fake.requests[0].headers["Authorization"] == f"Bearer {gate.fake.key}"
        assert "x-api-key" not in gate.fake.requests[0].headers
