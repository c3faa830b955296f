"""What Ark's door of Anthropic's shape sends. `ANSWERS` is for each that has the shape."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from adapters.ark_messages import ArkMessages
from proxy.testkit import CALLS, REASONING, TEXT, Door, Reply, json_reply, stream_reply
from tests.adapters.doors import ark

USAGE = {"input_tokens": 12, "output_tokens": 7}
CACHED = {"input_tokens": 8, "cache_read_input_tokens": 4, "output_tokens": 7}
MESSAGE = {"id": "m-1", "type": "message", "role": "assistant", "model": "m", "stop_sequence": None}

Block = Mapping[str, Any]


def message(*blocks: Block, stop: str = "end_turn", usage: Mapping[str, int] = USAGE) -> Reply:
    return json_reply({**MESSAGE, "content": list(blocks), "stop_reason": stop, "usage": usage})


def event(kind: str, **values: Any) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **values}, ensure_ascii=False)}"


def block(index: int, empty: Block, *deltas: Block) -> list[str]:
    begun = event("content_block_start", index=index, content_block=empty)
    said = [event("content_block_delta", index=index, delta=delta) for delta in deltas]
    return [begun, *said, event("content_block_stop", index=index)]


def begun() -> str:
    start = {**MESSAGE, "content": [], "stop_reason": None, "usage": {**USAGE, "output_tokens": 0}}
    return event("message_start", message=start)


def stream(*blocks: list[str], stop: str = "end_turn", usage: Mapping[str, int] = USAGE) -> Reply:
    said = [line for lines in blocks for line in lines]
    end = event("message_delta", delta={"stop_reason": stop, "stop_sequence": None}, usage=usage)
    return stream_reply(begun(), event("ping"), *said, end, event("message_stop"))


def text(index: int = 0) -> list[str]:
    pieces = (TEXT[:5], TEXT[5:8], TEXT[8:])
    return block(index, {"type": "text", "text": ""}, *({"type": "text_delta", "text": piece} for piece in pieces))


def thinking() -> list[str]:
    pieces = ({"type": "thinking_delta", "thinking": piece} for piece in (REASONING[:9], REASONING[9:]))
    return block(0, {"type": "thinking", "thinking": ""}, *pieces, {"type": "signature_delta", "signature": "c2ln"})


def use(at: int) -> list[str]:
    call = CALLS[at]
    pieces = ({"type": "input_json_delta", "partial_json": piece} for piece in (call.arguments[:9], call.arguments[9:]))
    return block(at, {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}, *pieces)


SAID = {"type": "text", "text": TEXT}
THOUGHT = {"type": "thinking", "thinking": REASONING, "signature": "c2ln"}
USED = [{"type": "tool_use", "id": call.id, "name": call.name, "input": json.loads(call.arguments)} for call in CALLS]

ANSWERS = {
    "text": message(SAID),
    "text_stream": stream(text()),
    "length": message(SAID, stop="max_tokens"),
    "length_stream": stream(text(), stop="max_tokens"),
    "filtered": message(SAID, stop="refusal"),
    "tools": message(*USED, stop="tool_use"),
    "tools_stream": stream(use(0), use(1), stop="tool_use"),
    "tool_results": message(SAID),
    "reasoning": message(THOUGHT, SAID),
    "reasoning_stream": stream(thinking(), text(1)),
    "vision": message(SAID),
    "cached": message(SAID, usage=CACHED),
    "cached_stream": stream(text(), usage=CACHED),
}
CANNOT = {"reasoning_tokens": "a message's usage doesn't tell them from other output"}

DOOR = Door(
    adapter=ArkMessages(),
    upstream_model="doubao-seed-2-0-lite-260428",
    answers={
        **ANSWERS,
        **ark.ERRORS,
        "busy_in_stream": stream_reply(event("error", **ark.fault("ServerOverloaded", "TooManyRequests"))),
        "broken_in_stream": stream_reply(
            begun(), *text()[:2], event("error", **ark.fault("InternalServiceError", "InternalServerError"))
        ),
    },
    cannot=CANNOT,
)
