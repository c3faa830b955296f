"""Coze's answers → the events of our answer: a stream of a chat's events, a Chat object, or a list of messages.

A message's text comes in deltas and once more, whole, when it is complete; the second time is for messages without deltas.
Of the messages only answers are told: verbose ones, follow-up questions and the bot's own tool calls are not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from adapters.coze_request import ChatId
from adapters.openai_answer import MOST_TOKENS
from adapters.openai_errors import Refusal
from adapters.sse import SseEvent
from proxy import (
    ChatEvent,
    Finish,
    Progress,
    ReasoningDelta,
    Started,
    StreamTruncated,
    TextDelta,
    ToolCallDelta,
    UpstreamError,
    UpstreamProtocolError,
    Usage,
)

RUNNING = ("created", "in_progress")
_ENDS = {
    "conversation.chat.completed": "completed",
    "conversation.chat.requires_action": "requires_action",
    "conversation.chat.failed": "failed",
    "conversation.chat.canceled": "canceled",
}

ErrorOf = Callable[[Refusal], UpstreamError]
Tokens = tuple[int, int]
"""Input and output."""


class Chat:
    """A Chat object: {"id", "conversation_id", "status", "usage"?, "last_error"?, "required_action"?}."""

    def __init__(self, values: Mapping[str, Any], status: str | None = None) -> None:
        """Raises: UpstreamProtocolError: it has no ids."""
        self.id = ChatId.of(values)
        self.status = values.get("status") if status is None else status
        self.bot = values.get("bot_id")
        created, usage = values.get("created_at"), _mapping(values.get("usage"))
        self.started = Started(id=self.id.chat, created=created if type(created) is int else None)
        self.tokens = _tokens(usage)
        submit = _mapping(_mapping(values.get("required_action")).get("submit_tool_outputs"))
        self.calls = [call for call in _mappings(submit.get("tool_calls")) if _mapping(call.get("function")).get("name")]
        """Those of functions; a workflow's question to the user is its answer's text, and has none."""
        self._last_error = _mapping(values.get("last_error"))

    @property
    def call_ids(self) -> frozenset[str]:
        return frozenset(map(_id, self.calls))

    def usage(self, before: Tokens) -> Sequence[Usage]:
        """What it took beyond what it had taken before, as a chat that goes on counts on; none if it doesn't say."""
        uncounted = (0, 0) if self.status in ("failed", "canceled") else None
        if self.tokens in (None, uncounted):
            return ()
        counted, told = self.tokens, before
        if counted[0] < told[0] or counted[1] < told[1]:
            told = (0, 0)
        prompt, answer = counted[0] - told[0], counted[1] - told[1]
        reported = {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}
        return [Usage(input_tokens=prompt, output_tokens=answer, reported=reported)]

    def ending(self, error_of: ErrorOf) -> Sequence[ChatEvent]:
        """Its tool calls and its finish. Raises: UpstreamError: it failed, or was canceled."""
        match self.status:
            case "completed":
                return [Finish("stop")]
            case "requires_action":
                return [*self._tool_calls(), Finish("tool_calls" if self.calls else "stop")]
            case _:
                error = error_of(refusal_of(self._last_error))
                error.progress = Progress.HEADERS_ONLY
                raise error

    def _tool_calls(self) -> Sequence[ToolCallDelta]:
        deltas = []
        for position, call in enumerate(self.calls):
            name, arguments = call["function"].get("name"), call["function"].get("arguments")
            deltas.append(
                ToolCallDelta(
                    position=position,
                    id=self.id.call_id(_id(call)),
                    name=name if isinstance(name, str) else "",
                    arguments=arguments if isinstance(arguments, str) and arguments else "{}",
                )
            )
        return deltas


class ChatReader:
    """Reads what comes of a chat: its stream, or the Chat object of a create, retrieve or submit."""

    reported = None
    anomalies = ()

    def __init__(self, error_of: ErrorOf, before: Tokens = (0, 0)) -> None:
        """before: what the chat had taken when this part of it began."""
        self.done = False
        self.repeated = None
        self.chat: Chat | None = None
        """As far as it is known."""
        self._error_of = error_of
        self._before = before
        self._begun = False
        self._ended = False
        self._heard: set[str] = set()
        """Ids of messages that came in deltas."""

    def comment(self, sse: SseEvent) -> Sequence[ChatEvent]:
        return ()

    def event(self, sse: SseEvent, values: dict[str, Any]) -> Sequence[ChatEvent]:
        match sse.event:
            case "conversation.chat.created":
                self.chat = Chat(values)
            case "conversation.message.delta":
                self._heard.add(_id(values))
                return self._after_start(answer_of(values))
            case "conversation.message.completed" if _id(values) not in self._heard:
                return self._after_start(answer_of(values))
            case name if name in _ENDS:
                self.chat, self._ended = Chat(values, _ENDS[name]), True
                return self.chat.usage(self._before)
        return ()

    def end(self, *, said: bool) -> Sequence[ChatEvent]:
        if self.done:
            return ()
        if self.chat is None or not self._ended or not (said or self.chat.status in ("failed", "canceled")):
            raise StreamTruncated("The provider's stream broke off in the middle of its answer.")
        self.done = True
        return self._after_start(self.chat.ending(self._error_of))

    def whole(self, values: dict[str, Any]) -> Sequence[ChatEvent]:
        self.chat = Chat(data_of(values, dict, self._error_of))
        return ()

    def _after_start(self, events: Sequence[ChatEvent]) -> Sequence[ChatEvent]:
        """The answer begins with its first words: a chat that fails before may still be answered elsewhere."""
        if self._begun or not events:
            return events
        self._begun = True
        return events if self.chat is None else [self.chat.started, *events]


class MessagesReader:
    """Reads the list of a chat's messages."""

    done = False
    repeated = None
    reported = None
    anomalies = ()

    def __init__(self, error_of: ErrorOf) -> None:
        self._error_of = error_of
        self._messages: Sequence[Mapping[str, Any]] = ()

    @property
    def ids(self) -> frozenset[str]:
        return frozenset(map(_id, self._messages))

    def answers(self, told: frozenset[str]) -> Sequence[ChatEvent]:
        """Those whose ids have not been told, the oldest first: ids grow, and Coze's page shows a list that falls."""
        fresh = [message for message in self._messages if _id(message) not in told]
        fresh.sort(key=lambda message: (len(_id(message)), _id(message)))
        return [event for message in fresh for event in answer_of(message)]

    def comment(self, sse: SseEvent) -> Sequence[ChatEvent]:
        return ()

    def event(self, sse: SseEvent, values: dict[str, Any]) -> Sequence[ChatEvent]:
        raise UpstreamProtocolError("The provider answered with a stream where it was asked for a list.")

    def end(self, *, said: bool) -> Sequence[ChatEvent]:
        raise StreamTruncated("The provider's list of messages is empty.")

    def whole(self, values: dict[str, Any]) -> Sequence[ChatEvent]:
        self._messages = _mappings(data_of(values, list, self._error_of))
        return ()


def answer_of(message: Mapping[str, Any]) -> Sequence[ChatEvent]:
    """Reasoning and text of a message, or of a piece of one; none if it is no answer."""
    if message.get("type") != "answer" or message.get("role") == "user":
        return ()
    events: list[ChatEvent] = []
    thought, text = message.get("reasoning_content"), message.get("content")
    if isinstance(thought, str) and thought:
        events.append(ReasoningDelta(thought))
    if isinstance(text, str) and text:
        events.append(TextDelta(text))
    return events


def data_of(values: Mapping[str, Any], kind: type, error_of: ErrorOf) -> Any:
    """The `data` of {"code": 0, "msg": "", "data"}. Raises: UpstreamError: another code, or data of another kind."""
    if values.get("code") not in (None, 0, "0"):
        error = error_of(refusal_of(values))
        error.progress = Progress.HEADERS_ONLY
        raise error
    data = values.get("data")
    if not isinstance(data, kind):
        raise UpstreamProtocolError("The provider answered with JSON that is neither a chat nor its messages.")
    return data


def refusal_of(error: Mapping[str, Any]) -> Refusal:
    """error: {"code": int, "msg": str}; the status, 200, and the request's id are the exchange's to tell."""
    return Refusal(status=200, code=str(error.get("code") or ""), text=str(error.get("msg") or "")[:500])


def _tokens(usage: Mapping[str, Any]) -> Tokens | None:
    prompt, answer = usage.get("input_count"), usage.get("output_count")
    if type(prompt) is not int or type(answer) is not int:
        return None
    return (prompt, answer) if 0 <= prompt <= MOST_TOKENS and 0 <= answer <= MOST_TOKENS else None


def _id(values: Mapping[str, Any]) -> str:
    return str(values.get("id"))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _mappings(value: Any) -> Sequence[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else ()
