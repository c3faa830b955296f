"""A fake of MiniMax's door of Anthropic's shape.

As its OpenAPI says: temperature and top_p are in (0, 1], some fields are ignored without a word, images are for the M3
generation alone, M2.x thinks whatever is asked, and the vendor's code stands in brackets at the end of an error's text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from tests.fakes.faults import Refusal
from tests.fakes.messages import Body, FakeMessages, check_known, check_range, invalid

M3 = "MiniMax-M3"
M2 = "MiniMax-M2.7"
_FIELDS = frozenset(
    {
        *("model", "messages", "max_tokens", "metadata", "stream", "system", "temperature", "thinking", "tool_choice"),
        *("tools", "top_p"),
    }
)
_IGNORED = frozenset({"top_k", "stop_sequences", "service_tier", "mcp_servers", "context_management", "container"})
_KINDS = {"1004": "authorized_error", "1008": "insufficient_balance_error"}


class FakeMiniMax(FakeMessages):
    """Its models are M3 and M2."""

    def thinks(self, body: Body) -> bool:
        return body["model"] == M2 or body.get("thinking", {}).get("type") != "disabled"

    def stops(self, body: Body) -> Sequence[str]:
        return ()

    def check(self, body: Body) -> None:
        check_known(body.keys(), _FIELDS | _IGNORED)
        check_range(body, "temperature", lambda value: 0 < value <= 1)
        check_range(body, "top_p", lambda value: 0 < value <= 1)
        if body["model"] not in (M3, M2):
            raise Refusal(404, "", f"unknown model {body['model']}")
        if body.get("thinking", {}).get("type") not in (None, "adaptive", "disabled"):
            raise invalid("invalid params, thinking.type")
        if body["model"] == M2 and re.search(r"'type': 'image'", str(body["messages"])):
            raise invalid("invalid params, images are not supported")

    def told(self, refusal: Refusal) -> dict[str, Any]:
        error = super().told(refusal)
        if refusal.code.isdigit():
            error["message"] = f"{refusal.message} ({refusal.code})"
        return {**error, "type": _KINDS.get(refusal.code, error["type"])}
