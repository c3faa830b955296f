"""A question to a family's fake through its profile, without sockets, and what a client sees of the answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from multidict import CIMultiDict, CIMultiDictProxy

from adapters.profile import Profile
from adapters.profiled_chat import ProfiledChat
from proxy import Answer as WholeAnswer
from proxy import BadRequest, ReasoningDelta, Send, TextDelta, ToolCallDelta, UpstreamError, Verbatim
from tests.adapters.dialect import chat, target
from tests.fakes.answers import Answer
from tests.fakes.families import HABITS, KEY, MODELS
from tests.fakes.family import FakeFamily
from tests.fakes.faults import Refusal
from tests.fakes.server import Received

HELLO = "Hello, you said: hi"
REASON = "The user asks, so I answer."
HI = {"role": "user", "content": "hi"}
THINK_UNASKED = frozenset({"deepseek", "kimi", "glm", "minimax", "stepfun", "spark", "sensenova", "pangu", "longcat"})


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a client sees of an answer. error: our code, and what is told with it."""

    text: str = ""
    reasoning: str = ""
    calls: tuple[tuple[int, str, str], ...] = ()
    """(index, name, arguments)."""
    finish: str | None = None
    strangers: tuple[str, ...] = ()
    """Members that OpenAI's chunks and answers don't have."""
    error: str = ""
    request_id: str = ""
    retry_after_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Case:
    """A question, what the vendor does, and what must come of it."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    model: str = ""
    stream: bool = False
    cap: int = 1000
    habits: Mapping[str, Any] = field(default_factory=dict)
    answer: Answer | None = None
    finish: str | None = None
    fail: tuple[int, str] | None = None
    thinks: bool | None = None
    """Whether reasoning must come; None: the vendor's default."""
    text: str = HELLO
    finished: str = "stop"
    calls: tuple[tuple[int, str, str], ...] = ()
    error: str = ""
    request_id: str = ""
    retry_after_s: float | None = None
    sent: Callable[[dict[str, Any]], bool] = lambda body: True
    """Whether this is how the vendor wants to be asked, where its answer doesn't show it."""

    def expected(self, family: str) -> Seen:
        if self.error:
            return Seen(error=self.error, request_id=self.request_id, retry_after_s=self.retry_after_s)
        thinks = family in THINK_UNASKED if self.thinks is None else self.thinks
        reasoning = REASON if thinks and self.answer is None else ""
        return Seen(text=self.text, reasoning=reasoning, calls=self.calls, finish=self.finished)


def ask(profile: Profile, case: Case) -> tuple[Seen, dict[str, Any]]:
    """(what the client sees, what was sent), without sockets."""
    fake = FakeFamily(replace(HABITS[profile.name], **case.habits))
    fake.answer, fake.finish = case.answer, case.finish
    if case.fail is not None:
        fake.fail_next(*case.fail)
    adapter = ProfiledChat(profile)
    body = {"messages": [HI], **({"stream": True} if case.stream else {}), **case.fields}
    where = target(adapter.options(), upstream_model=case.model or MODELS[profile.name], output_cap=case.cap)
    try:
        exchange = adapter.open(chat(body, stream=case.stream), where)
    except BadRequest as error:
        return Seen(error=error.code), {}
    send = exchange.next()
    assert isinstance(send, Send)
    sent = json.loads(send.body)
    status, headers, chunks = _serve(fake, send.path, sent)
    exchange.feed_head(status, CIMultiDict(headers))
    events: list[Any] = []
    try:
        for chunk in chunks:
            events += exchange.feed_data(chunk)
        events += exchange.feed_eof()
    except UpstreamError as error:
        seconds = None if error.retry_after_s == 5 else error.retry_after_s
        return Seen(error=error.code, request_id=error.upstream.get("request_id", ""), retry_after_s=seconds), sent
    return _seen(events, streamed=case.stream), sent


def _serve(fake: FakeFamily, path: str, body: dict[str, Any]) -> tuple[int, Mapping[str, str], Sequence[bytes]]:
    headers = CIMultiDictProxy(CIMultiDict({"Authorization": f"Bearer {KEY}"}))
    received = Received(
        id="req_1", method="POST", path=f"/v1{path}", query={}, headers=headers, raw=b"", body=body, peer=("127.0.0.1", 1)
    )
    kind = {"content-type": "application/json", **fake.reply_headers(received)}
    door = fake.doors.get(("POST", received.path))
    if door is None:
        return 404, kind, [b""]
    try:
        door.authenticate(received)
        refused = fake.take_reply(None)
        if isinstance(refused, Refusal):
            raise refused
        reply = door.answer(received)
    except Refusal as refusal:
        return refusal.status, kind, [json.dumps(door.error_body(refusal, received)).encode()]
    if reply.events is None:
        return 200, kind, [json.dumps(reply.body).encode()]
    return 200, {**kind, "content-type": "text/event-stream"}, [event.frame for event in reply.events]


_KNOWN = {
    "envelope": {"id", "object", "created", "model", "choices", "system_fingerprint", "usage", "service_tier"},
    "choice": {"index", "delta", "message", "logprobs", "finish_reason"},
    "message": {"role", "content", "refusal", "annotations", "reasoning_content", "tool_calls"},
}
ENVELOPES = {"code", "message", "sid", "base_resp"}
"""Harmless beside OpenAI's members."""


def _seen(events: Sequence[Any], *, streamed: bool) -> Seen:
    """Put together as a client does, from the bytes that pass; where none do, from what the gateway writes of the parts."""
    whole = _Whole()
    for event in events:
        if isinstance(event, Verbatim) and streamed:
            for line in event.raw.decode().splitlines():
                if line.startswith("data: "):
                    whole.add(json.loads(line[6:]), "delta")
        elif isinstance(event, WholeAnswer) and not streamed:
            whole.add(event.body, "message")
        elif isinstance(event, (Verbatim, WholeAnswer)):
            whole.add_parts(event.parts)
    return Seen(
        text=whole.text,
        reasoning=whole.reasoning,
        calls=tuple((index, name, arguments) for index, (name, arguments) in sorted(whole.calls.items())),
        finish=whole.finish,
        strangers=tuple(sorted(whole.strangers)),
    )


class _Whole:
    def __init__(self) -> None:
        self.text = self.reasoning = ""
        self.calls: dict[int, tuple[str, str]] = {}
        self.finish: str | None = None
        self.strangers: set[str] = set()

    def add(self, values: Mapping[str, Any], member: str) -> None:
        self.strangers |= values.keys() - _KNOWN["envelope"] - ENVELOPES
        if values["object"] != ("chat.completion.chunk" if member == "delta" else "chat.completion"):
            self.strangers.add(values["object"])
        for choice in values["choices"]:
            self.strangers |= choice.keys() - _KNOWN["choice"]
            message = choice.get(member) or {}
            self.strangers |= message.keys() - _KNOWN["message"]
            self.text += message.get("content") or ""
            self.reasoning += message.get("reasoning_content") or ""
            self.finish = choice.get("finish_reason") or self.finish
            calls = message.get("tool_calls") or []
            for position, call in enumerate(calls if isinstance(calls, list) else []):
                self._call(call.get("index") if member == "delta" else position, call)

    def add_parts(self, parts: Sequence[Any]) -> None:
        for part in parts:
            if isinstance(part, TextDelta):
                self.text += part.text
            elif isinstance(part, ReasoningDelta):
                self.reasoning += part.text
            elif isinstance(part, ToolCallDelta):
                self._call(part.position, {"function": {"name": part.name, "arguments": part.arguments}})
            else:
                self.finish = getattr(part, "reason", self.finish)

    def _call(self, index: Any, call: Mapping[str, Any]) -> None:
        if type(index) is not int or index < 0:
            self.strangers.add(f"index {index}")
            return
        name, arguments = self.calls.get(index, ("", ""))
        function = call["function"]
        self.calls[index] = (name + (function.get("name") or ""), arguments + (function.get("arguments") or ""))
