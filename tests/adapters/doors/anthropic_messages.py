"""What a vendor with Anthropic's shape sends: its answers, and errors by their type."""

from __future__ import annotations

from typing import Any

from adapters.anthropic_messages import AnthropicMessages
from proxy.testkit import VENDORS_WORDS, Door, Reply, json_reply, stream_reply
from tests.adapters.doors.ark_messages import ANSWERS, CANNOT, begun, event, text


def fault(kind: str, words: str = VENDORS_WORDS) -> dict[str, Any]:
    return {"error": {"type": kind, "message": words}, "request_id": "req_1"}


def error(status: int, kind: str, words: str = VENDORS_WORDS) -> Reply:
    return json_reply({"type": "error", **fault(kind, words)}, status)


DOOR = Door(
    adapter=AnthropicMessages(),
    answers={
        **ANSWERS,
        "invalid": error(400, "invalid_request_error"),
        "overlong": error(400, "invalid_request_error", f"prompt is too long: {VENDORS_WORDS}"),
        "bad_key": error(401, "authentication_error"),
        "forbidden": error(403, "permission_error"),
        "unpaid": error(402, "billing_error"),
        "no_model": error(404, "not_found_error"),
        "busy": error(429, "rate_limit_error"),
        "broken": error(500, "api_error"),
        "down": error(529, "overloaded_error"),
        "busy_in_200": error(200, "rate_limit_error"),
        "busy_in_stream": stream_reply(event("error", **fault("rate_limit_error"))),
        "broken_in_stream": stream_reply(begun(), *text()[:2], event("error", **fault("api_error"))),
    },
    cannot={**CANNOT, "unsafe": "Anthropic has no code for it: an answer ends with the reason `refusal`"},
)
