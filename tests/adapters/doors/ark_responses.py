"""What Ark's Responses door sends: typed events, and whatever came in deltas once more, whole."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from adapters.ark_responses import ArkResponses
from proxy.testkit import CALLS, REASONING, TEXT, Call, Door, Reply, json_reply, stream_reply
from tests.adapters.doors import ark

USAGE = {"input_tokens": 12, "output_tokens": 7, "total_tokens": 19}
CACHED = {**USAGE, "input_tokens_details": {"cached_tokens": 4}}
REASONED = {**USAGE, "output_tokens_details": {"reasoning_tokens": 3}}
RESPONSE = {"id": "resp_1", "object": "response", "created_at": 1, "model": "m"}
SAID = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
        "content": [{"type": "output_text", "text": TEXT, "annotations": []}]}  # fmt: skip
THOUGHT = {"type": "reasoning", "id": "rs_1", "status": "completed", "summary": [{"type": "summary_text", "text": REASONING}]}

Item = Mapping[str, Any]


def used(call: Call) -> Item:
    about = {"type": "function_call", "id": f"fc_{call.id}", "call_id": call.id, "status": "completed"}
    return {**about, "name": call.name, "arguments": call.arguments}


def ending(stopped: str) -> dict[str, Any]:
    """stopped: "" for an answer that came to its own end, else why it did not."""
    return {"status": "incomplete", "incomplete_details": {"reason": stopped}} if stopped else {"status": "completed"}


def response(*items: Item, stopped: str = "", usage: Mapping[str, Any] = USAGE) -> Reply:
    return json_reply({**RESPONSE, **ending(stopped), "output": list(items), "usage": usage})


def event(kind: str, **values: Any) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **values}, ensure_ascii=False)}"


def begun() -> str:
    return event("response.created", response={**RESPONSE, "status": "in_progress", "output": []})


def told(at: int, item: Item, kind: str, name: str, pieces: Sequence[str]) -> list[str]:
    """An item, its deltas, and once more as a whole."""
    empty = {**item, "status": "in_progress", "content": [], "summary": [], "arguments": ""}
    place = {"item_id": item["id"], "output_index": at, "content_index": 0}
    deltas = [event(f"{kind}.delta", **place, delta=piece) for piece in pieces]
    whole = [
        event(f"{kind}.done", **place, **{name: "".join(pieces)}),
        event("response.output_item.done", output_index=at, item=item),
    ]
    return [event("response.output_item.added", output_index=at, item=empty), *deltas, *whole]


def text(at: int = 0) -> list[str]:
    return told(at, SAID, "response.output_text", "text", (TEXT[:5], TEXT[5:8], TEXT[8:]))


def thinking() -> list[str]:
    return told(0, THOUGHT, "response.reasoning_summary_text", "text", (REASONING[:9], REASONING[9:]))


def call(at: int) -> list[str]:
    arguments = CALLS[at].arguments
    return told(at, used(CALLS[at]), "response.function_call_arguments", "arguments", (arguments[:9], arguments[9:]))


def stream(*items: list[str], stopped: str = "", usage: Mapping[str, Any] = USAGE) -> Reply:
    end = {**RESPONSE, **ending(stopped), "output": [], "usage": usage}
    said = [line for lines in items for line in lines]
    return stream_reply(begun(), *said, event(f"response.{end['status']}", response=end), ended="[DONE]")


def failed(code: str, kind: str) -> str:
    return event("response.failed", response={**RESPONSE, "status": "failed", **ark.fault(code, kind)})


DOOR = Door(
    adapter=ArkResponses(),
    upstream_model="doubao-seed-2-0-lite-260428",
    answers={
        "text": response(SAID),
        "text_stream": stream(text()),
        "length": response(SAID, stopped="length"),
        "length_stream": stream(text(), stopped="length"),
        "filtered": response(SAID, stopped="content_filter"),
        "tools": response(*(used(one) for one in CALLS)),
        "tools_stream": stream(call(0), call(1)),
        "tool_results": response(SAID),
        "reasoning": response(THOUGHT, SAID),
        "reasoning_stream": stream(thinking(), text(1)),
        "vision": response(SAID),
        "cached": response(SAID, usage=CACHED),
        "cached_stream": stream(text(), usage=CACHED),
        "reasoning_tokens": response(THOUGHT, SAID, usage=REASONED),
        **ark.ERRORS,
        "busy_in_stream": stream_reply(begun(), failed("ServerOverloaded", "TooManyRequests")),
        "broken_in_stream": stream_reply(begun(), *text()[:2], failed("InternalServiceError", "InternalServerError")),
    },
)
