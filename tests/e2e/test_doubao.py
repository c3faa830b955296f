"""Doubao's models under their own ids and behind endpoints: OpenAI's SDK, the gateway, the fake Ark."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from tests.e2e import files
from tests.e2e.conftest import Serve, Served
from tests.fakes import FakeArk
from tests.fakes.ark import ENDPOINT

IDS = (
    "doubao-seed-1-8-251228",
    "doubao-seed-2-0-lite-260215",
    "doubao-seed-2-0-mini-260215",
    "doubao-seed-2-0-pro-260215",
    "doubao-seed-2-0-code-preview-260215",
    "doubao-seed-code-preview-251028",
    "doubao-seed-character-251128",
)
SUMMARY = "doubao-seed-2-0-lite-260428"
HELLO = "Hello, you said: hi"
THOUGHT = "The user asks, so I answer."
HI: Any = files.HI
USE_TOOL: Any = [{"role": "user", "content": "use get_weather"}]
TOOLS: Any = [files.WEATHER]


@pytest.fixture
async def served(serve: Serve, fake_ark: FakeArk) -> Served:
    dearer = {"input": 3, "output": 16}
    return await serve(
        providers={"ark": files.ark(fake_ark)},
        models={
            **{name: files.model(files.route("ark", "ark", name)) for name in (*IDS, SUMMARY)},
            "mine": files.model(files.route("endpoint", "ark", ENDPOINT), price=dearer, aliases=["ours"]),
        },
        keys=[files.key("all", files.KEY), files.key("glm", files.DOUBAO_ONLY, models=[SUMMARY])],
    )


@pytest.fixture
async def client(served: Served) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(api_key=files.KEY, base_url=f"{served.url}/v1", max_retries=0) as made:
        yield made


def thought_of(model: str) -> str:
    """Every one thinks unless told not to, but the characters."""
    return "" if "character" in model else THOUGHT


@pytest.mark.parametrize("model", IDS)
async def test_json(client: openai.AsyncOpenAI, model: str) -> None:
    answer = await client.chat.completions.create(model=model, messages=HI)
    message: Any = answer.choices[0].message
    assert (answer.model, message.content, answer.choices[0].finish_reason) == (model, HELLO, "stop")
    assert getattr(message, "reasoning_content", "") == thought_of(model)
    usage: Any = answer.usage
    assert usage.completion_tokens_details.reasoning_tokens == (8 if thought_of(model) else 0)
    quiet = await client.chat.completions.create(model=model, messages=HI, extra_body={"enable_thinking": False})
    assert not hasattr(quiet.choices[0].message, "reasoning_content")


@pytest.mark.parametrize("model", IDS)
async def test_stream(client: openai.AsyncOpenAI, model: str) -> None:
    wanted: Any = {"include_usage": True}
    stream = await client.chat.completions.create(model=model, messages=HI, stream=True, stream_options=wanted)
    *chunks, last = [chunk async for chunk in stream]
    deltas: list[Any] = [chunk.choices[0].delta for chunk in chunks]
    assert "".join(delta.content or "" for delta in deltas) == HELLO
    assert "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas) == thought_of(model)
    assert {chunk.model for chunk in (*chunks, last)} == {model}
    assert [chunk.choices[0].finish_reason for chunk in chunks[-2:]] == [None, "stop"] and last.usage


async def test_an_endpoint_is_the_model_it_is_configured_under(
    served: Served, client: openai.AsyncOpenAI, fake_ark: FakeArk
) -> None:
    answer = await client.chat.completions.create(model="ours", messages=HI)
    usage: Any = answer.usage
    assert (answer.model, fake_ark.requests[-1].model) == ("ours", ENDPOINT)
    assert usage.cost == pytest.approx((usage.prompt_tokens * 3 + usage.completion_tokens * 16) / 1e6)
    assert await served.metric("paifang_cost_usd_total", model="mine", family="doubao") == pytest.approx(usage.cost)
    with pytest.raises(openai.PermissionDeniedError):
        await client.with_options(api_key=files.DOUBAO_ONLY).chat.completions.create(model="mine", messages=HI)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", [SUMMARY, "doubao-seed-1-8-251228", "doubao-seed-code-preview-251028"])
async def test_three_turns_with_tools_and_reasoning(
    client: openai.AsyncOpenAI, fake_ark: FakeArk, model: str, stream: bool
) -> None:
    """The client sends back all that it got; what each generation takes of it is the gateway's business."""
    history: list[Any] = [*USE_TOOL]
    for turn in range(3):
        asked = await _said(client, model, history, stream=stream)
        [call] = asked["tool_calls"]
        history += [asked, {"role": "tool", "tool_call_id": call["id"], "content": f"rain {turn}"}, *USE_TOOL]
    last = await _said(client, model, history[:-1], stream=stream)
    assert last["content"] == "The tool said: rain 2"
    sent: list[Any] = [m for m in (fake_ark.requests[-1].body or {})["messages"] if m["role"] == "assistant"]
    assert len(sent) == 3
    assert all(("reasoning_content" in message) == ("code" not in model) for message in sent)
    assert all(("encrypted_content" in message) == (model == SUMMARY) for message in sent)


async def _said(client: openai.AsyncOpenAI, model: str, messages: list[Any], *, stream: bool) -> dict[str, Any]:
    if not stream:
        answer = await client.chat.completions.create(model=model, messages=messages, tools=TOOLS)
        return answer.choices[0].message.model_dump()
    async with client.chat.completions.stream(model=model, messages=messages, tools=TOOLS) as events:
        final = await events.get_final_completion()
    message = final.choices[0].message.model_dump()
    for call in message["tool_calls"] or ():
        del call["function"]["parsed_arguments"]
    message.pop("parsed")
    return message


async def test_a_picture_and_a_cache_key(client: openai.AsyncOpenAI, fake_ark: FakeArk) -> None:
    picture: Any = {"type": "image_url", "image_url": {"url": "https://e.example/a.png", "detail": "high"}}
    asked: Any = [{"role": "user", "content": [picture, {"type": "text", "text": "hi"}]}]
    raw = await client.chat.completions.with_raw_response.create(model=IDS[1], messages=asked, prompt_cache_key="mine")
    assert "x-paifang-dropped" not in raw.headers
    [received] = fake_ark.requests
    assert received.headers["x-prompt-cache-id"] == "mine" and received.body and received.body["messages"] == asked


@pytest.mark.parametrize("adapter", ["ark", "ark_messages"])
async def test_a_plan_is_warned_of_at_start(serve: Serve, adapter: str) -> None:
    base_url = "https://ark.cn-beijing.volces.com/api/plan" + ("/v3" if adapter == "ark" else "")
    sections: dict[str, Any] = {
        "providers": {"plan": {"adapter": adapter, "base_url": base_url, "api_key": "k"}, "sim": files.SIMULATOR},
        "models": {"m": files.model(files.route("plan", "plan"))},
    }
    [notice] = (await serve(**sections)).gateway.snapshot.notices
    assert notice.startswith("provider plan: it is an entrance of a coding or agent plan: plans are licensed for")
