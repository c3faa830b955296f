"""What an answer says, read twice: out of the events' parts, and out of the Chat Completions JSON that clients get."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from proxy.chat import (
    FINISH_REASONS,
    Answer,
    ChatEvent,
    Extra,
    Finish,
    Part,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    Verbatim,
)
from proxy.testkit.door import MODEL
from proxy.testkit.scenarios import Call


@dataclass
class Said:
    """One choice of an answer, put together."""

    text: str = ""
    reasoning: str = ""
    calls: dict[int, Call] = field(default_factory=dict)
    finish: str = ""

    def call(self, position: int, identity: Any, name: Any, arguments: Any) -> None:
        before = self.calls.get(position, Call("", "", ""))
        self.calls[position] = Call(identity or before.id, before.name + (name or ""), before.arguments + (arguments or ""))


def said_by(parts: Sequence[Part]) -> Said:
    """What the parts of the first choice say. Raises: AssertionError: they come in a wrong order."""
    said = Said()
    for at, part in enumerate(parts):
        if isinstance(part, Started):
            _expect(at == 0, f"Started is part {at} of the answer, and must be the first")
            continue
        _expect(part.index == 0, f"{part!r} is of another choice, and one was asked for")
        _expect(not said.finish or isinstance(part, Extra), f"{part!r} follows Finish")
        match part:
            case TextDelta(text=text):
                said.text += text
            case ReasoningDelta(text=text):
                _expect(not said.text, "reasoning follows text")
                said.reasoning += text
            case ToolCallDelta():
                fresh = part.position not in said.calls
                _expect(not fresh or bool(part.id and part.name), f"{part!r} begins a tool call without id or name")
                _expect(part.position <= len(said.calls), f"{part!r} leaves a position out")
                said.call(part.position, part.id, part.name, part.arguments)
            case Finish(reason=reason):
                _expect(reason in FINISH_REASONS, f"{part!r} has a reason that OpenAI's clients don't know")
                said.finish = reason
    return said


def shown_by(events: Sequence[ChatEvent]) -> Said | None:
    """What clients read in the events that pass as they are; None: there are none.

    Raises: AssertionError: a client of Chat Completions could not read them.
    """
    said = Said()
    passed = [event for event in events if isinstance(event, (Verbatim, Answer))]
    for event in passed:
        for value in _chunks(event.raw) if isinstance(event, Verbatim) else [event.body]:
            _expect(value.get("model", MODEL) == MODEL, f"clients read {value.get('model')!r} as the model's name")
            _expect("error" not in value, "an error is passed on as an answer")
            if value.get("usage") is not None:
                raise AssertionError("the provider's usage is passed on; the gateway writes its own")
            for choice in value.get("choices") or ():
                _show(said, choice, "delta" if isinstance(event, Verbatim) else "message")
    return said if passed else None


def _chunks(raw: bytes) -> Sequence[Mapping[str, Any]]:
    lines = raw.decode().splitlines()
    _expect(not lines or lines[-1] == "", f"an event is passed on without its blank line: {raw!r}")
    data = [line.removeprefix("data:").removeprefix(" ") for line in lines if line.startswith("data:")]
    return [json.loads("\n".join(data))] if data else []


def _show(said: Said, choice: Mapping[str, Any], member: str) -> None:
    message = choice.get(member) or {}
    _expect(choice.get("index") == 0, f"a choice has the index {choice.get('index')!r}")
    _expect("finish_reason" in choice, "a choice has no finish_reason, not even null")
    said.text += message.get("content") or ""
    said.reasoning += message.get("reasoning_content") or ""
    for position, call in enumerate(message.get("tool_calls") or ()):
        function = call.get("function") or {}
        said.call(call.get("index", position), call.get("id"), function.get("name"), function.get("arguments"))
    said.finish = choice["finish_reason"] or said.finish


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise AssertionError(otherwise)
