"""A fake Coze: `/v3/chat` with its stream, its polling and its tools that run at the client.

It behaves as Coze's pages and SDK say. Errors are `{"code", "msg"}`, most of them under status 200. A bot's whole
answer is billed once it begins, left or canceled or not. Where they are silent: usage counts from the chat's beginning.
"""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tests.fakes.answers import Answer, Ask, compose, count_prompt, pieces, speak, text_of
from tests.fakes.coze_chats import ENDED, Bot, Chat, spoken
from tests.fakes.faults import Refusal
from tests.fakes.server import Event, FakeServer, Meter, Received, Reply

KEY = "pat_fake0000000000000000000000000000"
BOT = "7300000000000000001"
MOST_MESSAGES = 100
_CITY: Any = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
_TYPES_WITH_HISTORY = frozenset({"question", "answer"})


class FakeCoze(FakeServer):
    """`fake.base_url` is what `api.coze.cn` would be."""

    def __init__(self, *, key: str = KEY, now: Callable[[], float] = time.time) -> None:
        super().__init__(now=now)
        self.key = key
        self.bots = {BOT: Bot(tools={"get_weather": _CITY}, prompt_tokens=5)}
        self.answer: Answer | None = None
        """What bots say from now on; None: something that follows from the request."""
        self.polls = 1
        """How often a chat that is not streamed is found at work before it has ended."""
        self.fails: tuple[int, str] | None = None
        """last_error of every chat from now on."""
        self.chats: dict[str, Chat] = {}
        self.doors = {
            ("POST", "/v3/chat"): CozeCreate(self),
            ("POST", "/v3/chat/retrieve"): CozeRetrieve(self),
            ("GET", "/v3/chat/retrieve"): CozeRetrieve(self),
            ("GET", "/v3/chat/message/list"): CozeMessages(self),
            ("POST", "/v3/chat/submit_tool_outputs"): CozeSubmit(self),
            ("POST", "/v3/chat/cancel"): CozeCancel(self),
        }

    def reply_headers(self, received: Received) -> dict[str, str]:
        return {"X-Tt-Logid": f"202611{received.id}"}

    def chat(self, conversation_id: Any, chat_id: Any) -> Chat:
        """Raises: Refusal: there is none."""
        if all(chat.conversation_id != conversation_id for chat in self.chats.values()):
            raise _refusal(4002, "invalid conversation")
        chat = self.chats.get(chat_id)
        if chat is None or chat.conversation_id != conversation_id:
            raise _refusal(4001, "Invalid chat")
        return chat


@dataclass(frozen=True)
class CozeDoor:
    """Bearer token; code and msg in every answer."""

    coze: FakeCoze

    def authenticate(self, received: Received) -> None:
        given = received.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self.coze.key}".encode()):
            raise Refusal(401, "700012006", "access token invalid")

    def error_body(self, refusal: Refusal, received: Received) -> dict[str, Any]:
        return {"code": int(refusal.code), "msg": refusal.message, "detail": {"logid": received.id}}

    def error_event(self, refusal: Refusal, received: Received) -> bytes:
        return frame("error", self.error_body(refusal, received))

    def begun(self, chat: Chat, *, stream: bool) -> Reply:
        """A chat, or a part of one, whose speech is known."""
        chat.status = "in_progress"
        assert chat.speech is not None
        chat.meter.completion += len(chat.speech.tokens)
        if stream:
            return Reply(events=self._events(chat))
        chat.polls_left = self.coze.polls
        return Reply(body=data(chat.shown()))

    def say(self, chat: Chat, ask: Ask) -> None:
        bot = self.coze.bots[chat.bot_id]
        chat.speech = speak(spoken(self.coze.answer or compose(ask), bot))

    def ended(self, chat: Chat) -> None:
        chat.finish()
        if self.coze.fails is not None:
            chat.status = "failed"
            chat.last_error = dict(zip(("code", "msg"), self.coze.fails, strict=True))

    def _events(self, chat: Chat) -> Iterator[Event]:
        assert chat.speech is not None
        yield Event(frame("conversation.chat.created", chat.shown() | {"status": "created"}))
        yield Event(frame("conversation.chat.in_progress", chat.shown()))
        number = len(chat.messages)
        for token in chat.speech.tokens:
            if token.kind == "call":
                continue
            text = {"content": token.text} if token.kind == "text" else {"content": "", "reasoning_content": token.text}
            yield Event(frame("conversation.message.delta", chat.message("answer", "", number=number) | text))
        self.ended(chat)
        for message in chat.messages[number:]:
            yield Event(frame("conversation.message.completed", message))
        yield Event(frame(f"conversation.chat.{chat.status}", chat.shown()))
        yield Event(b'event:done\ndata:"[DONE]"\n\n')


class CozeCreate(CozeDoor):
    def answer(self, received: Received) -> Reply:
        body, asked = received.body or {}, received.query.get("conversation_id")
        _check(body)
        if body["bot_id"] not in self.coze.bots:
            raise _refusal(4006, "invalid bot")
        bot = self.coze.bots[body["bot_id"]]
        number = len(self.coze.chats)
        if asked:
            meant = [chat for chat in self.coze.chats.values() if chat.conversation_id == asked]
            if not meant:
                raise _refusal(4002, "invalid conversation")
            if any(chat.status not in ENDED for chat in meant):
                raise _refusal(4016, "a chat is running in this conversation")
        messages = body.get("additional_messages") or [{"role": "user", "content": "", "content_type": "text"}]
        prompt = bot.prompt_tokens + count_prompt([{"content": _content(message)} for message in messages], ())
        chat = Chat(
            id=f"7400000000000{number:06}",
            conversation_id=asked or f"7500000000000{number:06}",
            bot_id=body["bot_id"],
            created_at=int(self.coze.now()),
            query=messages,
            saved=body.get("auto_save_history", True),
            meta_data=body.get("meta_data") or {},
            meter=Meter(model=body["bot_id"], prompt=prompt, cached=0),
        )
        self.coze.chats[chat.id] = chat
        self.say(chat, Ask(last_user=text_of(_content(messages[-1])), tools=bot.tools, prompt_tokens=prompt))
        return replace(self.begun(chat, stream=bool(body.get("stream"))), meter=chat.meter)


class CozeRetrieve(CozeDoor):
    def answer(self, received: Received) -> Reply:
        chat = self.coze.chat(received.query.get("conversation_id"), received.query.get("chat_id"))
        if chat.status == "in_progress" and not chat.polls_left:
            self.ended(chat)
        chat.polls_left = max(0, chat.polls_left - 1)
        return Reply(body=data(chat.shown()))


class CozeMessages(CozeDoor):
    def answer(self, received: Received) -> Reply:
        chat = self.coze.chat(received.query.get("conversation_id"), received.query.get("chat_id"))
        return Reply(body=data(chat.messages[::-1]))


class CozeSubmit(CozeDoor):
    def answer(self, received: Received) -> Reply:
        chat = self.coze.chat(received.query.get("conversation_id"), received.query.get("chat_id"))
        if not chat.saved:
            raise _refusal(5000, "internal error")
        body = received.body or {}
        outputs = {output["tool_call_id"]: output["output"] for output in body.get("tool_outputs") or ()}
        if chat.status != "requires_action" or set(outputs) != {chat.call_id(at) for at in range(len(chat.calls))}:
            raise _refusal(4000, "invalid tool outputs")
        chat.meter.prompt += sum(len(pieces(output)) for output in outputs.values())
        self.say(chat, Ask(tool_results=tuple(outputs.values())))
        return self.begun(chat, stream=bool(body.get("stream")))


class CozeCancel(CozeDoor):
    def answer(self, received: Received) -> Reply:
        body = received.body or {}
        chat = self.coze.chat(body.get("conversation_id"), body.get("chat_id"))
        if chat.status in ENDED or chat.status == "requires_action":
            raise _refusal(4104, "the chat can't be canceled in this state")
        chat.status = "canceled"
        return Reply(body=data(chat.shown()))


def data(value: Any) -> dict[str, Any]:
    """The envelope of what went well."""
    return {"code": 0, "msg": "", "data": value}


def frame(event: str, values: Mapping[str, Any]) -> bytes:
    """An event as Coze writes it: no space after the colons."""
    return f"event:{event}\ndata:{json.dumps(values, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()


def _refusal(code: int, message: str) -> Refusal:
    """An error under status 200, as nearly all of them come."""
    return Refusal(200, str(code), message)


def _check(body: Mapping[str, Any]) -> None:
    """Raises: Refusal: a body that Coze would not take."""
    if not isinstance(body.get("bot_id"), str) or not body.get("user_id") or not isinstance(body["user_id"], str):
        raise _refusal(4000, "bot_id and user_id are required")
    saved = body.get("auto_save_history", True)
    if not body.get("stream") and not saved:
        raise _refusal(4007, "stream=false needs auto_save_history=true")
    messages: Sequence[Mapping[str, Any]] = body.get("additional_messages") or ()
    if len(messages) > MOST_MESSAGES:
        raise _refusal(4004, "too many additional_messages")
    for message in messages:
        kind = message.get("type") or "question"
        if message.get("content_type") not in ("text", "object_string") or not isinstance(message.get("content"), str):
            raise _refusal(4005, "invalid message content")
        if (saved and kind not in _TYPES_WITH_HISTORY) or (kind == "question") != (message.get("role") == "user"):
            raise _refusal(4000, "invalid type or role of a message")


def _content(message: Mapping[str, Any]) -> Any:
    """A text, or parts, of which the SDK writes every member that a part may have."""
    if message["content_type"] == "text":
        return message["content"]
    return [{name: value for name, value in part.items() if value is not None} for part in json.loads(message["content"])]
