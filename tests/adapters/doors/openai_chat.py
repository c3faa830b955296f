"""What a provider of OpenAI's own dialect sends. `answers` is for each that speaks it, with what it changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.openai_chat import OpenAIChat
from proxy.testkit import CALLS, REASONING, TEXT, VENDORS_WORDS, Door, Reply, json_reply, stream_reply

USAGE = {"prompt_tokens": 12, "completion_tokens": 7, "total_tokens": 19}
CACHED = {**USAGE, "prompt_tokens_details": {"cached_tokens": 4}}
REASONED = {**USAGE, "completion_tokens_details": {"reasoning_tokens": 3}}


def call(at: int, arguments: str) -> dict[str, Any]:
    function = {"name": CALLS[at].name, "arguments": arguments}
    return {"index": at, "id": CALLS[at].id, "type": "function", "function": function}


def completion(message: Mapping[str, Any], finish: str = "stop", usage: Mapping[str, Any] = USAGE) -> Reply:
    """A JSON answer."""
    choice = {"index": 0, "message": {"role": "assistant", "content": None, **message}, "finish_reason": finish}
    return json_reply(
        {"id": "c-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    )


def chunk(delta: Mapping[str, Any], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def chunks(*deltas: Mapping[str, Any], finish: str = "stop", usage: Mapping[str, Any] = USAGE) -> Reply:
    """A stream with these deltas, as OpenAI frames it."""
    first, *others = deltas
    begun = [chunk({"role": "assistant", **first}), *(chunk(delta) for delta in others), chunk({}, finish)]
    return stream_reply(*begun, {**chunk({}), "choices": [], "usage": usage}, ended="[DONE]")


def error(status: int, code: str, kind: str = "invalid_request_error", words: str = VENDORS_WORDS) -> Reply:
    return json_reply({"error": {"message": words, "type": kind, "param": None, "code": code}}, status)


TEXTS = ({"content": TEXT[:5]}, {"content": TEXT[5:8]}, {"content": TEXT[8:]})
REASONINGS = ({"reasoning_content": REASONING[:9]}, {"reasoning_content": REASONING[9:]})
FRAGMENTS = (
    {"tool_calls": [call(0, "")]},
    {"tool_calls": [{"index": 0, "function": {"arguments": CALLS[0].arguments[:4]}}]},
    {"tool_calls": [{"index": 0, "function": {"arguments": CALLS[0].arguments[4:]}}]},
    {"tool_calls": [call(1, CALLS[1].arguments[:9])]},
    {"tool_calls": [{"index": 1, "function": {"arguments": CALLS[1].arguments[9:]}}]},
)
ANSWERS = {
    "text": completion({"content": TEXT}),
    "text_stream": chunks(*TEXTS),
    "length": completion({"content": TEXT}, "length"),
    "length_stream": chunks(*TEXTS, finish="length"),
    "filtered": completion({"content": TEXT}, "content_filter"),
    "tools": completion({"tool_calls": [call(0, CALLS[0].arguments), call(1, CALLS[1].arguments)]}, "tool_calls"),
    "tools_stream": chunks(*FRAGMENTS, finish="tool_calls"),
    "tool_results": completion({"content": TEXT}),
    "reasoning": completion({"reasoning_content": REASONING, "content": TEXT}),
    "reasoning_stream": chunks(*REASONINGS, *TEXTS),
    "vision": completion({"content": TEXT}),
    "cached": completion({"content": TEXT}, usage=CACHED),
    "cached_stream": chunks(*TEXTS, usage=CACHED),
    "reasoning_tokens": completion({"reasoning_content": REASONING, "content": TEXT}, usage=REASONED),
}
ERRORS = {
    "invalid": error(400, "invalid_value"),
    "overlong": error(400, "context_length_exceeded"),
    "unsafe": error(400, "content_filter"),
    "bad_key": error(401, "invalid_api_key"),
    "forbidden": error(403, "permission_denied"),
    "unpaid": error(429, "insufficient_quota", "insufficient_quota"),
    "no_model": error(404, "model_not_found"),
    "busy": error(429, "rate_limit_exceeded", "rate_limit_error"),
    "broken": error(500, "server_error", "server_error"),
    "down": Reply(f"<html>{VENDORS_WORDS}</html>".encode(), 503, {"content-type": "text/html"}),
    "busy_in_200": error(200, "rate_limit_exceeded", "rate_limit_error"),
    "busy_in_stream": stream_reply({"error": {"message": VENDORS_WORDS, "code": "rate_limit_exceeded"}}),
    "broken_in_stream": stream_reply(
        chunk({"role": "assistant", **TEXTS[0]}), {"error": {"message": VENDORS_WORDS, "type": "server_error"}}, ended="[DONE]"
    ),
}

DOOR = Door(adapter=OpenAIChat(), answers={**ANSWERS, **ERRORS})
