"""A fake of a vendor that speaks OpenAI's dialect in its own way: one server, with habits that a test can take from it.

It checks requests as strictly as the vendor's papers say, and writes answers and errors in the vendor's form.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Literal

from tests.fakes.answers import Answer, asked_in_chat, compose
from tests.fakes.ark_checks import without_nulls
from tests.fakes.faults import Refusal
from tests.fakes.openai import FakeOpenAI, OpenAIChat, OpenAIEmbeddings
from tests.fakes.server import DONE, Event, Received, Reply, data_frame

KEY = "sk-fake-family-00000000000000000"
ROLES = frozenset({"system", "user", "assistant", "tool"})
Body = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Habits:
    """What sets a vendor apart. Models are regular expressions."""

    paths: tuple[tuple[str, str], ...] = (("", "/chat/completions"),)
    """(models, path below the base), the first that fits."""
    authorization: Callable[[str], bool] | None = None
    """Whether a header Authorization is right; None: Bearer and the key."""

    refused: tuple[tuple[str, frozenset[str]], ...] = ()
    """(models, fields that are a 400)."""
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """{field: lowest and highest value}; outside of them, 400."""
    needs_sample_switch: bool = False
    """Greedy decoding is asked for with do_sample: false; a temperature near 0 does not mean it."""
    cap: str = "max_tokens"
    """The one name of the output cap; of OpenAI's two, both are taken."""
    caps: tuple[tuple[str, int], ...] = ()
    """(models, highest cap)."""
    alternating: bool = False
    empty_refused: bool = False
    texts_only: str | None = None
    """Models that refuse a content that is a list."""
    flat_images: bool = False
    replay: str | None = None
    """Models that refuse a turn with tools whose reasoning is not given back."""
    user_pattern: str = ""
    stops: int = 4
    stream_only: str | None = None
    json_schema: bool = True
    tool_choices: tuple[tuple[str, frozenset[str]], ...] = ()
    strict_by_default: bool = False
    tools_lost_in_streams: bool = False

    thinks: Callable[[Body], bool] = lambda body: False
    """Whether it reasons about this request, whose fields are as the vendor knows them."""
    reasoning_as: Callable[[Body], Literal["reasoning_content", "reasoning", "reasoning_details", "think"]] = lambda body: (
        "reasoning_content"
    )
    calls_as: Literal["list", "index -1", "no index", "object"] = "list"
    usage_in_choice: bool = False
    usage_on_last_content: bool = False
    """Usage comes, unasked, with the last content; no finish_reason does."""
    repeats_message: bool = False
    envelope: Mapping[str, Any] = field(default_factory=dict)
    """Members of every chunk and answer."""
    embeddings: bool = False
    comments: bool = False
    """Keep-alive comments before and within a stream, blank lines before JSON."""

    error: Callable[[Refusal, str], Body] | None = None
    """(refusal, request id) → body; None: OpenAI's."""
    request_id_header: str = "X-Request-Id"


class FakeFamily(FakeOpenAI):
    """`fake.base_url` ends with /v1, but the paths of its habits are below that."""

    def __init__(self, habits: Habits = Habits(), *, key: str = KEY, now: Callable[[], float] = time.time) -> None:
        super().__init__(key=key, now=now)
        self.habits = habits
        self.finish: str | None = None
        """What the next answers end with, in the vendor's words."""
        self.doors = {("POST", f"/v1{path}"): FamilyChat(self) for _, path in habits.paths}
        if habits.embeddings:
            self.doors["POST", "/v1/embeddings"] = FamilyEmbeddings(self)

    def reply_headers(self, received: Received) -> dict[str, str]:
        return {self.habits.request_id_header: received.id} if self.habits.request_id_header else {}


@dataclass(frozen=True)
class FamilyEmbeddings(OpenAIEmbeddings):
    fake: FakeFamily

    def error_body(self, refusal: Refusal, received: Received) -> Body:
        return FamilyChat(self.fake).error_body(refusal, received)


@dataclass(frozen=True)
class FamilyChat(OpenAIChat):
    fake: FakeFamily

    def authenticate(self, received: Received) -> None:
        if self.fake.habits.authorization is None:
            super().authenticate(received)
        elif not self.fake.habits.authorization(received.headers.get("Authorization", "")):
            raise Refusal(401, "invalid_api_key", "Incorrect API key provided.")

    def error_body(self, refusal: Refusal, received: Received) -> Body:
        if self.fake.habits.error is not None:
            return self.fake.habits.error(refusal, received.id)
        return super().error_body(refusal, received)

    def answer(self, received: Received) -> Reply:
        habits = self.fake.habits
        body = without_nulls(received.body or {})
        path = next(path for models, path in habits.paths if re.search(models, body["model"]))
        if received.path != f"/v1{path}":
            raise Refusal(404, "not_found", f"{body['model']} is not served here")
        check(body, habits)
        asked = {**body, **({"max_tokens": body[habits.cap]} if habits.cap in body else {})}
        if asked.get("stream") and habits.usage_on_last_content:
            asked["stream_options"] = {"include_usage": True}
        scripted = self.fake.answer
        said = scripted or compose(asked_in_chat(asked))
        lost = habits.tools_lost_in_streams and body.get("stream")
        calls = () if lost else said.tool_calls
        self.fake.answer = Answer(text=said.text, tool_calls=calls, reasoning=said.reasoning if habits.thinks(body) else "")
        try:
            reply = super().answer(replace(received, body=asked))
            if reply.events is None:
                return replace(reply, body=self._written(dict(reply.body), "message", body))
            # The frames are made here, while the answer is this request's.
            return replace(reply, events=list(self._stream(list(reply.events), body)))
        finally:
            self.fake.answer = scripted

    def _stream(self, events: list[Event], body: Body) -> Iterator[Event]:
        habits = self.fake.habits
        values = [json.loads(event.frame[6:]) if event.frame != DONE else None for event in events]
        usage = next((value["usage"] for value in values if value and value.get("usage")), None)
        whole: list[Body] = []
        thinking_as, was_thinking = habits.reasoning_as(body), False
        if habits.comments:
            yield Event(b": keep-alive\n\n")
        for event, value in zip(events, values, strict=True):
            if value is None:
                if habits.repeats_message:
                    yield Event(data_frame(repeated(whole, usage)))
                yield Event(DONE)
                continue
            for choice in value["choices"]:
                delta = choice["delta"]
                thinks = "reasoning_content" in delta
                if thinking_as == "think" and thinks != was_thinking and (thinks or len(delta)):
                    was_thinking = thinks
                    delta["content"] = ("<think>\n" if thinks else "</think>\n\n") + (delta.get("content") or "")
            if habits.usage_on_last_content:
                if value["choices"] and value["choices"][0].get("finish_reason"):
                    value["usage"] = usage
                    value["choices"][0].pop("finish_reason")
                elif not value["choices"]:
                    continue
            yield replace(event, frame=data_frame(self._written(value, "delta", body)))
            whole.append(value)
            if habits.comments:
                yield Event(b": keep-alive\n\n")

    def _written(self, value: Body, member: str, body: Body) -> Body:
        """A chunk or an answer in the vendor's words."""
        habits = self.fake.habits
        for choice in value["choices"]:
            message = choice[member]
            if "reasoning_content" in message:
                write_reasoning(message, habits.reasoning_as(body), member)
            if "tool_calls" in message:
                message["tool_calls"] = written_calls(message["tool_calls"], habits.calls_as, member)
            if choice.get("finish_reason"):
                choice["finish_reason"] = self.fake.finish or choice["finish_reason"]
                if habits.usage_in_choice:
                    choice["usage"] = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        return {**value, **habits.envelope}


def check(body: Body, habits: Habits) -> None:
    """Raises: Refusal: the vendor would not take this request."""
    model = body["model"]
    for models, fields in habits.refused:
        if re.search(models, model) and (found := fields & body.keys()):
            raise _bad(f"{', '.join(sorted(found))} is not supported")
    for name, (low, high) in habits.ranges.items():
        if name in body and not low <= body[name] <= high:
            raise _bad(f"{name} is out of range")
    for models, limit in habits.caps:
        if re.search(models, model) and body.get("max_tokens", 0) > limit:
            raise _bad("max_tokens is too large")
    if habits.needs_sample_switch and body.get("temperature", 1) <= 0.01 and body.get("do_sample") is not False:
        raise _bad("temperature must be in (0, 1)")
    if habits.user_pattern and not re.fullmatch(habits.user_pattern, body.get("user_id", body.get("user", "u"))):
        raise _bad("user is not valid")
    if isinstance(stop := body.get("stop"), list) and len(stop) > habits.stops:
        raise _bad("too many stop sequences")
    if habits.stream_only is not None and re.search(habits.stream_only, model) and not body.get("stream"):
        raise _bad("This model only supports stream mode")
    if not habits.json_schema and body.get("response_format", {}).get("type") == "json_schema":
        raise _bad("This response_format type is unavailable now")
    _check_messages(body, habits)
    choice = body.get("tool_choice", "auto")
    for models, choices in habits.tool_choices:
        if re.search(models, model) and (choice if isinstance(choice, str) else "function") not in choices:
            raise _bad("tool_choice is not supported")
    for tool in body.get("tools", ()) if habits.strict_by_default else ():
        function = tool["function"]
        if function.get("strict", True) and "additionalProperties" not in function["parameters"]:
            raise _bad("strict schemas need additionalProperties")


def _check_messages(body: Body, habits: Habits) -> None:
    messages = body["messages"]
    for message in messages:
        if message["role"] not in ROLES:
            raise _bad(f"unknown role {message['role']}")
        if habits.empty_refused and not message.get("content") and not message.get("tool_calls"):
            raise _bad("message content is empty")
        takes_lists = habits.texts_only is None or not re.search(habits.texts_only, body["model"])
        if not takes_lists and not isinstance(message.get("content", ""), str):
            raise _bad("content must be a string")
        parts = message["content"] if isinstance(message.get("content"), list) else []
        if habits.flat_images and any(isinstance(part.get("image_url"), dict) for part in parts):
            raise _bad("image_url must be a string")
    if habits.alternating:
        roles = [message["role"] for message in messages if message["role"] != "tool"]
        if any(one == other for one, other in pairwise(roles)):
            raise _bad("roles must alternate")
    wants_reasoning = habits.replay is not None and re.search(habits.replay, body["model"]) and habits.thinks(body)
    if wants_reasoning and any(m.get("tool_calls") and not m.get("reasoning_content") for m in messages):
        raise _bad("reasoning_content is missing in assistant tool call message")


def write_reasoning(message: Body, written_as: str, member: str) -> None:
    text = message.pop("reasoning_content")
    if written_as == "reasoning_details":
        message["reasoning_details"] = [{"type": "reasoning.text", "text": text, "index": 0}]
    elif written_as == "think" and member == "message":
        message["content"] = f"<think>\n{text}</think>\n\n{message.get('content') or ''}"
    elif written_as == "think":
        message["content"] = (message.get("content") or "") + text
    else:
        message[written_as] = text


def written_calls(calls: list[Body], calls_as: str, member: str) -> Any:
    if calls_as == "object":
        [call] = calls
        return {name: value for name, value in call.items() if name not in ("id", "index")}
    if member == "delta" and calls_as == "index -1":
        return [{**call, "index": -1} for call in calls]
    if member == "delta" and calls_as == "no index":
        return [{name: value for name, value in call.items() if name != "index"} for call in calls]
    return calls


def repeated(chunks: list[Body], usage: Any) -> Body:
    """The last chunk of a stream that says everything once more."""
    text = "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
    message = {"role": "assistant", "name": "MiniMax AI", "content": text}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    head = {name: chunks[0][name] for name in ("id", "created", "model")}
    return {**head, "object": "chat.completion", "choices": [choice], "usage": usage, "base_resp": {"status_code": 0}}


def _bad(message: str) -> Refusal:
    return Refusal(400, "invalid_parameter", message)
