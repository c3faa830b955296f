"""ChatEvents → one JSON object, whatever way the answer came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from sys import getsizeof
from typing import Any

from aiohttp import web

from proxy.chat import (
    Answer,
    ChatEvent,
    ChatRequest,
    Extra,
    Finish,
    Part,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    Usage,
    Verbatim,
)
from proxy.errors import UpstreamProtocolError
from proxy.jsontext import dumps
from proxy.streaming import Headers, Reply, unnamed

MOST_COLLECTED_BYTES = 64 * 1024 * 1024
"""Of a stream that becomes one object: more than any answer has."""
EMPTY_BYTES = 1024
"""What a choice, or a tool call, takes before it has any text."""
MEMBER_BYTES = 64
"""What a number among the members takes beyond its JSON."""


class JsonReply(Reply):
    """The whole answer as one object, whatever way it came."""

    def __init__(self, request: web.Request, chat: ChatRequest | None, request_id: str, received_ns: int) -> None:
        super().__init__(request)
        self._chat = chat
        self._asked = request_id, received_ns
        self._started: Started | None = None
        self._answer: Mapping[str, Any] | None = None
        self._choices: dict[int, _Choice] = {}
        self._left_bytes = MOST_COLLECTED_BYTES

    def write(self, events: Sequence[ChatEvent], headers: Headers) -> None:
        """Raises: UpstreamProtocolError: it grows beyond all bounds."""
        for event in events:
            if isinstance(event, Answer):
                self._answer = event.body
            elif isinstance(event, Verbatim):
                for part in event.parts:
                    self._collect(part)
            elif not isinstance(event, Usage):
                self._collect(event)
        if self._left_bytes < 0:
            raise UpstreamProtocolError(f"The provider answered with more than {MOST_COLLECTED_BYTES >> 20} MiB.")

    async def end(self, usage: Mapping[str, Any] | None, headers: Mapping[str, str]) -> None:
        body = dict(self._answer) if self._answer is not None else self._assembled()
        body.pop("usage", None)
        if usage is not None:
            body["usage"] = usage
        await self._whole(200, dumps(body), headers)

    def _collect(self, part: Part) -> None:
        if isinstance(part, Started):
            known = self._started or part
            self._started = Started(id=part.id or known.id, created=part.created or known.created, fields=part.fields)
            return
        choice = self._choices.get(part.index)
        if choice is None:
            choice = self._choices[part.index] = _Choice()
            self._left_bytes -= EMPTY_BYTES
        self._left_bytes -= choice.add(part)

    def _assembled(self) -> dict[str, Any]:
        started, fallback = self._started or Started(), unnamed(*self._asked)
        return {
            "id": started.id or fallback.id,
            "object": "chat.completion",
            "created": started.created or fallback.created,
            "model": self._chat.model if self._chat else "",
            **started.fields,
            "choices": [choice.body(index) for index, choice in sorted(self._choices.items())],
        }


class _Call:
    """One tool call, put together from its parts."""

    __slots__ = ("arguments", "id", "name")

    def __init__(self) -> None:
        self.id = ""
        self.name: list[str] = []
        self.arguments: list[str] = []

    def body(self) -> dict[str, Any]:
        function = {"name": "".join(self.name), "arguments": "".join(self.arguments)}
        return {"id": self.id, "type": "function", "function": function}


class _Choice:
    """One choice of an answer, put together from its parts."""

    __slots__ = ("calls", "choice", "finish", "message", "reasoning", "text")

    def __init__(self) -> None:
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.calls: dict[int, _Call] = {}
        self.message: dict[str, Any] = {}
        self.choice: dict[str, Any] = {}
        self.finish: str | None = None

    def add(self, part: TextDelta | ReasoningDelta | ToolCallDelta | Extra | Finish) -> int:
        """Returns about how many bytes it takes."""
        match part:
            case TextDelta(text=text):
                self.text.append(text)
                return getsizeof(text)
            case ReasoningDelta(text=text):
                self.reasoning.append(text)
                return getsizeof(text)
            case ToolCallDelta():
                return self._add_to_call(part)
            case Extra(delta=delta, choice=choice):
                merge(self.message, delta)
                merge(self.choice, choice)
                return MEMBER_BYTES + len(dumps((dict(delta), dict(choice))))
            case Finish(reason=reason):
                self.finish = reason
                return 0

    def _add_to_call(self, part: ToolCallDelta) -> int:
        taken_bytes = 0
        call = self.calls.get(part.position)
        if call is None:
            call = self.calls[part.position] = _Call()
            taken_bytes = EMPTY_BYTES
        call.id = part.id or call.id
        call.arguments.append(part.arguments)
        if part.name:
            call.name.append(part.name)
        return taken_bytes + sum(map(getsizeof, (part.id, part.name, part.arguments)))

    def body(self, index: int) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant"}
        message["content"] = "".join(self.text) if self.text or not self.calls else None
        if self.reasoning:
            message["reasoning_content"] = "".join(self.reasoning)
        if self.calls:
            message["tool_calls"] = [call.body() for _, call in sorted(self.calls.items())]
        message.update(self.message)
        return {"index": index, "message": message, "logprobs": None, **self.choice, "finish_reason": self.finish}


def merge(whole: dict[str, Any], piece: Mapping[str, Any]) -> None:
    """Add a piece of a stream to what has come before: texts and lists grow, objects merge, the rest is replaced.

    whole: made by this function alone, so that its lists and objects are nobody else's.
    """
    for name, value in piece.items():
        before = whole.get(name)
        if isinstance(before, str) and isinstance(value, str):
            whole[name] = None  # a text that nothing else refers to grows in its place
            before += value
            whole[name] = before
        elif isinstance(before, list) and isinstance(value, list):
            before.extend(value)
        elif isinstance(before, dict) and isinstance(value, Mapping):
            merge(before, value)
        elif isinstance(value, Mapping):
            whole[name] = {}
            merge(whole[name], value)
        else:
            whole[name] = value.copy() if isinstance(value, list) else value
