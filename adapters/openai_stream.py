"""Answers in Chat Completions' own shape: a stream passed event by event, or one JSON object.

Of an event only three things are ever touched: a top-level `model` becomes the name the client asked for, `usage` is taken
out and kept (the gateway writes its own at the end), and what a vendor's mender corrects in `choices`. All else, comments
included, leaves byte for byte as it came.

The stream is complete when every choice that was begun has a finish_reason. `[DONE]` alone proves nothing: relays add it to
streams that broke behind them. Its absence proves nothing either.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.json_members import edited
from adapters.openai_answer import add_parts, choices_of, index_of, read_usage, started_of
from adapters.openai_errors import OPENAI_FORM, ErrorForm, Refusal, openai_error
from adapters.repeated_chunk import RepeatedChunk
from adapters.sse import SseEvent
from proxy import (
    Answer,
    ChatEvent,
    ChatRequest,
    Finish,
    Part,
    ReasoningDelta,
    StreamTruncated,
    TextDelta,
    UpstreamError,
    UpstreamProtocolError,
    Usage,
    Verbatim,
    dumps,
)

_ONE = {0}
_PLAIN = frozenset({"index", "delta", "finish_reason", "logprobs"})
MOST_EARLY_EVENTS = 16
"""Of what comes before the first choice, comments for the most part, so many of the last are passed on with it."""

Mender = Callable[[list[dict[str, Any]]], bool]
"""Corrects the choices of one chunk in place; True if it changed something. Made anew for each stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """Where a vendor's answers depart from OpenAI's: plain functions, so that a vendor is a row."""

    error: Callable[[Refusal], UpstreamError] = openai_error
    form: ErrorForm = OPENAI_FORM
    usage: Callable[[Any, Any], Usage | None] = read_usage
    """(usage block, service tier) → Usage, or None where it can't be used."""
    mender: Callable[[], Mender] | None = None


OPENAI = Dialect()


class ChatReader:
    """Reads one answer, streamed or whole."""

    def __init__(self, chat: ChatRequest, dialect: Dialect) -> None:
        self.done = False
        self.repeated: RepeatedChunk | None = None
        self._alias = chat.model
        self._choices = chat.n
        self._asked_tier: str | None = chat.body.get("service_tier")
        self._mend = dialect.mender() if dialect.mender else None
        self._read_usage = dialect.usage
        self._started = False
        self._early: deque[ChatEvent] = deque(maxlen=MOST_EARLY_EVENTS)
        self._begun: set[int] = set()
        self._finished: set[int] = set()
        self._usage: Usage | None = None
        self._unusable = False
        self._fell = False
        self._served: tuple[str, bytes, bytes] = ("", b"", b"")
        """What the provider calls the model, and the member as it writes it and as the client shall read it."""

    def comment(self, sse: SseEvent) -> Sequence[ChatEvent]:
        return self._pass(Verbatim(sse.raw))

    def event(self, sse: SseEvent, values: dict[str, Any]) -> Sequence[ChatEvent]:
        choices = choices_of(values)
        counts = values.get("usage") is not None or _is_there_twice(values, sse.raw)
        if counts:
            self._keep_usage(values["usage"], values.get("service_tier"))
            if not choices:
                return ()
        renamed = "model" in values and values["model"] != self._alias
        raw = sse.raw
        parts = self._parts(values, choices)
        if self._mend is not None and self._mend(choices):
            if counts:
                del values["usage"]
            if renamed:
                values["model"] = self._alias
            raw = sse.with_data(dumps(values).decode())
        elif renamed or counts:
            changes: dict[str, str | None] = {}
            if counts:
                changes["usage"] = None
            if renamed:
                changes["model"] = json.dumps(self._alias)
            raw = (None if counts else self._renamed(raw, values["model"])) or sse.with_data(
                edited(sse.data or "", changes, values)
            )
        # A mender lets a role through once: the next chunk like this one would lose it.
        alike = self._mend is None or b'"role"' not in raw
        if alike and len(parts) == 1 and not counts and isinstance(parts[0], (TextDelta, ReasoningDelta)):
            self.repeated = self.repeated or RepeatedChunk()
            self.repeated.learn(sse.raw, raw, parts[0])
        return self._pass(Verbatim(raw, parts))

    def _pass(self, event: Verbatim) -> Sequence[ChatEvent]:
        """Nothing begins the answer but a choice: as long as none has come, another route may still be tried."""
        if not self._begun:
            self._early.append(event)
            return ()
        if not self._early:
            return (event,)
        events = (*self._early, event)
        self._early.clear()
        return events

    def end(self, *, said: bool) -> Sequence[ChatEvent]:
        if not self._begun:
            raise StreamTruncated("The provider's stream ended before it said anything.")
        if self._begun > self._finished or (not said and len(self._begun) < self._choices):
            raise StreamTruncated("The provider's stream broke off in the middle of its answer.")
        self.done = True
        return self._usage_events()

    def whole(self, values: dict[str, Any]) -> Sequence[ChatEvent]:
        self._keep_usage(values.get("usage"), values.get("service_tier"))
        choices = choices_of(values)
        if not choices or not all(isinstance(choice.get("message"), dict) for choice in choices):
            raise UpstreamProtocolError(
                "The provider answered with JSON that is no chat completion.", detail=repr(values)[:500]
            )
        parts: list[Part] = [started_of(values)]
        for choice in choices:
            add_parts(parts, choice, "message")
            if not choice.get("finish_reason"):
                parts.append(Finish("stop", index_of(choice)))
        body = {**values, "model": self._alias}
        body.pop("usage", None)
        return [Answer(body, tuple(parts)), *self._usage_events()]

    def _renamed(self, raw: bytes, model: Any) -> bytes | None:
        """The event with the client's name for the model, where a look at the bytes shows that nothing else can be meant.

        In JSON a quote inside of a string is escaped, so if `"model"` stands there once, and no letter is escaped that
        might spell it another way, it is the top-level name that the event is known to have.
        """
        if model != self._served[0]:
            if not isinstance(model, str):
                return None
            ours = json.dumps(self._alias).encode()
            self._served = (model, b'"model":"%b"' % model.encode(errors="replace"), b'"model":%b' % ours)
        _, old, new = self._served
        at = raw.find(old)
        if at < 0 or raw.count(b'"model"') != 1 or b"\\u00" in raw:
            return None
        return raw[:at] + new + raw[at + len(old) :]

    def _parts(self, values: Mapping[str, Any], choices: list[dict[str, Any]]) -> tuple[Part, ...]:
        if len(choices) == 1 and self._begun == _ONE and (text := _plain_text(choices[0])) is not None:
            return (TextDelta(text),)
        parts: list[Part] = []
        if not self._started:
            self._started = True
            parts.append(started_of(values))
        for choice in choices:
            index = index_of(choice)
            self._begun.add(index)
            if choice.get("finish_reason"):
                self._finished.add(index)
            add_parts(parts, choice, "delta")
        return tuple(parts)

    def _keep_usage(self, block: Any, service_tier: Any) -> None:
        """Keep the last count. Counts are cumulative: one that falls is a fault; the higher one stands."""
        usage = self._read_usage(block, service_tier)
        if usage is None:
            self._unusable = self._unusable or isinstance(block, dict)
        elif self._usage is None or _total(usage) >= _total(self._usage):
            self._usage = usage
        else:
            self._fell = True

    @property
    def reported(self) -> Usage | None:
        usage = self._usage
        # A provider that doesn't say which tier it served is taken to have served the one asked for.
        if usage is not None and self._asked_tier is not None and usage.service_tier is None:
            return usage._replace(service_tier=self._asked_tier)
        return usage

    @property
    def anomalies(self) -> Sequence[str]:
        found = ("unusable",) if self._unusable and self._usage is None else ()
        return (*found, "falling") if self._fell else found

    def _usage_events(self) -> Sequence[ChatEvent]:
        usage = self.reported
        return () if usage is None else [usage]


def _plain_text(choice: dict[str, Any]) -> str | None:
    """The text of a choice that says nothing else, as nearly all do; None if there may be more."""
    delta = choice.get("delta")
    if type(delta) is not dict or len(delta) != 1 or len(choice) > 4 or choice.get("index") != 0:
        return None
    if choice.get("finish_reason") is not None or choice.get("logprobs") is not None or choice.keys() - _PLAIN:
        return None
    text = delta.get("content")
    return text if type(text) is str and text else None


def _is_there_twice(values: Mapping[str, Any], raw: bytes) -> bool:
    """Whether a null usage may hide another, which came before it: of a name that comes twice the last value is read."""
    return "usage" in values and (raw.count(b'"usage"') != 1 or b"\\u00" in raw)


def _total(usage: Usage) -> int:
    return usage.input_tokens + usage.output_tokens
