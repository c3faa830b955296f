"""What Coze sends: streams of a chat's events and, where it is polled, a chat, the chat again, and its messages."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from adapters.coze import Coze, CozeOptions
from proxy.testkit import CALLS, REASONING, TEXT, VENDORS_WORDS, Door, Reply, json_reply, stream_reply

BOT = "7300000000000000001"
CHAT = {"id": "74", "conversation_id": "75", "bot_id": BOT, "created_at": 1, "last_error": {"code": 0, "msg": ""}}
USAGE = {"token_count": 19, "input_count": 12, "output_count": 7}
FUNCTIONS = [
    {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}} for call in CALLS
]
ACTION = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": FUNCTIONS}}
WAITING = {**CHAT, "status": "requires_action", "usage": USAGE, "required_action": ACTION}
DONE = {**CHAT, "status": "completed", "usage": USAGE}
RUNNING = {**CHAT, "status": "in_progress"}


def message(text: str, thought: str = "", kind: str = "answer", number: int = 1) -> dict[str, Any]:
    named = {"id": f"m{number}", "chat_id": "74", "role": "assistant", "type": kind, "content_type": "text"}
    return {**named, "content": text, "reasoning_content": thought}


def event(name: str, data: Mapping[str, Any]) -> str:
    return f"event:{name}\ndata:{json.dumps(data, ensure_ascii=False)}"


def delta(text: str, thought: str = "") -> str:
    return event("conversation.message.delta", message(text, thought))


BEGUN = (event("conversation.chat.created", {**CHAT, "status": "created"}), event("conversation.chat.in_progress", RUNNING))
TEXTS = (delta(TEXT[:5]), delta(TEXT[5:8]), delta(TEXT[8:]))
THOUGHTS = (delta("", REASONING[:9]), delta("", REASONING[9:]))
END = 'event:done\ndata:"[DONE]"'


def stream(*said: str, thought: str = "", chat: Mapping[str, Any] = DONE) -> Reply:
    """Deltas, the whole once more, what isn't the bot's answer, and the end."""
    whole = event("conversation.message.completed", message(TEXT, thought))
    verbose = event("conversation.message.completed", message('{"msg_type":"generate_answer_finish"}', "", "verbose", 2))
    told = [*said, whole, verbose] if said else []
    return stream_reply(*BEGUN, *told, event(f"conversation.chat.{chat['status']}", chat), END)


def data(value: Any) -> Reply:
    return json_reply({"code": 0, "msg": "", "data": value})


def polled(*messages: Mapping[str, Any], chat: Mapping[str, Any] = DONE) -> Sequence[Reply]:
    return [data(RUNNING), data(chat), data([*messages, message("And?", "", "follow_up", 3)])]


def error(code: int, status: int = 200) -> Reply:
    return json_reply({"code": code, "msg": VENDORS_WORDS}, status)


ERRORS = {
    "invalid": error(4000),
    "overlong": error(4010),
    "unsafe": error(4014),
    "bad_key": error(4100, 401),
    "forbidden": error(4101, 403),
    "unpaid": error(4019),
    "no_model": error(4006),
    "busy": error(4020, 429),
    "broken": error(5000, 500),
    "down": Reply(VENDORS_WORDS.encode(), 503, {"content-type": "text/plain"}),
    "busy_in_200": error(4009),
    "busy_in_stream": stream_reply(event("error", {"code": 4009, "msg": VENDORS_WORDS})),
    "broken_in_stream": stream_reply(
        *BEGUN,
        delta(TEXT[:5]),
        event("conversation.chat.failed", {**CHAT, "status": "failed", "last_error": {"code": 5000, "msg": VENDORS_WORDS}}),
        END,
    ),
}
STREAMED = {
    "text_stream": stream(*TEXTS),
    "tools_stream": stream(chat=WAITING),
    "reasoning_stream": stream(*THOUGHTS, *TEXTS, thought=REASONING),
}
CANNOT = {
    "output_cap": "a bot has its own",
    "pieces": "it says tool calls whole",
    "store": "it keeps every chat",
    "length": "a chat doesn't say whether a cap ended it",
    "length_stream": "a chat doesn't say whether a cap ended it",
    "filtered": "a chat that is filtered fails",
    "tools": "a bot has its own",
    "tool_results": "they go on with a chat of Coze's own",
    "vision": "pictures go by URL alone",
    "cached": "it doesn't count them",
    "cached_stream": "it doesn't count them",
    "reasoning_tokens": "it doesn't count them",
}
STREAMING = Door(
    adapter=Coze(),
    upstream_model=BOT,
    answers={**ERRORS, **STREAMED, "text": stream(*TEXTS), "reasoning": stream(*THOUGHTS, *TEXTS, thought=REASONING)},
    cannot=CANNOT,
    call_ids=[f"coze_75_74_{call.id}" for call in CALLS],
)
POLLING = Door(
    name="coze-polling",
    adapter=Coze(),
    options=CozeOptions(polling=True, poll_interval_ms=50),
    upstream_model=BOT,
    answers={**ERRORS, **STREAMED, "text": polled(message(TEXT)), "reasoning": polled(message(TEXT, REASONING))},
    cannot=CANNOT,
    call_ids=[f"coze_75_74_{call.id}" for call in CALLS],
)
