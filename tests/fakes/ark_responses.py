"""`POST /api/v3/responses` of the fake Ark: a strict request, a JSON answer, and events in the order that was captured live."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from tests.fakes.answers import Answer, Ask, Speech, Token, compose, count_prompt, speak, text_of
from tests.fakes.ark_chat import call_id, sealed, thinks
from tests.fakes.ark_checks import required, without_nulls
from tests.fakes.ark_door import ArkDoor, check_door
from tests.fakes.ark_responses_checks import check_responses, input_items
from tests.fakes.faults import Refusal
from tests.fakes.server import DONE, Event, Meter, Received, Reply

_DEFAULT_MAX_OUTPUT = 32768
_KEPT_S = 259200
CITATION = {"type": "url_citation", "title": "Weather", "url": "https://example.com/weather", "site_name": "Example"}
"""What a web search finds."""


class ArkResponses(ArkDoor):
    def answer(self, received: Received) -> Reply:
        body = without_nulls(required(received.body, "model", "input"))
        model_id, model = self.ark.resolve(body["model"])
        check_door(model_id, model.responds)
        searches = received.headers.get("ark-beta-web-search") == "true"
        check_responses(body, model, hears=self.ark.hears, searches=searches)
        ask = _asked(body)
        said = self.ark.answer or (_translate(body) if model.translates else compose(ask))
        if not thinks(body | {"reasoning_effort": body.get("reasoning", {}).get("effort")}, model):
            said = replace(said, reasoning="")
        speech = speak(said, total_cap=body.get("max_output_tokens", _DEFAULT_MAX_OUTPUT))
        cached = min(self.ark.cached_tokens, ask.prompt_tokens)
        shape = _Shape(
            id=received.id,
            created=int(self.ark.now()),
            model_id=model_id,
            body=body,
            seals=model.encrypts and "reasoning.encrypted_content" in body.get("include", []),
            searched="web_search" in {tool["type"] for tool in body.get("tools", [])} and "search" in ask.last_user,
            prompt_tokens=ask.prompt_tokens,
            cached_tokens=cached,
        )
        meter = Meter(model=model_id, prompt=ask.prompt_tokens, cached=cached)
        if body.get("stream"):
            return Reply(events=shape.events(speech), meter=meter)
        meter.completion = len(speech.tokens)
        return Reply(body=shape.whole(speech), meter=meter)

    def error_event(self, refusal: Refusal, received: Received) -> bytes:
        message = f"{refusal.message} Request id: {received.id}"
        if self.ark.fails_by_event == "response.failed":
            error = {"code": refusal.code, "message": message}
            response = {"id": f"resp_{received.id}", "object": "response", "status": "failed", "error": error}
            return _frame({"type": "response.failed", "response": response, "sequence_number": 99})
        flat = {"code": refusal.code, "message": message, "param": refusal.param}
        return _frame({"type": "error", **flat, "sequence_number": 99})


def _asked(body: Mapping[str, Any]) -> Ask:
    items = input_items(body)
    functions = [tool for tool in body.get("tools", []) if tool["type"] == "function"]
    choice = body.get("tool_choice", "auto")
    wanted = body.get("text", {}).get("format", {})
    users = [text_of(item.get("content")) for item in items if item.get("role") == "user"]
    results = []
    for item in reversed(items):
        if item.get("type") != "function_call_output":
            break
        results.insert(0, text_of(item.get("output")))
    return Ask(
        last_user=users[-1] if users else "",
        tool_results=tuple(results),
        tools={tool["name"]: tool.get("parameters", {}) for tool in functions},
        choice=choice if isinstance(choice, str) else choice["name"],
        parallel=body.get("parallel_tool_calls", True),
        wants_json=wanted.get("type") == "json_object",
        schema=wanted.get("schema"),
        prompt_tokens=count_prompt([_as_message(item) for item in items], functions),
    )


def _as_message(item: Mapping[str, Any]) -> dict[str, Any]:
    match item.get("type", "message"):
        case "function_call":
            return {"tool_calls": [{"function": {"arguments": item.get("arguments", "")}}]}
        case "function_call_output":
            return {"content": item.get("output")}
        case "reasoning":
            return {"reasoning_content": text_of(item.get("summary"))}
    return {"content": item.get("content")}


def _translate(body: Mapping[str, Any]) -> Answer:
    [part] = body["input"][0]["content"]
    options = part["translation_options"]
    return Answer(text=f"{options.get('source_language', 'auto')} to {options['target_language']}: {part['text']}")


@dataclass(frozen=True, kw_only=True)
class _Shape:
    """What all parts of one answer have in common."""

    id: str
    created: int
    model_id: str
    body: Mapping[str, Any]
    seals: bool
    """Reasoning comes in encrypted form too."""
    searched: bool
    """A web search goes before the text, which cites what it found."""
    prompt_tokens: int
    cached_tokens: int

    def whole(self, speech: Speech) -> dict[str, Any]:
        items = [self._item(speech, kind, position) for kind, position in self._plan(speech)]
        return self._ended(speech, items)

    def events(self, speech: Speech) -> Iterator[Event]:
        for number, (data, tokens) in enumerate(self._story(speech)):
            yield Event(_frame({**data, "sequence_number": number}), tokens)
        yield Event(DONE)

    def _story(self, speech: Speech) -> Iterator[tuple[dict[str, Any], int]]:
        yield {"type": "response.created", "response": self._head()}, 0
        yield {"type": "response.in_progress", "response": {**self._head(), "status": "in_progress"}}, 0
        items = []
        for at, (kind, position) in enumerate(self._plan(speech)):
            item = self._item(speech, kind, position)
            tokens = [t for t in speech.tokens if (t.kind, t.position) == (kind, position)]
            where = {"item_id": item["id"], "output_index": at}
            bare = {name: item[name] for name in ("id", "type", "role", "call_id", "name") if name in item}
            empty = {"message": {"content": []}, "function_call": {"arguments": ""}, "reasoning": {"summary": []}}
            begun = {**bare, **empty.get(item["type"], {}), "status": "in_progress"}
            yield {"type": "response.output_item.added", "output_index": at, "item": begun}, kind == "call"
            for data, count in self._inner(item, tokens):
                yield {**data, **where}, count
            yield {"type": "response.output_item.done", "output_index": at, "item": item}, 0
            items.append(item)
        ended = self._ended(speech, items)
        yield {"type": f"response.{ended['status']}", "response": ended}, 0

    def _inner(self, item: Mapping[str, Any], tokens: Sequence[Token]) -> Iterator[tuple[dict[str, Any], int]]:
        """What happens between an item's beginning and its end."""
        match item["type"]:
            case "reasoning":
                [part] = item["summary"]
                yield from _told("response.reasoning_summary", "_part", "_text", "summary_index", part, tokens)
            case "message":
                [part] = item["content"]
                cited = [
                    {"type": "response.output_text.annotation.added", "content_index": 0, "annotation": annotation}
                    for annotation in part.get("annotations", [])
                ]
                yield from _told("response.", "content_part", "output_text", "content_index", part, tokens, cited)
            case "function_call":
                name = "response.function_call_arguments"
                for token in tokens[1:]:
                    yield {"type": f"{name}.delta", "delta": token.text}, 1
                yield {"type": f"{name}.done", "arguments": item["arguments"]}, 0
            case "web_search_call":
                for moment in ("in_progress", "searching", "completed"):
                    yield {"type": f"response.web_search_call.{moment}"}, 0

    def _plan(self, speech: Speech) -> list[tuple[str, int]]:
        """(kind of token, which tool call) of each item, in order."""
        plan = [key for key, _ in groupby(speech.tokens, lambda token: (token.kind, token.position))]
        if self.searched:
            at = next((at for at, (kind, _) in enumerate(plan) if kind != "reasoning"), len(plan))
            plan.insert(at, ("search", 0))
        return plan or [("text", 0)]

    def _item(self, speech: Speech, kind: str, position: int) -> dict[str, Any]:
        last = speech.tokens[-1] if speech.tokens else Token("text", "")
        cut = speech.finish == "length" and (last.kind, last.position) == (kind, position)
        status = "incomplete" if cut else "completed"
        match kind:
            case "reasoning":
                thought = speech.joined("reasoning")
                item = {"id": f"rs_{self.id}", "type": "reasoning", "status": status}
                item["summary"] = [{"type": "summary_text", "text": thought}]
                return {**item, "encrypted_content": sealed(thought)} if self.seals else item
            case "text":
                part: dict[str, Any] = {"type": "output_text", "text": speech.joined("text")}
                if self.searched:
                    part["annotations"] = [CITATION]
                item = {"id": f"msg_{self.id}", "type": "message", "role": "assistant", "status": status}
                return {**item, "content": [part]}
            case "search":
                action = {"type": "search", "query": "weather"}
                return {"id": f"ws_{self.id}", "type": "web_search_call", "status": "completed", "action": action}
        call = {"type": "function_call", "call_id": call_id(self.id, 0, position), "status": status}
        call |= {"name": speech.answer.tool_calls[position].name, "arguments": speech.joined("call", position)}
        return {**call, "id": f"fc_{self.id}{position}"}

    def _head(self) -> dict[str, Any]:
        tier = self.body.get("service_tier", "auto")
        head = {
            "created_at": self.created,
            "id": f"resp_{self.id}",
            "max_output_tokens": self.body.get("max_output_tokens", _DEFAULT_MAX_OUTPUT),
            "model": self.model_id,
            "object": "response",
            "service_tier": "default" if tier == "auto" else tier,
            "caching": {"type": "disabled"},
            "store": self.body.get("store", True),
        }
        return {**head, "expire_at": self.created + _KEPT_S} if head["store"] else head

    def _ended(self, speech: Speech, items: list[dict[str, Any]]) -> dict[str, Any]:
        ended = {**self._head(), "output": items, "status": "completed", "usage": self._usage(speech)}
        if speech.finish == "length":
            ended |= {"status": "incomplete", "incomplete_details": {"reason": "length"}}
        return ended

    def _usage(self, speech: Speech) -> dict[str, Any]:
        output = len(speech.tokens)
        usage: dict[str, Any] = {
            "input_tokens": self.prompt_tokens,
            "output_tokens": output,
            "total_tokens": self.prompt_tokens + output,
            "input_tokens_details": {"cached_tokens": self.cached_tokens},
            "output_tokens_details": {"reasoning_tokens": speech.reasoning_tokens},
        }
        if self.searched:
            usage |= {"tool_usage": {"web_search": 1}, "tool_usage_details": {"web_search": {"search_engine": 1}}}
        return usage


def _told(
    prefix: str,
    part_name: str,
    text_name: str,
    index: str,
    part: Mapping[str, Any],
    tokens: Sequence[Token],
    between: Sequence[dict[str, Any]] = (),
) -> Iterator[tuple[dict[str, Any], int]]:
    """A part that is told in deltas, then once more as a text, then once more as a part."""
    where = {index: 0}
    yield {"type": f"{prefix}{part_name}.added", **where, "part": {"type": part["type"], "text": ""}}, 0
    for token in tokens:
        yield {"type": f"{prefix}{text_name}.delta", **where, "delta": token.text}, 1
    for data in between:
        yield data, 0
    yield {"type": f"{prefix}{text_name}.done", **where, "text": part["text"]}, 0
    yield {"type": f"{prefix}{part_name}.done", **where, "part": part}, 0


def _frame(data: Mapping[str, Any]) -> bytes:
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"event: {data['type']}\ndata: {text}\n\n".encode()
