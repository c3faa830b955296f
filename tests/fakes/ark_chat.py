"""`POST /api/v3/chat/completions` of the fake Ark: exact shapes of the JSON answer and of the stream."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tests.fakes.answers import Answer, Speech, Token, asked_in_chat, compose, speak
from tests.fakes.ark_checks import check_chat, required, sealed, stop_list, without_nulls
from tests.fakes.ark_door import ArkDoor, check_door
from tests.fakes.ark_models import Model
from tests.fakes.server import DONE, Event, Meter, Received, Reply, data_frame

_DEFAULT_MAX_TOKENS = 4096


class ArkChat(ArkDoor):
    def answer(self, received: Received) -> Reply:
        body = without_nulls(required(received.body, "model", "messages"))
        model_id, model = self.ark.resolve(body["model"])
        check_door(model_id, model.chats)
        check_chat(body, model, fast_tier=self.ark.fast_tier)
        ask = asked_in_chat(body)
        said = self.ark.answer or _arguments_after_space(compose(ask))
        if not thinks(body, model):
            said = replace(said, reasoning="")
        total_cap = body.get("max_completion_tokens")
        answer_cap = None if total_cap else body.get("max_tokens", _DEFAULT_MAX_TOKENS)
        stops = stop_list(body.get("stop"))
        speeches = [speak(said, answer_cap=answer_cap, total_cap=total_cap, stops=stops)] * body.get("n", 1)
        cached = min(self.ark.cached_tokens, ask.prompt_tokens)
        tier = body.get("service_tier", "auto")
        shape = _Shape(
            id=received.id,
            created=int(self.ark.now()),
            model_id=model_id,
            model=model,
            tier="default" if tier == "auto" else tier,
            prompt_tokens=ask.prompt_tokens,
            cached_tokens=cached,
        )
        meter = Meter(model=model_id, prompt=ask.prompt_tokens, cached=cached)
        if body.get("stream"):
            options = body.get("stream_options", {})
            return Reply(events=shape.events(speeches, options), meter=meter)
        meter.completion = sum(len(speech.tokens) for speech in speeches)
        return Reply(body=shape.completion(speeches), meter=meter)


def thinks(body: Mapping[str, Any], model: Model) -> bool:
    """Whether the model reasons about this request: not if thinking is disabled or the effort is minimal."""
    disabled = body.get("thinking", {}).get("type") == "disabled"
    return model.thinks and not disabled and body.get("reasoning_effort") not in {"none", "minimal"}


def call_id(request_id: str, choice: int, position: int) -> str:
    """call_ and 24 lower-case letters and digits."""
    return "call_" + hashlib.sha256(f"{request_id}/{choice}/{position}".encode()).hexdigest()[:24]


def _arguments_after_space(answer: Answer) -> Answer:
    """Some hosted models begin tool arguments with a space."""
    calls = tuple(replace(call, arguments=f" {call.arguments}") for call in answer.tool_calls)
    return replace(answer, tool_calls=calls)


@dataclass(frozen=True, kw_only=True)
class _Shape:
    """What all parts of one answer have in common."""

    id: str
    created: int
    model_id: str
    model: Model
    tier: str
    prompt_tokens: int
    cached_tokens: int

    def completion(self, speeches: list[Speech]) -> dict[str, Any]:
        completion = sum(len(speech.tokens) for speech in speeches)
        reasoning = sum(speech.reasoning_tokens for speech in speeches)
        return {
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.model_id,
            "service_tier": self.tier,
            "choices": [
                {
                    "index": index,
                    "finish_reason": speech.finish,
                    "logprobs": None,
                    "moderation_hit_type": None,
                    "message": self._message(speech, index),
                }
                for index, speech in enumerate(speeches)
            ],
            "usage": self._usage(completion, reasoning),
        }

    def events(self, speeches: list[Speech], options: Mapping[str, Any]) -> Iterator[Event]:
        completion = reasoning = 0
        each = options.get("chunk_include_usage", False)
        for index, speech in enumerate(speeches):
            for delta, token in self._deltas(speech, index):
                if token is not None:
                    completion += 1
                    reasoning += token.kind == "reasoning"
                usage = self._usage(completion, reasoning) if each else None
                choice = {"delta": delta, "index": index}
                yield Event(self._chunk([choice], usage), tokens=token is not None)
            usage = self._usage(completion, reasoning) if each else None
            last = {"delta": _delta(), "finish_reason": speech.finish, "index": index}
            yield Event(self._chunk([last], usage))
        if options.get("include_usage") or self.model.usage_always:
            yield Event(self._chunk([], self._usage(completion, reasoning)))
        yield Event(DONE)

    def _message(self, speech: Speech, choice: int) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": speech.joined("text")}
        if reasoning := speech.joined("reasoning"):
            message["reasoning_content"] = reasoning
            if self.model.encrypts:
                message["encrypted_content"] = sealed(reasoning)
        if speech.calls:
            message["tool_calls"] = [
                {
                    "id": call_id(self.id, choice, position),
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
                for position, call in enumerate(speech.calls)
            ]
        return message

    def _deltas(self, speech: Speech, choice: int) -> Iterator[tuple[dict[str, Any], Token | None]]:
        """Reasoning, one delta with its encrypted form, then text and tool calls; each names the role."""
        thoughts = [token for token in speech.tokens if token.kind == "reasoning"]
        for token in thoughts:
            yield _delta(reasoning_content=token.text), token
        if thoughts and self.model.encrypts:
            yield _delta(encrypted_content=sealed(speech.joined("reasoning"))), None
        begun = -1
        for token in speech.tokens[len(thoughts) :]:
            if token.kind == "text":
                yield {"content": token.text, "role": "assistant"}, token
                continue
            fragment: dict[str, Any] = {"index": token.position, "function": {"arguments": token.text}}
            if token.position != begun:
                begun = token.position
                fragment["id"] = call_id(self.id, choice, token.position)
                fragment["type"] = "function"
                fragment["function"]["name"] = speech.answer.tool_calls[token.position].name
            yield _delta(tool_calls=[fragment]), token

    def _chunk(self, choices: list[dict[str, Any]], usage: dict[str, Any] | None) -> bytes:
        return data_frame(
            {
                "choices": choices,
                "created": self.created,
                "id": self.id,
                "model": self.model_id,
                "service_tier": self.tier,
                "object": "chat.completion.chunk",
                "usage": usage,
            }
        )

    def _usage(self, completion: int, reasoning: int) -> dict[str, Any]:
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": completion,
            "total_tokens": self.prompt_tokens + completion,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens},
            "completion_tokens_details": {"reasoning_tokens": reasoning},
        }


def _delta(**members: Any) -> dict[str, Any]:
    return {"content": "", **members, "role": "assistant"}
