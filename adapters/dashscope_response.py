"""DashScope's answers → the events of our answer.

    {"output": {"choices": [{"message": {"content", "reasoning_content", "tool_calls"}, "finish_reason"}]},
     "usage": {"input_tokens", "output_tokens", …}, "request_id"}

A stream has the same in each event, with what is new since the last. Until the end finish_reason is the text "null"; usage is
in every event, cumulative. There is no last event of its own, so that the body's end is the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from adapters.json_members import object_of
from adapters.openai_answer import MOST_TOKENS, add_parts, choices_of, read_usage
from adapters.sse import SseEvent
from proxy import (
    ChatEvent,
    Finish,
    Part,
    Started,
    StreamTruncated,
    ToolCallDelta,
    UpstreamProtocolError,
    Usage,
)


class GenerationReader:
    """Reads one answer, streamed or whole."""

    def __init__(self) -> None:
        self.done = False
        self.repeated = None
        self._started = False
        self._finished = False
        self._counted: Mapping[str, Any] | None = None
        self._total = 0
        self._unusable = False
        self._fell = False

    def comment(self, sse: SseEvent) -> Sequence[ChatEvent]:
        return ()

    def event(self, sse: SseEvent, values: dict[str, Any]) -> Sequence[ChatEvent]:
        self._keep_usage(values)
        return self._parts(values)

    def end(self, *, said: bool) -> Sequence[ChatEvent]:
        if not self._finished:
            raise StreamTruncated("The provider's stream broke off in the middle of its answer.")
        self.done = True
        return self._usage_events()

    def whole(self, values: dict[str, Any]) -> Sequence[ChatEvent]:
        self._keep_usage(values)
        parts = self._parts(values)
        if not parts:
            raise UpstreamProtocolError("The provider answered with JSON that is no generation.", detail=repr(values)[:500])
        if not self._finished:
            parts.append(Finish("tool_calls" if any(isinstance(part, ToolCallDelta) for part in parts) else "stop"))
        return [*parts, *self._usage_events()]

    def _parts(self, values: Mapping[str, Any]) -> list[Part]:
        """What the one choice says. After its finish_reason, what was said may come once more."""
        choices = choices_of(object_of(values.get("output")))
        if not choices or self._finished:
            return []
        parts: list[Part] = []
        if not self._started:
            self._started = True
            identity = values.get("request_id")
            parts.append(Started(id=identity if isinstance(identity, str) else None))
        choice = _in_openais_words(choices[0])
        add_parts(parts, choice, "message")
        self._finished = choice["finish_reason"] is not None
        return parts

    @property
    def reported(self) -> Usage | None:
        return None if self._counted is None else _usage_of(self._counted)

    @property
    def anomalies(self) -> Sequence[str]:
        found = ("unusable",) if self._unusable and self._counted is None else ()
        return (*found, "falling") if self._fell else found

    def _keep_usage(self, values: Mapping[str, Any]) -> None:
        """Keep the last count. Counts are cumulative: one that falls is a fault; the higher one stands."""
        block = values.get("usage")
        if block is None:
            return
        total = _total_of(block)
        if total is None:
            self._unusable = True
        elif total >= self._total:
            self._counted, self._total = block, total
        else:
            self._fell = True

    def _usage_events(self) -> Sequence[ChatEvent]:
        usage = self.reported
        return () if usage is None else [usage]


def _in_openais_words(choice: Mapping[str, Any]) -> dict[str, Any]:
    message = object_of(choice.get("message"))
    content = message.get("content")
    if isinstance(content, list):
        texts = [object_of(part).get("text") for part in content]
        content = "".join(text for text in texts if isinstance(text, str))
    calls = message.get("tool_calls")
    calls = [_call(call) for call in calls if isinstance(call, dict)] if isinstance(calls, list) else None
    reason = choice.get("finish_reason")
    if not isinstance(reason, str) or reason in ("null", ""):
        reason = None
    return {**choice, "index": 0, "message": {**message, "content": content, "tool_calls": calls}, "finish_reason": reason}


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    """In a stream, id and name are empty texts after a call's first piece."""
    function = object_of(call.get("function"))
    return {**call, "id": call.get("id") or None, "function": {**function, "name": function.get("name") or None}}


def _usage_of(block: Mapping[str, Any]) -> Usage | None:
    """The usage in OpenAI's words.

    Args: block: {"input_tokens": int, "output_tokens": int, "prompt_tokens_details"?: {"cached_tokens": int, …},
    "input_tokens_details"?: {…}, "output_tokens_details"?: {"reasoning_tokens": int}}.
    """
    counted = {
        "prompt_tokens": block["input_tokens"],
        "completion_tokens": block["output_tokens"],
        "total_tokens": block["input_tokens"] + block["output_tokens"],
        "prompt_tokens_details": {
            **object_of(block.get("input_tokens_details")),
            **object_of(block.get("prompt_tokens_details")),
        },
        "completion_tokens_details": object_of(block.get("output_tokens_details")),
    }
    return read_usage(counted)


def _total_of(block: Any) -> int | None:
    """None where a count is missing, negative, absurd or no integer."""
    counts: list[Any] = [object_of(block).get(name) for name in ("input_tokens", "output_tokens")]
    usable = all(type(count) is int and 0 <= count <= MOST_TOKENS for count in counts)
    return sum(counts) if usable else None
