"""What a table of a vendor's error codes answers with: each takes our words for it, and makes the error of a refusal."""

from __future__ import annotations

from collections.abc import Callable

from adapters.openai_errors import Refusal, busy, rejected
from proxy import Remedy, UpstreamError

Answer = Callable[[Refusal], UpstreamError]


def bad_key(message: str) -> Answer:
    return lambda refusal: rejected(refusal, "upstream_auth_failed", message)


def absent(message: str) -> Answer:
    return lambda refusal: rejected(refusal, "upstream_model_unavailable", message, Remedy.NEXT_ROUTE)


def unpaid(message: str) -> Answer:
    return lambda refusal: rejected(refusal, "upstream_quota_exhausted", message)


def busy_now(message: str) -> Answer:
    return lambda refusal: busy(refusal, message)
