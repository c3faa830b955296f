"""What MiniMax's door of Anthropic's shape sends: errors have the vendor's own code at the end of their text."""

from __future__ import annotations

from typing import Any

from adapters.minimax_messages import MiniMaxMessages
from proxy.testkit import VENDORS_WORDS, Door, Reply, json_reply, stream_reply
from tests.adapters.doors.ark_messages import ANSWERS, CANNOT, begun, event, text


def fault(kind: str, code: int) -> dict[str, Any]:
    return {"error": {"type": kind, "message": f"{VENDORS_WORDS} ({code})"}, "request_id": "0456"}


def error(status: int, kind: str, code: int) -> Reply:
    return json_reply({"type": "error", **fault(kind, code)}, status)


DOOR = Door(
    adapter=MiniMaxMessages(),
    upstream_model="MiniMax-M3",
    answers={
        **ANSWERS,
        "invalid": error(400, "invalid_request_error", 2013),
        "unsafe": error(400, "invalid_request_error", 1026),
        "bad_key": error(401, "authorized_error", 1004),
        "forbidden": error(403, "permission_error", 2061),
        "unpaid": error(429, "insufficient_balance_error", 1008),
        "no_model": json_reply({"type": "error", "error": {"type": "not_found_error", "message": VENDORS_WORDS}}, 404),
        "busy": error(429, "rate_limit_error", 1002),
        "broken": error(500, "api_error", 1033),
        "down": error(529, "overloaded_error", 1000),
        "busy_in_200": json_reply({"base_resp": {"status_code": 1041, "status_msg": VENDORS_WORDS}}),
        "busy_in_stream": stream_reply(event("error", **fault("rate_limit_error", 1039))),
        "broken_in_stream": stream_reply(begun(), *text()[:2], event("error", **fault("api_error", 1013))),
    },
    cannot={**CANNOT, "overlong": "its papers name no code of its own for a prompt that is too long"},
)
