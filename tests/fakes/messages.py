"""A fake of a vendor whose door has Anthropic's shape: JSON, events with names, and errors by their type.

It takes what Anthropic's first version had and nothing more; a member that it doesn't know is a 400, as at Anthropic's.
"""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from tests.fakes.answers import Answer, compose, speak
from tests.fakes.ark_checks import without_nulls
from tests.fakes.ark_messages import MessageShape, asked_in_messages
from tests.fakes.faults import Refusal
from tests.fakes.server import FakeServer, Meter, Received, Reply

KEY = "sk-fake-messages-0000000000000000"
_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}
_FIELDS = frozenset(
    {
        *("model", "messages", "max_tokens", "metadata", "stop_sequences", "stream", "system", "temperature"),
        *("thinking", "tool_choice", "tools", "top_k", "top_p"),
    }
)
_OF_TOOL = frozenset({"name", "description", "input_schema", "cache_control", "type"})

Body = Mapping[str, Any]


class FakeMessages(FakeServer):
    """`fake.base_url` is what clients add /v1/messages to. Any model name is served."""

    base_path = "/anthropic"

    def __init__(self, *, key: str = KEY, now: Callable[[], float] = time.time) -> None:
        super().__init__(now=now)
        self.key = key
        self.answer: Answer | None = None
        """What the model says from now on; None: something that follows from the request."""
        self.cached_tokens = 0
        self.written_tokens = 0
        """How many tokens of each prompt come out of the cache, and go into it."""
        self.doors = {("POST", "/anthropic/v1/messages"): MessagesDoor(self)}

    def new_id(self, number: int) -> str:
        return f"msg_fake{number:04d}"

    def thinks(self, body: Body) -> bool:
        """Whether the model reasons about this request."""
        return bool(body.get("thinking", {}).get("type") == "enabled")

    def stops(self, body: Body) -> Sequence[str]:
        return tuple(body.get("stop_sequences", ()))

    def check(self, body: Body) -> None:
        """Raises: Refusal: a body that the vendor would not take."""
        check_known(body.keys(), _FIELDS)
        check_range(body, "temperature", lambda value: 0 <= value <= 1)
        check_range(body, "top_p", lambda value: 0 <= value <= 1)
        thinking = body.get("thinking", {"type": "disabled"})
        budget = thinking.get("budget_tokens")
        if thinking["type"] not in ("enabled", "disabled") or (thinking["type"] == "enabled") != (type(budget) is int):
            raise invalid("thinking: enabled needs budget_tokens, disabled takes none")
        if budget is not None and not 0 < budget < body["max_tokens"]:
            raise invalid("thinking.budget_tokens must be less than max_tokens")

    def told(self, refusal: Refusal) -> dict[str, Any]:
        """The error object."""
        return {"type": refusal.kind or _KINDS.get(refusal.status, "api_error"), "message": refusal.message}


@dataclass(frozen=True)
class MessagesDoor:
    """A key in x-api-key or as a bearer; one error envelope in answers and in events."""

    fake: FakeMessages

    def authenticate(self, received: Received) -> None:
        scheme, _, token = received.headers.get("Authorization", "").partition(" ")
        given = token if scheme == "Bearer" else received.headers.get("x-api-key", "")
        if not hmac.compare_digest(given.encode(), self.fake.key.encode()):
            raise Refusal(401, "1004", "invalid api key")
        if "anthropic-version" not in received.headers:
            raise invalid("anthropic-version: header is required")

    def answer(self, received: Received) -> Reply:
        body = without_nulls(received.body or {})
        for name in ("model", "messages", "max_tokens"):
            if not body.get(name):
                raise invalid(f"{name}: Field required")
        check_turns(body["messages"])
        self.fake.check(body)
        for tool in body.get("tools", ()):
            check_known(tool.keys(), _OF_TOOL)
        ask = asked_in_messages(body)
        said = self.fake.answer or compose(ask)
        if not self.fake.thinks(body):
            said = replace(said, reasoning="")
        speech = speak(said, total_cap=body["max_tokens"], stops=self.fake.stops(body))
        cached = min(self.fake.cached_tokens, ask.prompt_tokens)
        written = min(self.fake.written_tokens, ask.prompt_tokens - cached)
        shape = MessageShape(
            id=received.id,
            model_id=body["model"],
            signs=True,
            fresh_tokens=ask.prompt_tokens - cached - written,
            cached_tokens=cached,
            written_tokens=written,
        )
        meter = Meter(model=body["model"], prompt=ask.prompt_tokens, cached=cached)
        if body.get("stream"):
            return Reply(events=shape.events(speech), meter=meter)
        meter.completion = len(speech.tokens)
        return Reply(body=shape.message(speech), meter=meter)

    def error_body(self, refusal: Refusal, received: Received) -> dict[str, Any]:
        return {"type": "error", "error": self.fake.told(refusal), "request_id": received.id}

    def error_event(self, refusal: Refusal, received: Received) -> bytes:
        return f"event: error\ndata: {json.dumps(self.error_body(refusal, received))}\n\n".encode()


def invalid(message: str) -> Refusal:
    return Refusal(400, "2013", message)


def check_known(names: Iterable[str], known: frozenset[str]) -> None:
    """Raises: Refusal: 400, one of these names is not known."""
    if others := sorted(set(names) - known):
        raise invalid(f"{others[0]}: Extra inputs are not permitted")


def check_range(body: Body, name: str, fits: Callable[[float], bool]) -> None:
    """Raises: Refusal: 400, a number is out of bounds."""
    if name in body and not fits(body[name]):
        raise invalid(f"{name}: out of range")


def check_turns(messages: Sequence[Mapping[str, Any]]) -> None:
    """Turns alternate, and the results of a turn's calls are what comes next.

    Raises: Refusal: 400.
    """
    roles = [message["role"] for message in messages]
    if set(roles) - {"user", "assistant"} or any(one == other for one, other in pairwise(roles)):
        raise invalid("messages: roles must alternate between user and assistant")
    waiting: set[str] = set()
    for message in messages:
        blocks = message["content"] if isinstance(message["content"], list) else []
        results = {block["tool_use_id"] for block in blocks if block["type"] == "tool_result"}
        if results != waiting:
            raise invalid("tool id not found")
        waiting = {block["id"] for block in blocks if block["type"] == "tool_use"}
