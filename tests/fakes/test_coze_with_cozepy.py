"""The fake Coze, held to Coze's own SDK."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fakes import Answer, FakeCoze
from tests.fakes.coze import BOT, KEY

with warnings.catch_warnings(record=True):  # the SDK's authlib warns of itself, whatever filters say
    from cozepy import (
        Chat,
        ChatEventType,
        ChatStatus,
        Coze,
        CozeAPIError,
        Message,
        MessageObjectString,
        SyncHTTPClient,
        TokenAuth,
        ToolOutput,
    )

HI = [Message.build_user_question_text("hi")]
USE_TOOL = [Message.build_user_question_text("use get_weather")]
HELLO = "Hello, you said: hi"


@pytest.fixture
def fake() -> Iterator[FakeCoze]:
    made = FakeCoze()
    with made.run_in_thread():
        yield made


@pytest.fixture
def http() -> Iterator[SyncHTTPClient]:
    with SyncHTTPClient() as client:
        yield client


@pytest.fixture
def coze(fake: FakeCoze, http: SyncHTTPClient) -> Coze:
    return Coze(auth=TokenAuth(KEY), base_url=fake.base_url, http_client=http)


def ask(coze: Coze, messages: list[Message] = HI, **more: Any) -> list[Any]:
    return list(coze.chat.stream(bot_id=BOT, user_id="u", additional_messages=messages, **more))


def test_stream(fake: FakeCoze, coze: Coze) -> None:
    events = ask(coze)
    kinds = [event.event for event in events]
    assert kinds[:2] == [ChatEventType.CONVERSATION_CHAT_CREATED, ChatEventType.CONVERSATION_CHAT_IN_PROGRESS]
    deltas = [e.message.content for e in events if e.event == ChatEventType.CONVERSATION_MESSAGE_DELTA]
    completed = [e.message for e in events if e.event == ChatEventType.CONVERSATION_MESSAGE_COMPLETED]
    assert "".join(deltas) == HELLO
    assert completed[0].content == HELLO
    assert [message.type for message in completed] == ["answer", "verbose", "follow_up"]
    chat: Chat = events[-1].chat
    assert chat.status == ChatStatus.COMPLETED and chat.usage is not None
    assert (chat.usage.input_count, chat.usage.output_count, chat.usage.token_count) == (9, 6, 15)
    assert fake.billed == [(BOT, 9, 6, 0)]


def test_polling(fake: FakeCoze, coze: Coze) -> None:
    polled = coze.chat.create_and_poll(bot_id=BOT, user_id="u", additional_messages=HI)
    assert polled.chat.status == ChatStatus.COMPLETED and polled.messages is not None
    assert [message.content for message in polled.messages if message.type == "answer"] == [HELLO]
    assert polled.chat.usage is not None and polled.chat.usage.token_count == 15
    assert [(r.method, r.path) for r in fake.requests] == [
        ("POST", "/v3/chat"),
        ("POST", "/v3/chat/retrieve"),
        ("POST", "/v3/chat/retrieve"),
        ("GET", "/v3/chat/message/list"),
    ]
    assert fake.billed == [(BOT, 9, 6, 0)]


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_of_the_client(fake: FakeCoze, coze: Coze, stream: bool) -> None:
    chat = ask(coze, USE_TOOL)[-1].chat
    assert chat.status == ChatStatus.REQUIRES_ACTION
    [call] = chat.required_action.submit_tool_outputs.tool_calls
    assert (call.type, call.function.name, call.function.arguments) == ("function", "get_weather", '{"city":"text"}')
    spent = chat.usage
    outputs = [ToolOutput(tool_call_id=call.id, output="22 degrees")]
    found: Any = {"conversation_id": chat.conversation_id, "chat_id": chat.id}
    answered: Any = coze.chat.submit_tool_outputs(tool_outputs=outputs, stream=stream, **found)
    if stream:
        events = list(answered)
        chat = events[-1].chat
    else:
        assert answered.status == ChatStatus.IN_PROGRESS
        coze.chat.retrieve(**found)
        chat = coze.chat.retrieve(**found)
    assert chat.status == ChatStatus.COMPLETED
    assert chat.usage.input_count == spent.input_count + 2 and chat.usage.output_count == spent.output_count + 6
    listed = coze.chat.messages.list(**found)
    assert [m.content for m in listed if m.type == "answer"] == ["The tool said: 22 degrees"]
    assert len(fake.billed) == 1


def test_images_and_history(coze: Coze) -> None:
    objects = [MessageObjectString.build_text("look"), MessageObjectString.build_image(file_url="https://e.org/a.png")]
    history = [Message.build_user_question_text("a"), Message.build_assistant_answer("b")]
    events = ask(coze, [*history, Message.build_user_question_objects(objects)])
    assert events[-1].chat.usage.input_count == 5 + 3 * 3 + 3 + 256


def test_reasoning_of_a_bot_that_thinks(fake: FakeCoze, coze: Coze) -> None:
    fake.bots[BOT] = type(fake.bots[BOT])(thinks=True)
    fake.answer = Answer(text="Hi.", reasoning="Hm")
    messages = [event.message for event in ask(coze) if event.message and event.message.type == "answer"]
    assert [(m.reasoning_content, m.content) for m in messages] == [("Hm", ""), (None, "Hi"), (None, "."), ("Hm", "Hi.")]


def refused(call: Any) -> tuple[int | None, bool]:
    with pytest.raises(CozeAPIError) as caught:
        call()
    return caught.value.code, bool(caught.value.logid)


def test_errors_under_status_200(fake: FakeCoze, coze: Coze) -> None:
    fake.fail_next(200, "4011", "no tokens left")
    assert refused(lambda: ask(coze)) == (4011, True)
    assert refused(lambda: coze.chat.create(bot_id="1", user_id="u")) == (4006, True)
    assert refused(lambda: coze.chat.create(bot_id=BOT, user_id="u", auto_save_history=False)) == (4007, True)
    assert refused(lambda: coze.chat.retrieve(conversation_id="1", chat_id="1")) == (4002, True)
    [*_, last] = ask(coze)
    assert refused(lambda: coze.chat.retrieve(conversation_id=last.chat.conversation_id, chat_id="1")) == (4001, True)


def test_a_wrong_token(fake: FakeCoze, http: SyncHTTPClient) -> None:
    stranger = Coze(auth=TokenAuth("pat_wrong"), base_url=fake.base_url, http_client=http)
    assert refused(lambda: stranger.chat.create(bot_id=BOT, user_id="u")) == (700012006, True)


def test_one_running_chat_per_conversation_and_canceling(coze: Coze) -> None:
    first = coze.chat.create(bot_id=BOT, user_id="u", additional_messages=HI)
    again: Any = {"bot_id": BOT, "user_id": "u", "conversation_id": first.conversation_id}
    assert refused(lambda: coze.chat.create(**again)) == (4016, True)
    found: Any = {"conversation_id": first.conversation_id, "chat_id": first.id}
    assert coze.chat.cancel(**found).status == ChatStatus.CANCELED
    assert refused(lambda: coze.chat.cancel(**found)) == (4104, True)
    assert coze.chat.create(**again).conversation_id == first.conversation_id


def test_a_chat_that_fails(fake: FakeCoze, coze: Coze) -> None:
    fake.fails = (4013, "model error")
    last = ask(coze)[-1]
    assert last.event == ChatEventType.CONVERSATION_CHAT_FAILED and last.chat.last_error.code == 4013


def test_an_error_event(fake: FakeCoze, coze: Coze) -> None:
    fake.error_midstream(after=3, code="4009")
    with pytest.raises(Exception, match="4009"):
        ask(coze)
