"""What Coze answers, and an exchange told all of it, step by step."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from adapters.coze import Coze, CozeOptions
from proxy import ChatEvent, ChatRequest, Emit, Exchange, Send, Started, Target, UpstreamError, Usage, Wait
from tests.adapters import dialect
from tests.adapters.dialect import JSON, SSE, hear

BOT = "7300000000000000001"
IDS = {"id": "74", "conversation_id": "75", "bot_id": BOT}
QUERY = "?conversation_id=75&chat_id=74"
CALL = {"id": "BUJ_F0****", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Tokyo"}'}}
CALL_ID = "coze_75_74_BUJ_F0****"
WEATHER_ASKED = {
    "role": "assistant",
    "tool_calls": [{"id": CALL_ID, "type": "function", "function": CALL["function"]}],
}
RESULT = {"role": "tool", "tool_call_id": CALL_ID, "content": "22 degrees"}


def target(**options: Any) -> Target:
    return dialect.target(CozeOptions(**options), upstream_model=BOT)


def ask(*messages: dict[str, Any], **fields: Any) -> ChatRequest:
    body = {**({"messages": list(messages)} if messages else {}), **fields}
    return dialect.chat(body, stream=fields.get("stream", False))


def opened(chat: ChatRequest, **options: Any) -> Exchange:
    return Coze().open(chat, target(**options))


def streamed() -> Exchange:
    """An exchange whose stream is about to come."""
    exchange = opened(ask(stream=True))
    exchange.next()
    return exchange


def chat(status: str, tokens: tuple[int, int] = (0, 0), **more: Any) -> dict[str, Any]:
    usage = {"token_count": sum(tokens), "output_count": tokens[1], "input_count": tokens[0]}
    return {**IDS, "status": status, "last_error": {"code": 0, "msg": ""}, "usage": usage, **more}


def waiting(*calls: Mapping[str, Any], tokens: tuple[int, int] = (0, 0)) -> dict[str, Any]:
    action = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": list(calls)}}
    return chat("requires_action", tokens, required_action=action)


def message(text: str, *, kind: str = "answer", number: int = 1, **more: Any) -> dict[str, Any]:
    named = {"id": f"m{number}", "chat_id": "74", "role": "assistant", "type": kind}
    return {**named, "content": text, "content_type": "text", **more}


def events(*named: tuple[str, Any]) -> bytes:
    """(event without "conversation.", data) …"""
    whole = ((name if name in ("done", "error") else f"conversation.{name}", data) for name, data in named)
    return "".join(f"event:{name}\ndata:{json.dumps(data, ensure_ascii=False)}\n\n" for name, data in whole).encode()


CREATED = ("chat.created", chat("created", created_at=1766000000))
IN_PROGRESS = ("chat.in_progress", chat("in_progress"))
DONE = ("done", "[DONE]")


def delta(text: str, **more: Any) -> tuple[str, Any]:
    return ("message.delta", message(text, **more))


def completed(text: str, **more: Any) -> tuple[str, Any]:
    return ("message.completed", message(text, **more))


HELLO = events(
    CREATED,
    IN_PROGRESS,
    delta("", reasoning_content="Hm."),
    delta("Hel"),
    delta("lo, 你好"),
    completed("Hello, 你好", reasoning_content="Hm."),
    completed('{"msg_type":"generate_answer_finish","data":""}', kind="verbose", number=2),
    completed("What else?", kind="follow_up", number=3),
    ("chat.completed", chat("completed", (10, 2))),
    DONE,
)


def data(value: Any) -> bytes:
    return json.dumps({"code": 0, "msg": "", "data": value}).encode()


@dataclass
class Played:
    """What an exchange did until it was through, or failed."""

    asked: list[str] = field(default_factory=list)
    """Method, path and waits."""
    bodies: list[Any] = field(default_factory=list)
    events: list[ChatEvent] = field(default_factory=list)
    fault: UpstreamError | None = None


def play(exchange: Exchange, *answers: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Played:
    """Do what the exchange says; each Send is told the next of the answers."""
    played, left = Played(), list(answers)
    try:
        while True:
            match exchange.next():
                case Send() as send:
                    played.asked.append(f"{send.method} {send.path}")
                    played.bodies.append(json.loads(send.body) if send.body else None)
                    answer = left.pop(0)
                    kind = JSON if answer.startswith(b"{") else SSE
                    told = hear(exchange, [answer], status=status, headers={**kind, **(headers or {})})
                    played.events += told.events
                    if told.fault is not None:
                        raise told.fault
                case Wait(seconds=seconds):
                    played.asked.append(f"wait {seconds:g}")
                case Emit(events=emitted):
                    played.events += emitted
                case _:
                    break
    except UpstreamError as fault:
        played.fault = fault
    assert not left, "not every answer was asked for"
    return played


def fault_of(exchange: Exchange, *answers: bytes, **more: Any) -> UpstreamError:
    fault = play(exchange, *answers, **more).fault
    assert fault is not None
    return fault


def texts(played: Sequence[ChatEvent]) -> str:
    return "".join(getattr(event, "text", "") for event in played)


STARTED = Started(id="74", created=1766000000)


def usage(prompt: int, answer: int) -> Usage:
    reported = {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}
    return Usage(input_tokens=prompt, output_tokens=answer, reported=reported)


def polled(*messages: dict[str, Any]) -> Any:
    return opened(ask(*messages), polling=True, poll_interval_ms=500)
