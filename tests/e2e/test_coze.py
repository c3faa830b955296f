"""Bots of Coze behind the gateway, asked with OpenAI's SDK and over plain HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from tests.e2e import files
from tests.e2e.conftest import Serve, Served
from tests.fakes import Answer, FakeCoze, FakeOpenAI, ToolCall, eventually
from tests.fakes.coze import BOT, CozeDoor
from tests.fakes.coze_chats import Bot
from tests.fakes.faults import Refusal
from tests.fakes.server import Received, Reply

HELLO = "Hello, you said: hi"
MESSAGES: Any = files.HI
USE_TOOL: Any = [{"role": "user", "content": "use get_weather"}]
MODELS = ["bot", "polled"]
COUNTED = (9, 6)
"""Tokens of HI, the bot's prompt included, and of HELLO."""


@pytest.fixture
async def served(serve: Serve, fake_coze: FakeCoze, fake_openai: FakeOpenAI) -> Served:
    """One bot, by stream and by polling, alone and before another provider."""
    return await serve(
        providers={
            "coze": files.coze(fake_coze),
            "polled": files.coze(fake_coze, polling=True, poll_interval_ms=50),
            "relay": files.relay(fake_openai),
        },
        models={
            "bot": files.model(files.route("coze", "coze", BOT), context_tokens=1000, max_output_tokens=500),
            "polled": files.model(files.route("polled", "polled", BOT), context_tokens=1000),
            "lost": files.model(files.route("lost", "coze", "7300000000000000009")),
            "pooled": files.model(
                files.route("first", "coze", BOT, priority=1),
                files.route("second", "relay", "doubao-seed", priority=2),
            ),
        },
        keys=[
            files.key("all", files.KEY),
            files.key("penny", files.PENNILESS, budget={"daily_usd": 0.0019}),
        ],
    )


@pytest.fixture
async def client(served: Served) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(api_key=files.KEY, base_url=f"{served.url}/v1", max_retries=0) as made:
        yield made


@pytest.mark.parametrize("model", MODELS)
async def test_text(client: openai.AsyncOpenAI, fake_coze: FakeCoze, model: str) -> None:
    answer = await client.chat.completions.create(model=model, messages=MESSAGES, user="u1")
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason, answer.model) == (HELLO, "stop", model)
    usage: Any = answer.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (*COUNTED, sum(COUNTED))
    assert usage.cost == (COUNTED[0] * 1000 + COUNTED[1] * 2000) / 1e9
    assert answer.id in fake_coze.chats
    assert fake_coze.requests[0].body is not None and fake_coze.requests[0].body["user_id"] == "u1"


@pytest.mark.parametrize("model", MODELS)
async def test_stream(client: openai.AsyncOpenAI, fake_coze: FakeCoze, model: str) -> None:
    stream = await client.chat.completions.create(
        model=model, messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    *chunks, last = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == HELLO
    assert len(chunks) == 7 and chunks[-1].choices[0].finish_reason == "stop"
    usage: Any = last.usage
    assert (usage.prompt_tokens, usage.completion_tokens) == COUNTED
    assert {request.path for request in fake_coze.requests} == {"/v3/chat"}


@pytest.mark.parametrize("model", MODELS)
async def test_each_event_leaves_before_the_next_arrives(served: Served, fake_coze: FakeCoze, model: str) -> None:
    pacer = fake_coze.stepwise()
    opening = asyncio.ensure_future(served.open({"model": model, "messages": files.HI, "stream": True}))
    for _ in range(3):
        await pacer.step()
    async with asyncio.timeout(2), await opening as response:
        for word in ("Hello", ",", " you"):
            line = await response.content.readline()
            assert json.loads(line.removeprefix(b"data: "))["choices"][0]["delta"]["content"] == word
            await response.content.readline()
            assert b"conversation.message.delta" in await pacer.step()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", MODELS)
async def test_reasoning(client: openai.AsyncOpenAI, fake_coze: FakeCoze, model: str, stream: bool) -> None:
    fake_coze.bots[BOT] = Bot(thinks=True)
    fake_coze.answer = Answer(text="Hello.", reasoning="One moment.")
    message, usage = await turn(client, model, MESSAGES, stream)
    assert (message.reasoning_content, message.content) == ("One moment.", "Hello.")
    assert usage.completion_tokens == 5


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", MODELS)
async def test_a_tool_loop_of_three_turns(client: openai.AsyncOpenAI, fake_coze: FakeCoze, model: str, stream: bool) -> None:
    calls = (ToolCall(name="get_weather", arguments='{"city":"Tokyo"}'),)
    said: list[Any] = list(USE_TOOL)
    spent = 0
    for words, answer in (("One.", Answer(text="One.", tool_calls=calls)), ("Two.", Answer(text="Two.", tool_calls=calls))):
        fake_coze.answer = answer
        message, usage = await turn(client, model, said, stream)
        assert message.content == words
        [call] = message.tool_calls
        assert (call.function.name, call.function.arguments) == ("get_weather", '{"city":"Tokyo"}')
        said += [message, {"role": "tool", "tool_call_id": call.id, "content": "22 degrees"}]
        spent += usage.total_tokens
    fake_coze.answer = None
    message, usage = await turn(client, model, said, stream)
    assert message.content == "The tool said: 22 degrees" and not message.tool_calls
    [bill] = fake_coze.billed
    assert spent + usage.total_tokens == bill.prompt + bill.completion
    # Another question begins a new chat, with what was said.
    message, _ = await turn(client, model, [*said, message, *MESSAGES], stream)
    assert message.content == HELLO and len(fake_coze.chats) == 2


async def turn(client: openai.AsyncOpenAI, model: str, messages: list[Any], stream: bool) -> tuple[Any, Any]:
    """The message of the answer, and its usage."""
    if not stream:
        answer = await client.chat.completions.create(model=model, messages=messages)
    else:
        options: Any = {"include_usage": True}
        async with client.chat.completions.stream(model=model, messages=messages, stream_options=options) as events:
            answer = await events.get_final_completion()
    [choice] = answer.choices
    assert choice.finish_reason == ("tool_calls" if choice.message.tool_calls else "stop")
    return choice.message, answer.usage


async def test_results_for_a_chat_of_somebody_elses_are_refused(served: Served, fake_coze: FakeCoze) -> None:
    await served.chat("bot", messages=USE_TOOL)
    [chat] = fake_coze.chats.values()
    guessed = {"role": "tool", "tool_call_id": f"coze_{chat.conversation_id}_{chat.id}_guess", "content": "x"}
    refused = await served.chat("bot", messages=[*USE_TOOL, guessed])
    assert (refused.status, refused.error["code"]) == (400, "upstream_invalid_request")
    assert chat.status == "requires_action" and fake_coze.requests[-1].path == "/v3/chat/retrieve"
    # To look for a chat is no work that anybody bills.
    assert await served.gateway.store.exposures.open(0, 2**62, "UTC") == []


class Refusing(CozeDoor):
    def answer(self, received: Received) -> Reply:
        raise Refusal(400, "4000", "no")


async def test_results_that_coze_refuses_cost_nobody_anything(served: Served, fake_coze: FakeCoze) -> None:
    asked = await served.chat("bot", messages=USE_TOOL)
    said = asked.json["choices"][0]["message"]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "x"} for call in said["tool_calls"]]
    fake_coze.doors["POST", "/v3/chat/submit_tool_outputs"] = Refusing(fake_coze)
    refused = await served.chat("bot", messages=[*USE_TOOL, said, *results])
    assert (refused.status, refused.error["code"]) == (400, "upstream_invalid_request")
    assert fake_coze.requests[-1].path == "/v3/chat/submit_tool_outputs"
    assert await served.gateway.store.exposures.open(0, 2**62, "UTC") == []


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("code", "status", "ours"),
    [
        (4000, 400, "upstream_invalid_request"),
        (4008, 429, "upstream_rate_limited"),
        (4010, 400, "context_length_exceeded"),
        (4011, 502, "upstream_quota_exhausted"),
        (4016, 429, "upstream_rate_limited"),
        (4100, 502, "upstream_auth_failed"),
        (4105, 400, "content_filter"),
    ],
)
@pytest.mark.parametrize("model", MODELS)
async def test_an_error_under_status_200(
    served: Served, fake_coze: FakeCoze, model: str, code: int, status: int, ours: str, stream: bool
) -> None:
    fake_coze.fail_next(200, str(code), "秘密 secret words")
    refused = await served.chat(model, stream=stream)
    assert (refused.status, refused.error["code"]) == (status, ours)
    assert refused.error["upstream"]["code"] == str(code)
    assert refused.error["upstream"]["request_id"].startswith("202611")
    assert "secret" not in refused.raw.decode()


async def test_a_bot_that_is_not_there(served: Served) -> None:
    refused = await served.chat("lost")
    assert (refused.status, refused.error["code"]) == (502, "upstream_model_unavailable")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", MODELS)
async def test_a_chat_that_fails(served: Served, fake_coze: FakeCoze, model: str, stream: bool) -> None:
    fake_coze.answer, fake_coze.fails = Answer(), (4013, "model error")
    refused = await served.chat(model, stream=stream)
    assert (refused.status, refused.error["code"]) == (502, "upstream_error")
    assert refused.error["upstream"]["code"] == "4013"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_chat_that_fails_before_its_first_word_is_answered_elsewhere(
    served: Served, fake_coze: FakeCoze, fake_openai: FakeOpenAI, stream: bool
) -> None:
    fake_coze.answer, fake_coze.fails = Answer(), (4013, "model error")
    answered = await served.chat("pooled", stream=stream)
    assert answered.status == 200 and len(fake_openai.requests) == 1
    assert (answered.headers["x-paifang-route"], answered.headers["x-paifang-attempts"]) == ("second", "2")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("how", ["fin", "rst", "eof"])
async def test_a_cut_stream(served: Served, fake_coze: FakeCoze, stream: bool, how: Any) -> None:
    fake_coze.cut_stream(after=5, how=how)
    if not stream:
        refused = await served.chat("bot")
        assert (refused.status, refused.error["code"]) == (502, "upstream_error")
        return
    async with served.open({"model": "bot", "messages": files.HI, "stream": True}) as response:
        text = (await response.content.read(65536)).decode() + (await rest(response))
    assert "[DONE]" not in text and '"finish_reason":"stop"' not in text
    assert json.loads(text.strip().rpartition("data: ")[2])["error"]["code"] == "upstream_error"


async def rest(response: Any) -> str:
    """What comes until the connection breaks."""
    got = b""
    try:
        while piece := await response.content.readany():
            got += piece
    except Exception:
        return got.decode()
    return got.decode()


async def test_what_the_door_cannot_do_is_named(served: Served) -> None:
    answered = await served.chat("bot", temperature=0.2, max_tokens=5, tools=[files.WEATHER])
    assert answered.status == 200 and answered.headers["x-paifang-dropped"] == "max_tokens, temperature, tools"


async def test_the_hold_covers_the_context_and_the_models_own_cap(served: Served, fake_coze: FakeCoze) -> None:
    """1,000 tokens in at 1,000 nano-USD and 500 out at 2,000 are more than 0.0019 USD, however small a cap is asked for."""
    refused = await served.chat("bot", key=files.PENNILESS, max_tokens=1)
    assert (refused.status, refused.error["code"]) == (429, "budget_exceeded")
    assert not fake_coze.requests


async def test_each_request_is_a_conversation_of_its_own(served: Served, fake_coze: FakeCoze) -> None:
    fake_coze.delay(before_s=0.05)
    for _ in range(2):
        assert (await served.chat("bot", conversation_id="7500000000000000000")).status == 200
    assert len({chat.conversation_id for chat in fake_coze.chats.values()}) == 2
    await eventually(lambda: served.gateway.store.ledger.unsettled == 0)
