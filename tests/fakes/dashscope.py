"""A fake DashScope: text-generation and multimodal-generation, of which each model is at one.

It behaves as the vendor's SDK, API reference and page of error codes say: X-DashScope-SSE asks for events, a stream repeats
what it said unless incremental_output is true, thinking needs both, counts are cumulative in every event, finish_reason is
the text "null" until the end, an error is `code` and `message`, and under a stream that was asked for it is an event.
"""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tests.fakes.answers import Answer, Speech, Token, asked_in_chat, compose, pieces, speak
from tests.fakes.ark_checks import without_nulls
from tests.fakes.faults import Refusal
from tests.fakes.server import Event, FakeServer, Meter, Received, Reply

KEY = "sk-fake-dashscope-000000000000000"
_BASE = "/api/v1/services/aigc"
_PATHS = {"text": f"{_BASE}/text-generation/generation", "multimodal": f"{_BASE}/multimodal-generation/generation"}
_PARAMETERS = frozenset(
    {
        *("result_format", "incremental_output", "stream", "max_tokens", "temperature", "top_p", "top_k", "seed", "stop"),
        *("repetition_penalty", "presence_penalty", "enable_thinking", "thinking_budget", "tools", "tool_choice"),
        *("parallel_tool_calls", "response_format", "n", "logprobs", "top_logprobs", "translation_options", "user_agent"),
    }
)
_OF_MESSAGE = frozenset({"role", "content", "name", "tool_calls", "tool_call_id"})
_OF_PART = frozenset({"text", "image", "video", "audio", "min_pixels", "max_pixels", "fps", "cache_control"})


@dataclass(frozen=True, kw_only=True)
class Model:
    """at: text or multimodal. thinks: if nobody says otherwise; None: never."""

    at: str = "text"
    thinks: bool | None = False
    stream_only: bool = False


MODELS = {
    "qwen-plus": Model(),
    "qwen-max": Model(thinks=None),
    "qwen3-32b": Model(thinks=True),
    "qwq-plus": Model(thinks=True, stream_only=True),
    "qwen3-vl-plus": Model(at="multimodal"),
    "qwen3.8-max": Model(at="multimodal", thinks=True),
    "kimi-k2.6": Model(at="multimodal"),
}


class FakeDashScope(FakeServer):
    """`fake.base_url` ends with /api/v1."""

    base_path = "/api/v1"

    def __init__(self, *, key: str = KEY, now: Callable[[], float] = time.time) -> None:
        super().__init__(now=now)
        self.key = key
        self.models = dict(MODELS)
        self.answer: Answer | None = None
        """What the model says from now on; None: something that follows from the request."""
        self.cached_tokens = 0
        self.doors = {("POST", path): GenerationDoor(self, at) for at, path in _PATHS.items()}

    def new_id(self, number: int) -> str:
        return f"3f1c0a52-0000-9000-8000-{number:012d}"


@dataclass(frozen=True)
class GenerationDoor:
    """One path."""

    fake: FakeDashScope
    at: str

    def authenticate(self, received: Received) -> None:
        given = received.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self.fake.key}".encode()):
            raise Refusal(401, "InvalidApiKey", "Invalid API-key provided.")

    def answer(self, received: Received) -> Reply:
        try:
            return self._answered(received)
        except Refusal as refusal:
            if not _streams(received):
                raise
            return Reply(events=[Event(self.error_event(refusal, received))])

    def _answered(self, received: Received) -> Reply:
        body = without_nulls(received.body or {})
        model = self.fake.models.get(body.get("model"))
        if model is None:
            raise Refusal(404, "Model.NotExist", "Model not exist.")
        if model.at != self.at:
            raise _invalid("url error, please check url！")
        messages, parameters = body["input"]["messages"], body.get("parameters", {})
        thinks = _check(messages, parameters, model, self.at, streams=_streams(received))
        ask = asked_in_chat({"messages": messages, **parameters})
        said = self.fake.answer or compose(ask)
        budget = parameters.get("thinking_budget")
        reasoning = "".join(pieces(said.reasoning)[:budget]) if thinks else ""
        stop = parameters.get("stop", ())
        speech = speak(
            replace(said, reasoning=reasoning),
            answer_cap=parameters.get("max_tokens"),
            stops=[stop] if isinstance(stop, str) else stop,
        )
        cached = min(self.fake.cached_tokens, ask.prompt_tokens)
        meter = Meter(model=body["model"], prompt=ask.prompt_tokens, cached=cached)
        told = _Told(
            request_id=received.id,
            parts=self.at == "multimodal",
            text=self.at == "text" and parameters.get("result_format", "text") == "text",
            prompt_tokens=ask.prompt_tokens,
            cached_tokens=cached,
        )
        if _streams(received):
            return Reply(events=told.events(speech, incremental=parameters.get("incremental_output", False)), meter=meter)
        meter.completion = len(speech.tokens)
        return Reply(body=told.values(speech.tokens, speech, speech.finish), meter=meter)

    def error_body(self, refusal: Refusal, received: Received) -> dict[str, Any]:
        return {"code": refusal.code, "message": refusal.message, "request_id": received.id}

    def error_event(self, refusal: Refusal, received: Received) -> bytes:
        return _frame("error", refusal.status, self.error_body(refusal, received))


def _streams(received: Received) -> bool:
    return received.headers.get("X-DashScope-SSE") == "enable"


def _invalid(message: str) -> Refusal:
    return Refusal(400, "InvalidParameter", message)


def _check(messages: Any, parameters: Mapping[str, Any], model: Model, at: str, *, streams: bool) -> bool:
    """Whether the model thinks. Raises: Refusal: 400."""
    thinks = bool(parameters.get("enable_thinking", model.thinks)) and model.thinks is not None
    if others := parameters.keys() - _PARAMETERS:
        raise _invalid(f"parameter.{min(others)} is unknown")
    if model.stream_only and not streams:
        raise _invalid("This model only support stream mode, please enable the stream parameter to access the model.")
    if thinks and not streams:
        raise _invalid("parameter.enable_thinking must be set to false for non-streaming calls")
    if thinks and not parameters.get("incremental_output"):
        raise _invalid('The incremental_output parameter must be "true" when enable_thinking is true')
    if not 0 <= parameters.get("temperature", 0) < 2 or not 0 < parameters.get("top_p", 0.8) < 1:
        raise _invalid("temperature or top_p is out of range")
    if parameters.get("max_tokens", 1) < 1 or parameters.get("thinking_budget", 1) < 1:
        raise _invalid("max_tokens and thinking_budget must be positive integers")
    if isinstance(choice := parameters.get("tool_choice", "auto"), str) and choice not in ("auto", "none"):
        raise _invalid("tool_choice is one of the strings that should be [none, auto]")
    for message in messages:
        parts = message["content"]
        if message.keys() - _OF_MESSAGE or message["role"] not in ("system", "user", "assistant", "tool"):
            raise _invalid("input.messages is not valid")
        if not isinstance(parts, str) and (at == "text" or any(part.keys() - _OF_PART for part in parts)):
            raise _invalid("input.messages.content is not valid")
    return thinks


@dataclass(frozen=True, kw_only=True)
class _Told:
    """What all parts of one answer have in common."""

    request_id: str
    parts: bool
    """Content is a list."""
    text: bool
    """result_format: text."""
    prompt_tokens: int
    cached_tokens: int

    def events(self, speech: Speech, *, incremental: bool) -> Iterator[Event]:
        for at in range(1, len(speech.tokens) + 1):
            spoken = speech.tokens[at - 1 : at] if incremental else speech.tokens[:at]
            first = incremental and at > 1
            yield Event(self._frame(at, self.values(spoken, speech, "null", counted=at, later=first)), tokens=1)
        last = () if incremental else speech.tokens
        values = self.values(last, speech, speech.finish, counted=len(speech.tokens), later=incremental)
        yield Event(self._frame(len(speech.tokens) + 1, values))

    def values(
        self, tokens: tuple[Token, ...], speech: Speech, finish: str, *, counted: int | None = None, later: bool = False
    ) -> dict[str, Any]:
        """later: what a call is, beside its arguments, has been told before, unless it begins here."""
        message: dict[str, Any] = {"role": "assistant", "content": _joined(tokens, "text")}
        if self.parts:
            message["content"] = [{"text": message["content"]}] if message["content"] else []
        if reasoning := _joined(tokens, "reasoning"):
            message["reasoning_content"] = reasoning
        if calls := [
            self._call(tokens, speech, at, later=later) for at in sorted({t.position for t in tokens if t.kind == "call"})
        ]:
            message["tool_calls"] = calls
        spoken = len(tokens) if counted is None else counted
        reasoned = min(spoken, speech.reasoning_tokens)
        choice = {"message": message, "finish_reason": finish}
        return {
            "output": {"text": _joined(tokens, "text"), "finish_reason": finish} if self.text else {"choices": [choice]},
            "usage": {
                "input_tokens": self.prompt_tokens,
                "output_tokens": spoken,
                "total_tokens": self.prompt_tokens + spoken,
                "prompt_tokens_details": {"cached_tokens": self.cached_tokens},
                "output_tokens_details": {"reasoning_tokens": reasoned},
            },
            "request_id": self.request_id,
        }

    def _call(self, tokens: tuple[Token, ...], speech: Speech, at: int, *, later: bool) -> dict[str, Any]:
        begins = not later or any(token.kind == "call" and token.position == at and not token.text for token in tokens)
        name = speech.answer.tool_calls[at].name if begins else ""
        arguments = "".join(token.text for token in tokens if token.kind == "call" and token.position == at)
        identity = f"call_{self.request_id[-12:]}{at}" if begins else ""
        return {"index": at, "id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}

    def _frame(self, number: int, values: Mapping[str, Any]) -> bytes:
        return _frame("result", 200, values, number)


def _joined(tokens: tuple[Token, ...], kind: str) -> str:
    return "".join(token.text for token in tokens if token.kind == kind)


def _frame(event: str, status: int, values: Mapping[str, Any], number: int = 1) -> bytes:
    """An event as DashScope writes it: no space after the colons, and a status in a comment."""
    data = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
    return f"id:{number}\nevent:{event}\n:HTTP_STATUS/{status}\ndata:{data}\n\n".encode()
