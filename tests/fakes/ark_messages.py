"""Ark's Anthropic-shaped door, `POST /api/compatible/v1/messages`: JSON, and events with names.

`max_tokens` counts all output here, thinking too, as in Anthropic's API; the vendor's documents do not say.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tests.fakes.answers import Ask, Speech, Token, compose, count_prompt, pieces, speak, text_of
from tests.fakes.ark_chat import call_id, sealed, thinks
from tests.fakes.ark_checks import required, stop_list, without_nulls
from tests.fakes.ark_door import ArkDoor, check_door, check_key, envelope, invalid
from tests.fakes.faults import Refusal
from tests.fakes.server import Event, Meter, Received, Reply

_STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}


class ArkMessages(ArkDoor):
    def authenticate(self, received: Received) -> None:
        check_key(received, self.ark.keys_for(received.model), x_api_key=True)

    def answer(self, received: Received) -> Reply:
        body = without_nulls(required(received.body, "model", "messages"))
        model_id, model = self.ark.resolve(body["model"])
        check_door(model_id, model.chats)
        _check(body)
        ask = asked_in_messages(body)
        said = self.ark.answer or compose(ask)
        if not thinks(body | {"reasoning_effort": body.get("output_config", {}).get("effort")}, model):
            said = replace(said, reasoning="")
        speech = speak(said, total_cap=body.get("max_tokens"), stops=stop_list(body.get("stop_sequences")))
        cached = min(self.ark.cached_tokens, ask.prompt_tokens)
        shape = MessageShape(
            id=received.id,
            model_id=model_id,
            signs=model.encrypts,
            fresh_tokens=ask.prompt_tokens - cached,
            cached_tokens=cached,
        )
        meter = Meter(model=model_id, prompt=ask.prompt_tokens, cached=cached)
        if body.get("stream"):
            return Reply(events=shape.events(speech), meter=meter)
        meter.completion = len(speech.tokens)
        return Reply(body=shape.message(speech), meter=meter)

    def error_body(self, refusal: Refusal, received: Received) -> dict[str, Any]:
        return {"type": "error", **envelope(refusal, received.id)}

    def error_event(self, refusal: Refusal, received: Received) -> bytes:
        return _frame(self.error_body(refusal, received))


class ArkCountTokens(ArkMessages):
    """`/count_tokens`: what the prompt would count. Not billed."""

    def answer(self, received: Received) -> Reply:
        body = without_nulls(required(received.body, "model", "messages"))
        self.ark.resolve(body["model"])
        return Reply(body={"input_tokens": asked_in_messages(body).prompt_tokens})


def _check(body: Mapping[str, Any]) -> None:
    if body.get("max_tokens", 0) < 0:
        raise invalid("max_tokens", "max_tokens must not be negative.")
    if body.get("thinking", {}).get("type", "enabled") not in {"enabled", "disabled", "adaptive"}:
        raise invalid("thinking.type", "thinking.type must be enabled, disabled or adaptive.")
    for name, high in (("temperature", 2), ("top_p", 1)):
        if not 0 <= body.get(name, 0) <= high:
            raise invalid(name, f"{name} must be between 0 and {high}.")
    for message in body["messages"]:
        if not message.get("role"):
            raise invalid("messages.role", "A message has no role.", code="InvalidArgumentError")


def asked_in_messages(body: Mapping[str, Any]) -> Ask:
    """Read a Messages body whose nulls are gone."""
    messages = body["messages"]
    tools = {tool["name"]: tool.get("input_schema", {}) for tool in body.get("tools", []) if "name" in tool}
    choice = body.get("tool_choice", {"type": "auto"})
    users = [text_of(message.get("content")) for message in messages if message["role"] == "user"]
    output_format = body.get("output_format", {})
    system = len(pieces(text_of(body.get("system"))))
    return Ask(
        last_user=users[-1] if users else "",
        tool_results=tuple(_results(messages[-1])),
        tools=tools,
        choice=choice["name"] if choice["type"] == "tool" else _CHOICES[choice["type"]],
        parallel=not choice.get("disable_parallel_tool_use", False),
        wants_json=output_format.get("type") == "json_object",
        schema=output_format.get("schema"),
        prompt_tokens=system + count_prompt(messages, body.get("tools", [])),
    )


def _results(message: Mapping[str, Any]) -> Iterator[str]:
    content = message.get("content")
    for block in content if isinstance(content, list) else []:
        if block.get("type") == "tool_result":
            yield text_of(block.get("content"))


@dataclass(frozen=True, kw_only=True)
class MessageShape:
    """What all parts of one answer have in common."""

    id: str
    model_id: str
    signs: bool
    """Thinking blocks carry a signature."""
    fresh_tokens: int
    cached_tokens: int
    written_tokens: int = 0
    """Of the prompt, into the cache."""

    def message(self, speech: Speech) -> dict[str, Any]:
        content: list[dict[str, Any]] = []
        if thinking := speech.joined("reasoning"):
            content.append({"type": "thinking", "thinking": thinking})
            if self.signs:
                content[0]["signature"] = sealed(thinking)
        if text := speech.joined("text"):
            content.append({"type": "text", "text": text})
        for position, call in enumerate(speech.calls):
            arguments = json.loads(call.arguments) if speech.finish == "tool_calls" else {}
            content.append(self._tool_use(speech, position) | {"input": arguments})
        return {
            **self._head(),
            "content": content,
            "stop_reason": _stop_reason(speech),
            "stop_sequence": speech.stop,
            "usage": self._usage(len(speech.tokens)),
        }

    def events(self, speech: Speech) -> Iterator[Event]:
        head = {
            **self._head(),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": self._usage(0),
        }
        yield Event(_frame({"type": "message_start", "message": head}))
        index = -1
        opened: tuple[str, int] | None = None
        for token in speech.tokens:
            if (token.kind, token.position) != opened:
                if opened is not None:
                    yield from self._close(index, opened[0], speech)
                index += 1
                opened = (token.kind, token.position)
                block = self._opening(speech, token)
                start = {"type": "content_block_start", "index": index, "content_block": block}
                yield Event(_frame(start), tokens=token.kind == "call")
                if token.kind == "call":
                    continue
            yield Event(_block_delta(index, _delta(token)), tokens=1)
        if opened is not None:
            yield from self._close(index, opened[0], speech)
        delta = {"stop_reason": _stop_reason(speech), "stop_sequence": speech.stop}
        usage = self._usage(len(speech.tokens))
        yield Event(_frame({"type": "message_delta", "delta": delta, "usage": usage}))
        yield Event(_frame({"type": "message_stop"}))

    def _close(self, index: int, kind: str, speech: Speech) -> Iterator[Event]:
        if kind == "reasoning" and self.signs:
            signature = sealed(speech.joined("reasoning"))
            yield Event(_block_delta(index, {"type": "signature_delta", "signature": signature}))
        yield Event(_frame({"type": "content_block_stop", "index": index}))

    def _opening(self, speech: Speech, token: Token) -> dict[str, Any]:
        match token.kind:
            case "reasoning":
                return {"type": "thinking", "thinking": ""}
            case "text":
                return {"type": "text", "text": ""}
            case "call":
                return self._tool_use(speech, token.position)

    def _tool_use(self, speech: Speech, position: int) -> dict[str, Any]:
        name = speech.answer.tool_calls[position].name
        return {"type": "tool_use", "id": call_id(self.id, 0, position), "name": name, "input": {}}

    def _head(self) -> dict[str, Any]:
        return {"id": self.id, "type": "message", "role": "assistant", "model": self.model_id}

    def _usage(self, output_tokens: int) -> dict[str, Any]:
        """`input_tokens` leaves out what was read from the cache, or written to it."""
        return {
            "input_tokens": self.fresh_tokens,
            "output_tokens": output_tokens,
            "cache_creation_input_tokens": self.written_tokens,
            "cache_read_input_tokens": self.cached_tokens,
        }


def _stop_reason(speech: Speech) -> str:
    return "stop_sequence" if speech.stop is not None else _STOP_REASONS[speech.finish]


def _delta(token: Token) -> dict[str, Any]:
    match token.kind:
        case "reasoning":
            return {"type": "thinking_delta", "thinking": token.text}
        case "text":
            return {"type": "text_delta", "text": token.text}
        case "call":
            return {"type": "input_json_delta", "partial_json": token.text}


def _block_delta(index: int, delta: Mapping[str, Any]) -> bytes:
    return _frame({"type": "content_block_delta", "index": index, "delta": delta})


def _frame(data: Mapping[str, Any]) -> bytes:
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"event: {data['type']}\ndata: {text}\n\n".encode()
