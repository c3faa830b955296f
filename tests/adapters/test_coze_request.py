"""Coze's request: a Chat Completions body in, the body of a chat or the results of its tools out."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from proxy import BadRequest, ChatRequest, Price, Send
from tests.adapters import coze_answers as coze
from tests.adapters.coze_answers import BOT, RESULT, WEATHER_ASKED, ask, opened, target

HI = {"role": "user", "content": "hi"}
IMAGE = {"type": "image_url", "image_url": {"url": "https://e.org/a.png"}}


def sent(chat: ChatRequest, **options: Any) -> Any:
    send = opened(chat, **options).next()
    assert isinstance(send, Send)
    return json.loads(send.body)


def additional(*messages: dict[str, Any]) -> list[Any]:
    return [(m["role"], m["type"], m["content"]) for m in sent(ask(*messages))["additional_messages"]]


def test_a_question_becomes_a_chat() -> None:
    send = opened(ask(stream=True)).next()
    assert isinstance(send, Send)
    assert (send.method, send.path, send.stream) == ("POST", "/v3/chat", True)
    assert send.headers == {"accept": "text/event-stream"}
    assert json.loads(send.body) == {
        "bot_id": BOT,
        "user_id": "paifang",
        "stream": True,
        "auto_save_history": True,
        "additional_messages": [{"role": "user", "type": "question", "content_type": "text", "content": "hi"}],
    }


def test_the_history_is_sent_along_and_system_texts_are_the_users() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert additional(
        {"role": "system", "content": "be brief"},
        HI,
        {"role": "assistant", "content": "hello"},
        {"role": "developer", "content": parts},
        {"role": "user", "content": parts},
    ) == [
        ("user", "question", "be brief"),
        ("user", "question", "hi"),
        ("assistant", "answer", "hello"),
        ("user", "question", "ab"),
        ("user", "question", "ab"),
    ]


def test_images_by_url() -> None:
    [message] = sent(ask({"role": "user", "content": [{"type": "text", "text": "look"}, IMAGE]}))["additional_messages"]
    assert message["content_type"] == "object_string"
    assert json.loads(message["content"]) == [
        {"type": "text", "text": "look"},
        {"type": "image", "file_url": "https://e.org/a.png"},
    ]


def test_who_asks_and_what_coze_knows_beside() -> None:
    more = {"metadata": {"a": "b"}, "custom_variables": {"name": "Li"}, "parameters": {"n": 1}}
    body = sent(ask(user="u1", **more), user_id="gateway")
    assert (body["user_id"], body["meta_data"]) == ("u1", {"a": "b"})
    assert (body["custom_variables"], body["parameters"]) == ({"name": "Li"}, {"n": 1})
    assert sent(ask(), user_id="gateway")["user_id"] == "gateway"


@pytest.mark.parametrize(("stream", "polling", "streams"), [(False, False, True), (False, True, False), (True, True, True)])
def test_only_who_wants_no_stream_is_polled(stream: bool, polling: bool, streams: bool) -> None:
    assert sent(ask(stream=stream), polling=polling)["stream"] is streams


def test_what_the_door_cannot_do_is_named() -> None:
    asked = ask(
        {"role": "user", "content": "hi", "name": "Li"},
        WEATHER_ASKED,
        RESULT,
        {"role": "assistant", "content": "warm", "reasoning_content": "22 is warm"},
        {"role": "user", "content": [{**IMAGE, "image_url": {**IMAGE["image_url"], "detail": "low"}}]},
        temperature=0,
        max_tokens=5,
        store=False,
        tools=[{"type": "function", "function": {"name": "f"}}],
        seed=0,
        conversation_id="75",
    )
    exchange = opened(asked)
    assert list(exchange.dropped) == [
        "conversation_id",
        "max_tokens",
        "seed",
        "store",
        "temperature",
        "tools",
        "messages[].name",
        "messages[].tool_calls",
        "messages[role=tool]",
        "messages[].reasoning_content",
        "messages[].content[].image_url.detail",
    ]
    assert "75" not in json.dumps(sent(asked)) and "22 degrees" not in json.dumps(sent(asked))


def test_what_asks_for_nothing_is_not() -> None:
    nothing = {"n": 1, "temperature": 1, "logprobs": False, "tools": [], "tool_choice": "auto", "stop": [], "store": True}
    assert opened(ask(response_format={"type": "text"}, **nothing)).dropped == ()


@pytest.mark.parametrize(
    ("chat", "param"),
    [
        (replace(ask(), n=2), "n"),
        (ask(HI, {"role": "assistant", "content": "He"}), "messages[1].role"),
        (ask({"role": "function", "name": "f", "content": "x"}, HI), "messages[0].role"),
        (ask({"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}), "messages[0].content[0].type"),
        (ask({"role": "system", "content": [IMAGE]}, HI), "messages[0].content[0].type"),
        (
            ask({"role": "user", "content": [{**IMAGE, "image_url": {"url": "data:image/png;base64,AA=="}}]}),
            "messages[0].content[0].image_url.url",
        ),
        (ask({"role": "user", "content": [{"type": "image_url"}]}), "messages[0].content[0].image_url.url"),
        (ask(service_tier="flex"), "service_tier"),
        (ask(HI, {**RESULT, "tool_call_id": "call_of_another_provider"}), "messages[1].tool_call_id"),
        (ask(HI, RESULT, {**RESULT, "tool_call_id": "coze_76_74_x"}), "messages[2].tool_call_id"),
        (ask(HI, {**RESULT, "tool_call_id": "coze_75&chat_id=1_74_x"}), "messages[1].tool_call_id"),
    ],
)
def test_what_cannot_be_said_is_refused(chat: ChatRequest, param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        opened(chat)
    assert refused.value.param == param


def test_a_strict_provider_refuses_what_would_be_left_out() -> None:
    with pytest.raises(BadRequest) as refused:
        opened(ask(temperature=0.5), unknown_fields="reject")
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", "temperature")


def test_results_of_tools_look_for_their_chat_first() -> None:
    exchange = opened(ask(HI, WEATHER_ASKED, RESULT, stream=True, metadata={"a": "b"}))
    send = exchange.next()
    assert isinstance(send, Send)
    assert (send.method, send.path, send.body, send.asks_only) == ("POST", f"/v3/chat/retrieve{coze.QUERY}", b"", True)
    assert list(exchange.dropped) == ["metadata"]


def test_a_price_without_the_tier_is_no_price() -> None:
    priced = replace(target(), price=Price())
    with pytest.raises(BadRequest):
        coze.Coze().open(ask(service_tier="fast"), priced)
