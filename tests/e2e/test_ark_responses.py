"""Ark's Responses door behind a gateway, asked by OpenAI's SDK as if it were Chat Completions."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from tests.e2e import files
from tests.e2e.conftest import Serve, Served
from tests.fakes import FakeArk

SUMMARY = "doubao-seed-2-0-lite-260428"
TRANSLATION = "doubao-seed-translation-250915"
THOUGHT = "The user asks, so I answer."
TOOLS: Any = [files.WEATHER]
PNG = "data:image/png;base64,iVBORw0KGgo="


@pytest.fixture
async def served(serve: Serve, fake_ark: FakeArk) -> Served:
    searched = {"price": {**files.PRICE, "tools": {"web_search": 0.004}}}
    return await serve(
        providers={
            "resp": files.ark_responses(fake_ark),
            "to-zh": files.ark_responses(fake_ark, target_language="zh"),
            "strict": files.ark_responses(fake_ark, unknown_fields="reject"),
        },
        models={
            "summary": files.model(files.route("resp", "resp", SUMMARY), **searched),
            "translator": files.model(files.route("tr", "resp", TRANSLATION), max_output_tokens=3072, context_tokens=4096),
            "to-chinese": files.model(files.route("zh", "to-zh", TRANSLATION), max_output_tokens=3072),
            "strict": files.model(files.route("strict", "strict", SUMMARY)),
        },
        keys=files.standard_keys(),
    )


@pytest.fixture
async def client(served: Served) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(api_key=files.KEY, base_url=f"{served.url}/v1", max_retries=0) as made:
        yield made


async def completed(client: openai.AsyncOpenAI, stream: bool, **fields: Any) -> Any:
    """The one choice of an answer, asked for in either way."""
    if not stream:
        return (await client.chat.completions.create(model="summary", **fields)).choices[0]
    async with client.chat.completions.stream(model="summary", **fields) as told:
        return (await told.get_final_completion()).choices[0]


@pytest.mark.parametrize("stream", [False, True])
async def test_three_turns_with_tools_and_their_reasoning(client: openai.AsyncOpenAI, fake_ark: FakeArk, stream: bool) -> None:
    messages: list[Any] = [{"role": "developer", "content": "Be brief."}]
    for turn in ("rain", "snow", "sun"):
        messages.append({"role": "user", "content": f"use get_weather, turn {turn}"})
        asked = await completed(client, stream, messages=messages, tools=TOOLS)
        assert asked.finish_reason == "tool_calls"
        [call] = asked.message.tool_calls
        assert (call.type, call.function.name) == ("function", "get_weather")
        assert json.loads(call.function.arguments) == {"city": "text"}
        assert asked.message.reasoning_content == THOUGHT and asked.message.encrypted_content.startswith("enc:")
        messages += [asked.message, {"role": "tool", "tool_call_id": call.id, "content": turn}]
        told = await completed(client, stream, messages=messages, tools=TOOLS)
        assert (told.message.content, told.finish_reason) == (f"The tool said: {turn}", "stop")
        messages.append(told.message)
    sent: Any = fake_ark.requests[-1].body
    kinds = [item["type"] for item in sent["input"]]
    turn_kinds = ["message", "reasoning", "function_call", "function_call_output", "reasoning", "message"]
    assert kinds == ["message", *turn_kinds, *turn_kinds, *turn_kinds[:4]]
    assert sent["input"][2] == {
        "type": "reasoning",
        "status": "completed",
        "summary": [{"type": "summary_text", "text": THOUGHT}],
        "encrypted_content": messages[2].encrypted_content,
    }


@pytest.mark.parametrize("stream", [False, True])
async def test_pictures_and_videos(client: openai.AsyncOpenAI, fake_ark: FakeArk, stream: bool) -> None:
    parts: Any = [
        {"type": "text", "text": "compare"},
        {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
        {"type": "video_url", "video_url": {"url": "https://example.com/a.mp4", "fps": 2}},
        {"type": "file", "file": {"file_id": "file-1"}},
    ]
    told = await completed(client, stream, messages=[{"role": "user", "content": parts}])
    assert told.message.content == "Hello, you said: compare"
    sent: Any = fake_ark.requests[-1].body
    assert sent["input"][0]["content"] == [
        {"type": "input_text", "text": "compare"},
        {"type": "input_image", "image_url": PNG, "detail": "low"},
        {"type": "input_video", "video_url": "https://example.com/a.mp4", "fps": 2},
        {"type": "input_file", "file_id": "file-1"},
    ]
    assert sent["store"] is False


async def test_what_is_dropped_is_named_or_refused(served: Served, fake_ark: FakeArk) -> None:
    messages = [{"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]}]
    answered = await served.chat("summary", messages=messages, seed=7, stop=["x"])
    assert answered.status == 200
    assert answered.headers["x-paifang-dropped"] == "seed, stop, messages[].content[].cache_control"
    refused = await served.chat("strict", seed=7)
    assert (refused.status, refused.error["code"], refused.error["param"]) == (400, "unsupported_parameter", "seed")
    assert len(fake_ark.requests) == 1


async def test_a_search_is_priced_and_cited(served: Served) -> None:
    tools = [{"type": "web_search", "limit": 3}]
    messages = [{"role": "user", "content": "search the weather"}]
    answered = await served.chat("summary", messages=messages, tools=tools)
    [choice], usage = answered.json["choices"], answered.json["usage"]
    assert choice["message"]["annotations"][0]["url_citation"]["url"] == "https://example.com/weather"
    assert choice["finish_reason"] == "stop" and usage["tool_usage"] == {"web_search": 1}
    assert usage["cost"] == (usage["input_tokens"] * 1000 + usage["output_tokens"] * 2000 + 4_000_000) / 1e9
    asked = {"stream": True, "stream_options": {"include_usage": True}}
    *chunks, last, _ = (await served.chat("summary", messages=messages, tools=tools, **asked)).events
    assert [c["choices"][0]["delta"] for c in chunks if "annotations" in c["choices"][0]["delta"]] == [
        {"annotations": choice["message"]["annotations"]}
    ]
    assert last["usage"] == usage


@pytest.mark.parametrize("stream", [False, True])
async def test_translation(served: Served, client: openai.AsyncOpenAI, stream: bool) -> None:
    options = {"source_language": "en", "target_language": "ja"}
    messages: Any = files.HI
    asked: Any = {"messages": messages, "extra_body": {"translation_options": options}}
    if stream:
        chunks = await client.chat.completions.create(model="translator", stream=True, **asked)
        assert "".join([chunk.choices[0].delta.content or "" async for chunk in chunks]) == "en to ja: hi"
    else:
        answer = await client.chat.completions.create(model="translator", **asked)
        assert answer.choices[0].message.content == "en to ja: hi"
    plain = await served.chat("to-chinese", stream=False)
    assert plain.json["choices"][0]["message"]["content"] == "auto to zh: hi"


async def test_a_translation_into_no_language(served: Served) -> None:
    refused = await served.chat("translator")
    assert (refused.status, refused.error["code"]) == (400, "invalid_value")
    assert refused.error["param"] == "translation_options.target_language"


ERRORS = [
    (400, "InvalidParameter", 400, "upstream_invalid_request"),
    (400, "OutofContextError", 400, "context_length_exceeded"),
    (400, "InputTextSensitiveContentDetected", 400, "content_filter"),
    (401, "AuthenticationError", 502, "upstream_auth_failed"),
    (403, "AccountOverdueError", 502, "upstream_quota_exhausted"),
    (404, "ModelNotOpen", 502, "upstream_model_unavailable"),
    (429, "ServerOverloaded", 429, "upstream_rate_limited"),
    (500, "InternalServiceError", 502, "upstream_error"),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("status", "code", "our_status", "our_code"), ERRORS)
async def test_errors(
    served: Served, fake_ark: FakeArk, stream: bool, status: int, code: str, our_status: int, our_code: str
) -> None:
    fake_ark.fail_next(status, code, "words of the provider", times=3)
    answered = await served.chat("summary", stream=stream)
    assert (answered.status, answered.error["code"]) == (our_status, our_code)
    assert answered.error["upstream"]["code"] == code and answered.error["upstream"]["status"] == status
    assert b"words of the provider" not in answered.raw


@pytest.mark.parametrize("event", ["error", "response.failed"])
async def test_a_failure_in_the_middle(served: Served, client: openai.AsyncOpenAI, fake_ark: FakeArk, event: str) -> None:
    fake_ark.fails_by_event = event
    fake_ark.error_midstream(after=9, code="InternalServiceError", message="lost it")
    stream = await client.chat.completions.create(model="summary", messages=files.HI, stream=True)  # type: ignore[call-overload]
    with pytest.raises(openai.APIError) as caught:
        [chunk async for chunk in stream]
    assert caught.value.code == "upstream_error" and "lost it" not in str(caught.value)
    [bill] = fake_ark.billed
    assert await served.metric("paifang_tokens_total", kind="output") >= bill.completion > 0


@pytest.mark.parametrize("how", ["fin", "rst", "eof"])
async def test_a_cut_is_no_end(client: openai.AsyncOpenAI, fake_ark: FakeArk, how: Any) -> None:
    # Everything but the terminal event and [DONE].
    fake_ark.cut_stream(after=26, how=how)
    stream = await client.chat.completions.create(model="summary", messages=files.HI, stream=True)  # type: ignore[call-overload]
    with pytest.raises(openai.APIError):
        [chunk async for chunk in stream]


async def test_an_answer_that_is_cut_short_says_so(served: Served) -> None:
    answered = await served.chat("summary", max_completion_tokens=9)
    [choice] = answered.json["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("Hello", "length")
    assert answered.json["usage"]["completion_tokens_details"] == {"reasoning_tokens": 8}
