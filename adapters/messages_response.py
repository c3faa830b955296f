"""Anthropic's Messages answers → the events of our answer.

    message_start, (content_block_start, content_block_delta …, content_block_stop) …, message_delta, message_stop

Events are known by the `type` in their data; `ping` and types that nobody knows yet are passed over. A thinking block's
signature becomes `encrypted_content`, the member that messages_turns.py turns back into one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from adapters.json_members import object_of
from adapters.openai_answer import MOST_TOKENS
from adapters.sse import SseEvent
from proxy import (
    ChatEvent,
    Extra,
    Finish,
    ReasoningDelta,
    Started,
    StreamTruncated,
    TextDelta,
    ToolCallDelta,
    UpstreamProtocolError,
    Usage,
    dumps,
)

_FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


class MessageReader:
    """Reads one answer, streamed or whole."""

    def __init__(self, service_tier: str | None = None) -> None:
        """service_tier: the priced tier that was asked for, as answers needn't name it."""
        self.done = False
        self.repeated = None
        self._begun = False
        self._finished = False
        self._stopped = False
        self._calls: dict[int, _Call] = {}
        self._signed: int | None = None
        self._usage = MessageUsage(service_tier)

    def comment(self, sse: SseEvent) -> Sequence[ChatEvent]:
        return ()

    def event(self, sse: SseEvent, values: dict[str, Any]) -> Sequence[ChatEvent]:
        match values.get("type"):
            case "message_start":
                message = object_of(values.get("message"))
                self._begun = True
                self._usage.read_input(object_of(message.get("usage")))
                return [_started(message)]
            case "content_block_start":
                self._begun = True
                return self._start_block(_index(values), object_of(values.get("content_block")))
            case "content_block_delta":
                return self._add_to_block(_index(values), object_of(values.get("delta")))
            case "content_block_stop":
                return self._stop_block(_index(values))
            case "message_delta":
                usage = object_of(values.get("usage"))
                self._usage.read_input(usage)
                self._usage.read_output(usage)
                reason = object_of(values.get("delta")).get("stop_reason")
                return self._finish(reason) if reason else ()
            case "message_stop":
                self._stopped = True
                return self.end(said=True)
        return ()

    def end(self, *, said: bool) -> Sequence[ChatEvent]:
        if self.done:
            return ()
        if not self._begun or not (self._finished or self._stopped):
            raise StreamTruncated("The provider's stream broke off in the middle of its answer.")
        self.done = True
        return [*self._finish(None), *self._usage_events()]

    def whole(self, values: dict[str, Any]) -> Sequence[ChatEvent]:
        content = values.get("content")
        if not isinstance(content, list):
            raise UpstreamProtocolError("The provider answered with JSON that is no message.", detail=repr(dict(values))[:500])
        events: list[ChatEvent] = [_started(values)]
        for index, block in enumerate(content):
            events += self._start_block(index, object_of(block))
            events += self._stop_block(index)
        usage = object_of(values.get("usage"))
        self._usage.read_input(usage)
        self._usage.read_output(usage)
        return [*events, *self._finish(values.get("stop_reason")), *self._usage_events()]

    @property
    def reported(self) -> Usage | None:
        return self._usage.so_far()

    @property
    def anomalies(self) -> Sequence[str]:
        return self._usage.anomalies()

    def _usage_events(self) -> Sequence[ChatEvent]:
        usage = self.reported
        return () if usage is None else [usage]

    def _start_block(self, index: int, block: Mapping[str, Any]) -> Sequence[ChatEvent]:
        match block.get("type"):
            case "text":
                return _text(block.get("text"))
            case "thinking":
                return [*_reasoning(block.get("thinking")), *self._sign(index, block.get("signature"))]
            case "tool_use":
                call = self._calls[index] = _Call(len(self._calls), object_of(block.get("input")))
                identity, name = block.get("id"), block.get("name")
                return [
                    ToolCallDelta(
                        position=call.position,
                        id=identity if isinstance(identity, str) else f"call_{call.position}",
                        name=name if isinstance(name, str) else "",
                    )
                ]
        return ()

    def _add_to_block(self, index: int, delta: Mapping[str, Any]) -> Sequence[ChatEvent]:
        match delta.get("type"):
            case "text_delta":
                return _text(delta.get("text"))
            case "thinking_delta":
                return _reasoning(delta.get("thinking"))
            case "signature_delta":
                return self._sign(index, delta.get("signature"))
            case "input_json_delta":
                call, piece = self._calls.get(index), delta.get("partial_json")
                if call is not None and isinstance(piece, str) and piece:
                    call.heard = True
                    return [ToolCallDelta(position=call.position, arguments=piece)]
        return ()

    def _stop_block(self, index: int) -> Sequence[ChatEvent]:
        """A call whose arguments did not come in pieces has them in its start; clients expect at least {}."""
        call = self._calls.get(index)
        if call is None or call.heard:
            return ()
        call.heard = True
        return [ToolCallDelta(position=call.position, arguments=dumps(call.input).decode())]

    def _sign(self, index: int, signature: Any) -> Sequence[ChatEvent]:
        """Only the first thinking block's: an OpenAI message has one reasoning, and two signatures joined are none."""
        if not isinstance(signature, str) or not signature or self._signed not in (None, index):
            return ()
        self._signed = index
        return [Extra(delta={"encrypted_content": signature})]

    def _finish(self, reason: Any) -> Sequence[ChatEvent]:
        if self._finished:
            return ()
        self._finished = True
        unclosed = [event for index in self._calls for event in self._stop_block(index)]
        natural = "tool_calls" if self._calls else "stop"
        return [*unclosed, Finish(_FINISH_REASONS.get(reason, "stop") if isinstance(reason, str) else natural)]


class _Call:
    """A tool call on its way."""

    __slots__ = ("heard", "input", "position")

    def __init__(self, position: int, given: Mapping[str, Any]) -> None:
        self.position = position
        self.input = given
        self.heard = False


class MessageUsage:
    """Adds up what a message says of its tokens. Its input_tokens leaves out what a cache gave or took.

    Counts are cumulative, so they are never summed; one that falls is a fault, and the higher one stands.
    """

    def __init__(self, service_tier: str | None) -> None:
        self._tier = service_tier
        self._fresh: int | None = None
        self._read = 0
        self._written = 0
        self._output: int | None = None
        self._unusable = False
        self._fell = False

    def read_input(self, block: Mapping[str, Any]) -> None:
        """block: {"input_tokens": int, "cache_read_input_tokens"?: int, "cache_creation_input_tokens"?: int}."""
        tier = block.get("service_tier")
        if isinstance(tier, str) and tier:
            self._tier = tier
        fresh = _count(block, "input_tokens")
        if fresh is None:
            self._unusable = self._unusable or "input_tokens" in block
            return
        read = _count(block, "cache_read_input_tokens") or 0
        written = _count(block, "cache_creation_input_tokens") or 0
        before = (self._fresh or 0) + self._read + self._written
        if self._fresh is None or (fresh + read + written, read) >= (before, self._read):
            self._fresh, self._read, self._written = fresh, read, written
        else:
            self._fell = True

    def read_output(self, block: Mapping[str, Any]) -> None:
        """block: {"output_tokens": int}. That of message_start is no count of the answer, and isn't read."""
        output = _count(block, "output_tokens")
        if output is None:
            self._unusable = self._unusable or "output_tokens" in block
        elif self._output is None or output >= self._output:
            self._output = output
        else:
            self._fell = True

    def anomalies(self) -> Sequence[str]:
        found = ("unusable",) if self._unusable and self.so_far() is None else ()
        return (*found, "falling") if self._fell else found

    def so_far(self) -> Usage | None:
        """None if the provider didn't say enough."""
        if self._fresh is None or self._output is None:
            return None
        prompt = self._fresh + self._read + self._written
        reported = {
            "prompt_tokens": prompt,
            "completion_tokens": self._output,
            "total_tokens": prompt + self._output,
            "prompt_tokens_details": {"cached_tokens": self._read},
        }
        return Usage(
            input_tokens=prompt,
            output_tokens=self._output,
            cached_input_tokens=self._read,
            cache_write_tokens=self._written,
            service_tier=self._tier,
            reported=reported,
        )


def _started(message: Mapping[str, Any]) -> Started:
    identity, model = message.get("id"), message.get("model")
    return Started(id=identity if isinstance(identity, str) else None, model=model if isinstance(model, str) else None)


def _text(text: Any) -> Sequence[ChatEvent]:
    return [TextDelta(text)] if isinstance(text, str) and text else ()


def _reasoning(text: Any) -> Sequence[ChatEvent]:
    return [ReasoningDelta(text)] if isinstance(text, str) and text else ()


def _index(values: Mapping[str, Any]) -> int:
    index = values.get("index")
    return index if type(index) is int else 0


def _count(block: Mapping[str, Any], name: str) -> int | None:
    value = block.get(name)
    return value if type(value) is int and 0 <= value <= MOST_TOKENS else None
