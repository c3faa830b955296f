"""What DashScope sends: events with a status of their own, "null" until there is a reason, and all counts each time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from adapters.dashscope import DashScope, DashScopeOptions
from proxy.testkit import CALLS, REASONING, TEXT, VENDORS_WORDS, Door, Reply, json_reply, stream_reply

USAGE = {"input_tokens": 12, "output_tokens": 7, "total_tokens": 19}
CACHED = {**USAGE, "prompt_tokens_details": {"cached_tokens": 4}}
REASONED = {**USAGE, "output_tokens_details": {"reasoning_tokens": 3}}
FUNCTIONS = [
    {"index": at, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
    for at, call in enumerate(CALLS)
]

Message = Mapping[str, Any]


def output(message: Message, finish: str, usage: Message) -> dict[str, Any]:
    choice = {"message": {"role": "assistant", "content": "", **message}, "finish_reason": finish}
    return {"output": {"choices": [choice]}, "usage": usage, "request_id": "r-1"}


def answer(message: Message, finish: str = "stop", usage: Message = USAGE) -> Reply:
    return json_reply(output(message, finish, usage))


def event(values: Message, status: int = 200) -> str:
    name = "result" if status == 200 else "error"
    return f"id:1\nevent:{name}\n:HTTP_STATUS/{status}\ndata:{json.dumps(values, ensure_ascii=False)}"


def stream(*messages: Message, finish: str = "stop", usage: Message = USAGE) -> Reply:
    said = [event(output(message, "null", {**usage, "output_tokens": at})) for at, message in enumerate(messages)]
    return stream_reply(*said, event(output({}, finish, usage)))


def piece(at: int, arguments: str) -> Message:
    return {"tool_calls": [{"index": at, "id": "", "type": "function", "function": {"name": "", "arguments": arguments}}]}


def call(at: int) -> list[Message]:
    begun = {**FUNCTIONS[at], "function": {"name": CALLS[at].name, "arguments": ""}}
    return [{"tool_calls": [begun]}, piece(at, CALLS[at].arguments[:9]), piece(at, CALLS[at].arguments[9:])]


def fault(code: str, words: str = VENDORS_WORDS) -> dict[str, Any]:
    return {"code": code, "message": words, "request_id": "r-1"}


def error(status: int, code: str, words: str = VENDORS_WORDS) -> Reply:
    return json_reply(fault(code, words), status)


TEXTS = ({"content": TEXT[:5]}, {"content": TEXT[5:8]}, {"content": TEXT[8:]})
REASONINGS = ({"reasoning_content": REASONING[:9]}, {"reasoning_content": REASONING[9:]})
ANSWERS = {
    "text": answer({"content": TEXT}),
    "text_stream": stream(*TEXTS),
    "length": answer({"content": TEXT}, "length"),
    "length_stream": stream(*TEXTS, finish="length"),
    "filtered": answer({"content": TEXT}, "content_filter"),
    "tools": answer({"tool_calls": FUNCTIONS}, "tool_calls"),
    "tools_stream": stream(*call(0), *call(1), finish="tool_calls"),
    "tool_results": answer({"content": TEXT}),
    "reasoning": answer({"reasoning_content": REASONING, "content": TEXT}),
    "reasoning_stream": stream(*REASONINGS, *TEXTS),
    "vision": answer({"content": TEXT}),
    "cached": answer({"content": TEXT}, usage=CACHED),
    "cached_stream": stream(*TEXTS, usage=CACHED),
    "reasoning_tokens": answer({"reasoning_content": REASONING, "content": TEXT}, usage=REASONED),
    "invalid": error(400, "InvalidParameter"),
    "overlong": error(400, "InvalidParameter", f"Range of input length should be [1, 9]. {VENDORS_WORDS}"),
    "unsafe": error(400, "DataInspectionFailed"),
    "bad_key": error(401, "InvalidApiKey"),
    "forbidden": error(403, "AccessDenied.Unpurchased"),
    "unpaid": error(400, "Arrearage"),
    "no_model": error(404, "Model.NotExist"),
    "busy": error(429, "Throttling.RateQuota"),
    "broken": error(500, "InternalError.Algo"),
    "down": error(503, "ServiceUnavailable"),
    "busy_in_200": error(200, "Throttling"),
    "busy_in_stream": stream_reply(event(fault("Throttling.AllocationQuota"), 429)),
    "broken_in_stream": stream_reply(event(output(TEXTS[0], "null", USAGE)), event(fault("InternalError"), 500)),
}

TEXT_DOOR = Door(adapter=DashScope(), answers=ANSWERS)


def in_parts(reply: Reply) -> Reply:
    """The same where content is a list, as multimodal models have it."""
    body = reply.body.decode()
    for text in (TEXT, *(said["content"] for said in TEXTS), ""):
        said = f'"content": {json.dumps(text, ensure_ascii=False)}'
        body = body.replace(said, f'"content": {json.dumps([{"text": text}] if text else [], ensure_ascii=False)}')
    return Reply(body.encode(), reply.status, reply.headers)


MULTIMODAL_DOOR = Door(
    adapter=DashScope(),
    name="dashscope_multimodal",
    upstream_model="qwen3-vl-plus",
    options=DashScopeOptions(region="intl", workspace="llm-1"),
    answers={name: in_parts(reply) for name, reply in ANSWERS.items()},
)
