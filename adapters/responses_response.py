"""Answers of Ark's Responses door → the events of our answer.

    response.created, response.in_progress,
    (response.output_item.added, deltas of its parts …, response.output_item.done) …,
    response.completed | response.incomplete | response.failed, [DONE]

Events are known by the `type` in their data, and items by their output_index; types that nobody knows yet are passed over. A
stream is complete with one of the three terminal events, and with nothing else: `[DONE]` proves nothing.

What comes in deltas comes once more, whole, with `….done`, with its item and with the response: only the first telling counts.
A reasoning item tells it as a summary or in full; of the two, the one that comes first counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from adapters.ark_errors import ark_error
from adapters.json_members import object_of
from adapters.openai_errors import refusal_of
from adapters.responses_usage import response_usage
from adapters.sse import SseEvent
from proxy import (
    ChatEvent,
    Extra,
    Finish,
    Progress,
    ReasoningDelta,
    Started,
    StreamTruncated,
    TextDelta,
    ToolCallDelta,
    UpstreamError,
    UpstreamProtocolError,
)

_REASONING = {
    "response.reasoning_summary_text": "summary",
    "response.reasoning_text": "content",
    "response.reasoning_raw_text": "raw",
}
_ENDS = {"response.completed": "completed", "response.incomplete": "incomplete", "response.failed": "failed"}


class ResponseReader:
    """Reads one answer, streamed or whole."""

    reported = None
    """Usage comes with the end alone."""

    def __init__(self, asked_tier: str | None = None) -> None:
        """asked_tier: what a provider that doesn't say which tier it served is taken to have served."""
        self.done = False
        self.repeated = None
        self._asked_tier = asked_tier
        self._started = False
        self._items: dict[int, _Item] = {}
        self._calls = 0
        self._sealed = False
        self.anomalies: Sequence[str] = ()

    def comment(self, sse: SseEvent) -> Sequence[ChatEvent]:
        return ()

    def event(self, sse: SseEvent, values: dict[str, Any]) -> Sequence[ChatEvent]:
        kind = values.get("type")
        if not isinstance(kind, str):
            return ()
        if kind in _ENDS:
            events = self._finish(object_of(values.get("response")), _ENDS[kind])
            self.done = True
            return events
        at = _index(values)
        told, _, moment = kind.rpartition(".")
        if told in _REASONING:
            piece = values.get("delta") if moment == "delta" else values.get("text") if moment == "done" else None
            return self._reasoning(at, _REASONING[told], piece, whole=moment == "done")
        match kind:
            case "response.created" | "response.in_progress":
                return self._start(object_of(values.get("response")))
            case "response.output_item.added":
                return self._open(at, object_of(values.get("item")))
            case "response.output_item.done":
                return self._close(at, object_of(values.get("item")))
            case "response.output_text.delta":
                return self._text(at, values.get("delta"))
            case "response.output_text.done":
                return self._text(at, values.get("text"), whole=True)
            case "response.output_text.annotation.added":
                return self._annotate(at, [values.get("annotation")])
            case "response.function_call_arguments.delta":
                return self._arguments(at, values.get("delta"))
            case "response.function_call_arguments.done":
                return self._arguments(at, values.get("arguments"), whole=True)
        return ()

    def end(self, *, said: bool) -> Sequence[ChatEvent]:
        if self.done:
            return ()
        raise StreamTruncated("The provider's stream broke off in the middle of its answer.")

    def whole(self, values: dict[str, Any]) -> Sequence[ChatEvent]:
        output = values.get("output")
        status = values.get("status", "completed")
        if status != "failed" and (not isinstance(output, list) or status not in _ENDS.values()):
            raise UpstreamProtocolError(
                "The provider answered with JSON that is no finished response.", detail=repr(values)[:500]
            )
        events = [*self._start(values)]
        for at, item in enumerate(output or ()):
            events += [*self._open(at, object_of(item)), *self._close(at, object_of(item))]
        return [*events, *self._finish(values, status)]

    def _start(self, response: Mapping[str, Any]) -> Sequence[ChatEvent]:
        if self._started:
            return ()
        self._started = True
        identity, created, model = response.get("id"), response.get("created_at"), response.get("model")
        tier = response.get("service_tier")
        return [
            Started(
                id=identity if isinstance(identity, str) else None,
                created=created if type(created) is int else None,
                model=model if isinstance(model, str) else None,
                fields={"service_tier": tier} if isinstance(tier, str) else {},
            )
        ]

    def _open(self, at: int, item: Mapping[str, Any]) -> Sequence[ChatEvent]:
        opened = self._item(at)
        if item.get("type") != "function_call" or opened.position is not None:
            return ()
        opened.position = self._calls
        opened.given = item.get("arguments")
        self._calls += 1
        identity, name = item.get("call_id"), item.get("name")
        return [
            ToolCallDelta(
                position=opened.position,
                id=identity if isinstance(identity, str) else f"call_{opened.position}",
                name=name if isinstance(name, str) else "",
            )
        ]

    def _close(self, at: int, item: Mapping[str, Any]) -> Sequence[ChatEvent]:
        """An item as a whole: what of it was not told in deltas, and what never is."""
        match item.get("type"):
            case "message":
                parts = _list(item.get("content"))
                cited = [citation for part in parts for citation in _list(part.get("annotations"))]
                return [*self._text(at, _joined(parts), whole=True), *self._annotate(at, cited, whole=True)]
            case "reasoning":
                told = _joined(_list(item.get("summary"))) or _joined(_list(item.get("content")))
                return [*self._reasoning(at, "item", told, whole=True), *self._seal(item.get("encrypted_content"))]
            case "function_call":
                nothing = "" if item.get("status") == "incomplete" else "{}"
                return [*self._open(at, item), *self._arguments(at, item.get("arguments") or nothing, whole=True)]
        return ()

    def _text(self, at: int, text: Any, *, whole: bool = False) -> Sequence[ChatEvent]:
        item = self._item(at)
        if not isinstance(text, str) or not text or (whole and item.told):
            return ()
        item.told = "text"
        return [TextDelta(text)]

    def _reasoning(self, at: int, source: str, text: Any, *, whole: bool) -> Sequence[ChatEvent]:
        item = self._item(at)
        if not isinstance(text, str) or not text or item.told not in ("", source) or (whole and item.told):
            return ()
        item.told = source
        return [ReasoningDelta(text)]

    def _seal(self, sealed: Any) -> Sequence[ChatEvent]:
        """Only the first reasoning's: an OpenAI message has one reasoning, and two seals joined are none."""
        if not isinstance(sealed, str) or not sealed or self._sealed:
            return ()
        self._sealed = True
        return [Extra(delta={"encrypted_content": sealed})]

    def _annotate(self, at: int, citations: Sequence[Any], *, whole: bool = False) -> Sequence[ChatEvent]:
        """Citations of a search, which OpenAI's clients expect one level deeper, beside their type."""
        item = self._item(at)
        found = [
            {"type": "url_citation", "url_citation": {name: value for name, value in citation.items() if name != "type"}}
            for citation in citations
            if isinstance(citation, dict) and citation.get("type") == "url_citation"
        ]
        if not found or (whole and item.cited):
            return ()
        item.cited = True
        return [Extra(delta={"annotations": found})]

    def _arguments(self, at: int, arguments: Any, *, whole: bool = False) -> Sequence[ChatEvent]:
        item = self._item(at)
        if item.position is None or not isinstance(arguments, str) or not arguments or (whole and item.told):
            return ()
        item.told = "arguments"
        return [ToolCallDelta(position=item.position, arguments=arguments)]

    def _item(self, at: int) -> _Item:
        item = self._items.get(at)
        if item is None:
            item = self._items[at] = _Item()
        return item

    def _finish(self, response: Mapping[str, Any], status: str) -> Sequence[ChatEvent]:
        if status == "failed":
            raise _failure(response)
        events = [*self._start(response)]
        if status == "completed":  # a call that nothing more was said of has no arguments, and clients expect {}
            for at, item in self._items.items():
                events += self._arguments(at, item.given or "{}", whole=True)
        usage = response_usage(response, self._asked_tier)
        if response.get("usage") and not usage:
            self.anomalies = ("unusable",)
        return [*events, Finish(self._reason(response, status)), *usage]

    def _reason(self, response: Mapping[str, Any], status: str) -> str:
        if status == "completed":
            return "tool_calls" if self._calls else "stop"
        details = object_of(response.get("incomplete_details"))
        filtered = details.get("reason") == "content_filter" or details.get("content_filter")
        return "content_filter" if filtered else "length"


class _Item:
    """An item of the output on its way."""

    __slots__ = ("cited", "given", "position", "told")

    def __init__(self) -> None:
        self.told = ""
        """What of it has been told in which way, "" if nothing."""
        self.cited = False
        self.position: int | None = None
        """Which tool call it is, None if it is none."""
        self.given: Any = None
        """Arguments that it came with."""


def _failure(response: Mapping[str, Any]) -> UpstreamError:
    """The error of a response that failed, known at the provider by the response's own id."""
    refusal = refusal_of({"error": response.get("error") or "the response failed"}, {})
    identity = response.get("id")
    error = ark_error(replace(refusal, request_id=identity if isinstance(identity, str) else ""))
    error.progress = Progress.HEADERS_ONLY
    return error


def _joined(parts: Sequence[Mapping[str, Any]]) -> str:
    return "".join(text for part in parts if isinstance(text := part.get("text"), str))


def _list(value: Any) -> list[dict[str, Any]]:
    return [part for part in value if isinstance(part, dict)] if isinstance(value, list) else []


def _index(values: Mapping[str, Any]) -> int:
    index = values.get("output_index")
    return index if type(index) is int else 0
