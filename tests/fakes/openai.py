"""A fake aggregator that speaks OpenAI's Chat Completions and nothing else: JSON, and events up to [DONE]."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.fakes.answers import Answer, Speech, asked_in_chat, compose, speak
from tests.fakes.ark_checks import without_nulls
from tests.fakes.ark_embeddings import vector
from tests.fakes.faults import Refusal
from tests.fakes.server import DONE, Event, FakeServer, Meter, Received, Reply, data_frame

KEY = "sk-fake-aggregator-000000000000"
_KINDS = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class FakeOpenAI(FakeServer):
    """`fake.base_url` ends with /v1. Any model name is served."""

    base_path = "/v1"

    def __init__(self, *, key: str = KEY, now: Callable[[], float] = time.time) -> None:
        super().__init__(now=now)
        self.key = key
        self.answer: Answer | None = None
        """What the model says from now on, reasoning too; None: something that follows from the request."""
        self.cached_tokens = 0
        self.doors = {
            ("POST", "/v1/chat/completions"): OpenAIChat(self),
            ("POST", "/v1/embeddings"): OpenAIEmbeddings(self),
            ("GET", "/v1/models"): OpenAIModels(self),
        }

    def new_id(self, number: int) -> str:
        return f"chatcmpl-fake{number:04d}"


@dataclass(frozen=True)
class OpenAIDoor:
    """Bearer key; errors have message, type, param and code."""

    fake: FakeOpenAI

    def authenticate(self, received: Received) -> None:
        given = received.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self.fake.key}".encode()):
            raise Refusal(401, "invalid_api_key", "Incorrect API key provided.")

    def error_body(self, refusal: Refusal, received: Received) -> dict[str, Any]:
        server = "server_error" if refusal.status >= 500 else "invalid_request_error"
        return {
            "error": {
                "message": refusal.message,
                "type": refusal.kind or _KINDS.get(refusal.status, server),
                "param": refusal.param or None,
                "code": refusal.code,
            }
        }

    def error_event(self, refusal: Refusal, received: Received) -> bytes:
        return data_frame(self.error_body(refusal, received))


class OpenAIModels(OpenAIDoor):
    def answer(self, received: Received) -> Reply:
        entry = {"id": "doubao-seed", "object": "model", "created": 1766000000, "owned_by": "aggregator"}
        return Reply(body={"object": "list", "data": [entry]})


class OpenAIEmbeddings(OpenAIDoor):
    """Takes tokens as well as texts."""

    def answer(self, received: Received) -> Reply:
        body = without_nulls(received.body or {})
        given = body["input"]
        inputs = given if isinstance(given, list) and not isinstance(given[0], int) else [given]
        data = [{"object": "embedding", "index": at, "embedding": vector(str(one), body)} for at, one in enumerate(inputs)]
        tokens = sum(len(one.split()) if isinstance(one, str) else len(one) for one in inputs)
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        meter = Meter(model=body["model"], prompt=tokens)
        return Reply(body={"object": "list", "data": data, "model": body["model"], "usage": usage}, meter=meter)


class OpenAIChat(OpenAIDoor):
    def answer(self, received: Received) -> Reply:
        body = without_nulls(received.body or {})
        for name in ("model", "messages"):
            if not body.get(name):
                raise Refusal(400, "missing_required_parameter", f"Missing parameter: {name}.", param=name)
        ask = asked_in_chat(body)
        stop = body.get("stop", ())
        stops = [stop] if isinstance(stop, str) else stop
        caps = [body[name] for name in ("max_tokens", "max_completion_tokens") if name in body]
        said = self.fake.answer or Answer(text=(plain := compose(ask)).text, tool_calls=plain.tool_calls)
        speech = speak(said, total_cap=min(caps, default=None), stops=stops)
        cached = min(self.fake.cached_tokens, ask.prompt_tokens)
        shape = _Shape(
            id=received.id,
            created=int(self.fake.now()),
            model=body["model"],
            prompt_tokens=ask.prompt_tokens,
            cached_tokens=cached,
        )
        meter = Meter(model=body["model"], prompt=ask.prompt_tokens, cached=cached)
        speeches = [speech] * body.get("n", 1)
        if body.get("stream"):
            asked = body.get("stream_options", {}).get("include_usage", False)
            return Reply(events=shape.events(speeches, include_usage=asked), meter=meter)
        meter.completion = sum(len(each.tokens) for each in speeches)
        return Reply(body=shape.completion(speeches), meter=meter)


@dataclass(frozen=True, kw_only=True)
class _Shape:
    """What all parts of one answer have in common."""

    id: str
    created: int
    model: str
    prompt_tokens: int
    cached_tokens: int

    def completion(self, speeches: list[Speech]) -> dict[str, Any]:
        choices = [
            {
                "index": index,
                "message": self._message(speech, index),
                "logprobs": None,
                "finish_reason": speech.finish,
            }
            for index, speech in enumerate(speeches)
        ]
        return {**self._head("chat.completion"), "choices": choices, "usage": self._usage(speeches)}

    def events(self, speeches: list[Speech], *, include_usage: bool) -> Iterator[Event]:
        """The role comes once, finish_reason is null until the end, usage is there only if asked for."""
        usage: dict[str, Any] = {"usage": None} if include_usage else {}
        for index, speech in enumerate(speeches):
            for tokens, delta in self._deltas(speech, index):
                yield Event(self._chunk([_choice(index, delta, None)], usage), tokens=tokens)
            yield Event(self._chunk([_choice(index, {}, speech.finish)], usage))
        if include_usage:
            yield Event(self._chunk([], {"usage": self._usage(speeches)}))
        yield Event(DONE)

    def _deltas(self, speech: Speech, choice: int) -> Iterator[tuple[int, dict[str, Any]]]:
        yield 0, {"role": "assistant", "content": "", "refusal": None}
        begun = -1
        for token in speech.tokens:
            if token.kind == "call":
                fragment: dict[str, Any] = {"index": token.position, "function": {"arguments": token.text}}
                if token.position != begun:
                    begun = token.position
                    fragment["id"] = self._call_id(choice, begun)
                    fragment["type"] = "function"
                    fragment["function"]["name"] = speech.answer.tool_calls[begun].name
                yield 1, {"tool_calls": [fragment]}
            else:
                yield 1, {"content" if token.kind == "text" else "reasoning_content": token.text}

    def _message(self, speech: Speech, choice: int) -> dict[str, Any]:
        message: dict[str, Any] = {
            "role": "assistant",
            "content": speech.joined("text") or None,
            "refusal": None,
            "annotations": [],
        }
        if reasoning := speech.joined("reasoning"):
            message["reasoning_content"] = reasoning
        if speech.calls:
            message["tool_calls"] = [
                {
                    "id": self._call_id(choice, position),
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
                for position, call in enumerate(speech.calls)
            ]
        return message

    def _call_id(self, choice: int, position: int) -> str:
        return f"call_{self.id.removeprefix('chatcmpl-')}{choice}{position}"

    def _chunk(self, choices: list[dict[str, Any]], usage: Mapping[str, Any]) -> bytes:
        return data_frame({**self._head("chat.completion.chunk"), "choices": choices, **usage})

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": "fp_fake",
        }

    def _usage(self, speeches: list[Speech]) -> dict[str, Any]:
        completion = sum(len(speech.tokens) for speech in speeches)
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": completion,
            "total_tokens": self.prompt_tokens + completion,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens},
            "completion_tokens_details": {"reasoning_tokens": sum(speech.reasoning_tokens for speech in speeches)},
        }


def _choice(index: int, delta: Mapping[str, Any], finish: str | None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
