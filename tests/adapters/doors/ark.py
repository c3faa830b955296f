"""What Ark sends: OpenAI's dialect with the role in every chunk, no finish_reason until there is one, and codes of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.ark import Ark
from proxy.testkit import TEXT, VENDORS_WORDS, Door, Reply, json_reply, stream_reply
from tests.adapters.doors.openai_chat import ANSWERS, CACHED, FRAGMENTS, REASONINGS, TEXTS, USAGE


def chunk(delta: Mapping[str, Any], **choice: Any) -> dict[str, Any]:
    said = {"delta": {"content": "", **delta, "role": "assistant"}, "index": 0, **choice}
    about = {"created": 1, "id": "0217", "model": "m", "service_tier": "default", "object": "chat.completion.chunk"}
    return {"choices": [said], **about, "usage": None}


def chunks(*deltas: Mapping[str, Any], finish: str = "stop", usage: Mapping[str, Any] = USAGE) -> Reply:
    said = [chunk(delta) for delta in deltas]
    return stream_reply(*said, chunk({}, finish_reason=finish), {**chunk({}), "choices": [], "usage": usage}, ended="[DONE]")


def fault(code: str, kind: str, words: str = VENDORS_WORDS) -> dict[str, Any]:
    return {"error": {"code": code, "message": f"{words} Request id: 0217", "param": "", "type": kind}}


def error(status: int, code: str, kind: str) -> Reply:
    return json_reply(fault(code, kind), status)


ERRORS = {
    "invalid": error(400, "InvalidParameter", "BadRequest"),
    "overlong": error(400, "OutofContextError", "BadRequest"),
    "unsafe": error(400, "InputTextSensitiveContentDetected", "BadRequest"),
    "bad_key": error(401, "AuthenticationError", "Unauthorized"),
    "forbidden": error(403, "AccessDenied", "Forbidden"),
    "unpaid": error(403, "AccountOverdueError", "Forbidden"),
    "no_model": error(404, "InvalidEndpointOrModel.NotFound", "NotFound"),
    "busy": error(429, "ModelAccountRpmRateLimitExceeded", "TooManyRequests"),
    "broken": error(500, "InternalServiceError", "InternalServerError"),
    "down": Reply(VENDORS_WORDS.encode(), 503, {"content-type": "text/plain"}),
    "busy_in_200": error(200, "ServerOverloaded", "TooManyRequests"),
    "busy_in_stream": stream_reply(fault("ServerOverloaded", "TooManyRequests")),
    "broken_in_stream": stream_reply(
        chunk({"content": TEXT[:5]}), fault("InternalServiceError", "InternalServerError"), ended="[DONE]"
    ),
}

DOOR = Door(
    adapter=Ark(),
    upstream_model="doubao-seed-2-0-lite-260215",
    answers={
        **ANSWERS,
        **ERRORS,
        "text_stream": chunks(*TEXTS),
        "length_stream": chunks(*TEXTS, finish="length"),
        "tools_stream": chunks(*FRAGMENTS, finish="tool_calls"),
        "reasoning_stream": chunks(*REASONINGS, *TEXTS),
        "cached_stream": chunks(*TEXTS, usage=CACHED),
    },
)
