"""What a fake Coze knows of its bots and chats, and the objects it shows of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.answers import Answer, Schema, Speech, ToolCall
from tests.fakes.server import Meter

ENDED = frozenset({"completed", "failed", "canceled"})


@dataclass(frozen=True, kw_only=True)
class Bot:
    """What was built in Coze's console."""

    tools: Mapping[str, Schema] = field(default_factory=dict)
    """Plugins that run at the client: name → JSON Schema of the arguments."""
    prompt_tokens: int = 0
    """Of the bot's own prompt, which no request shows."""
    thinks: bool = False


@dataclass(kw_only=True)
class Chat:
    """One run of a bot, which pauses where it needs the client."""

    id: str
    conversation_id: str
    bot_id: str
    created_at: int
    query: list[dict[str, Any]]
    saved: bool
    meta_data: Mapping[str, str]
    meter: Meter
    status: str = "created"
    polls_left: int = 0
    """Looks at it that still find it at work."""
    speech: Speech | None = None
    """What it says in the part that runs now."""
    calls: tuple[ToolCall, ...] = ()
    """Those it waits for."""
    messages: list[dict[str, Any]] = field(default_factory=list)
    last_error: Mapping[str, Any] = field(default_factory=lambda: {"code": 0, "msg": ""})

    def shown(self) -> dict[str, Any]:
        """The Chat object."""
        counted = self.status in ENDED or self.status == "requires_action"
        prompt, completion = (self.meter.prompt, self.meter.completion) if counted else (0, 0)
        shown: dict[str, Any] = {
            "id": self.id,
            "conversation_id": self.conversation_id,
            "bot_id": self.bot_id,
            "created_at": self.created_at,
            "meta_data": self.meta_data,
            "status": self.status,
            "last_error": self.last_error,
            "usage": {"token_count": prompt + completion, "output_count": completion, "input_count": prompt},
        }
        if self.status == "requires_action":
            calls = [
                {"id": self.call_id(at), "type": "function", "function": {"name": c.name, "arguments": c.arguments}}
                for at, c in enumerate(self.calls)
            ]
            shown["required_action"] = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": calls}}
        return shown

    def call_id(self, at: int) -> str:
        return f"BUJJF0dAQ0NA{self.id[-4:]}{len(self.messages)}x{at}****"

    def message(self, kind: str, content: str, *, reasoning: str = "", number: int | None = None) -> dict[str, Any]:
        """A Message object. number: of the message, where it is not the next one."""
        message: dict[str, Any] = {
            "id": f"{self.id}{len(self.messages) if number is None else number:03}",
            "conversation_id": self.conversation_id,
            "bot_id": self.bot_id,
            "chat_id": self.id,
            "role": "assistant",
            "type": kind,
            "content": content,
            "content_type": "text",
        }
        return message | ({"reasoning_content": reasoning} if reasoning else {})

    def finish(self) -> None:
        """The part that ran is over: keep its messages, and wait for the client if it called tools."""
        assert self.speech is not None
        text, reasoning = self.speech.joined("text"), self.speech.joined("reasoning")
        if text or reasoning:
            self.messages.append(self.message("answer", text, reasoning=reasoning))
        for call in self.speech.calls:
            trace = json.dumps({"name": call.name, "arguments": json.loads(call.arguments)})
            self.messages.append(self.message("function_call", trace))
        self.calls = tuple(self.speech.calls)
        if not self.calls:
            self.messages.append(self.message("verbose", '{"msg_type":"generate_answer_finish","data":""}'))
            self.messages.append(self.message("follow_up", "What else?"))
        self.status = "requires_action" if self.calls else "completed"


def spoken(answer: Answer, bot: Bot) -> Answer:
    """The answer without its thoughts where the bot has none."""
    return answer if bot.thinks else Answer(text=answer.text, tool_calls=answer.tool_calls)
