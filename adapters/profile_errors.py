"""A family's error codes → our errors: busy for a while, or an account that someone must mend.

The code decides, or the type where there is no code; without a rule, OpenAI's mapping of codes and statuses does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from adapters.openai_errors import (
    LONGEST_COOL_DOWN_S,
    Refusal,
    busy,
    failed,
    filtered,
    openai_error,
    overlong,
    refused,
    rejected,
)
from proxy import Remedy, UpstreamError

Kind = Literal["busy", "resting", "failed", "credential", "quota", "model", "filtered", "overlong", "refused"]

_WAIT = re.compile(r"after ([0-9]{1,4}) seconds?\b")


@dataclass(frozen=True, slots=True)
class ErrorRule:
    """What some codes mean. codes: a regular expression of a whole code or type, or of a status as in `HTTP 403`."""

    codes: str
    kind: Kind


def rules(**codes: str) -> tuple[ErrorRule, ...]:
    """A rule for each kind, `kind="code|code"`, in this order."""
    return tuple(ErrorRule(pattern, kind) for kind, pattern in codes.items())  # type: ignore[arg-type]


def error_of(table: Sequence[ErrorRule]) -> Callable[[Refusal], UpstreamError]:
    """The mapping of a family, compiled once."""
    if not table:
        return openai_error
    compiled = [(re.compile(rule.codes), _ANSWERS[rule.kind]) for rule in table]

    def answer(refusal: Refusal) -> UpstreamError:
        told = (refusal.code, refusal.type, f"HTTP {refusal.status}")
        for codes, make in compiled:
            if any(codes.fullmatch(each) for each in told):
                return make(refusal)
        return openai_error(refusal)

    return answer


def unwrapped(members: Sequence[str]) -> Callable[[Any], Any]:
    """Turns a vendor's envelope that tells of an error into OpenAI's, and leaves all else alone.

    Args: members: names of those that tell, out of base_resp ({"status_code", "status_msg"}), error_code (with error_msg)
        and code (with message or msg); a code of 0 tells of none.
    """

    def unwrap(body: Any) -> Any:
        if not isinstance(body, dict) or body.get("error"):
            return body
        for name in members:
            told = body.get(name)
            if name == "base_resp" and isinstance(told, dict):
                code, text = told.get("status_code"), told.get("status_msg")
            else:
                code, text = told, body.get("error_msg") or body.get("message") or body.get("msg")
            if code not in (None, 0, "0", ""):
                return {**body, "error": {"code": code, "message": text}}
        return body

    return unwrap


def _busy(refusal: Refusal) -> UpstreamError:
    """Kimi says how long to wait in words alone."""
    told = _WAIT.search(refusal.text)
    if refusal.retry_after_s is None and told is not None:
        refusal = replace(refusal, retry_after_s=min(float(told[1]), LONGEST_COOL_DOWN_S))
    return busy(refusal, "The provider is limiting the gateway's requests; try again later.")


def _resting(refusal: Refusal) -> UpstreamError:
    seconds = refusal.retry_after_s or LONGEST_COOL_DOWN_S
    return busy(
        replace(refusal, retry_after_s=seconds),
        "The gateway has used up what the provider allows it for a while; try again later.",
    )


_ANSWERS: Mapping[Kind, Callable[[Refusal], UpstreamError]] = {
    "busy": _busy,
    "resting": _resting,
    "failed": failed,
    "credential": lambda refusal: rejected(
        refusal,
        "upstream_auth_failed",
        "The provider refused the gateway's credential; its operator must check the API key, and that it is of this "
        "platform and region.",
    ),
    "quota": lambda refusal: rejected(
        refusal,
        "upstream_quota_exhausted",
        "The gateway's account at the provider is out of money or quota; its operator must top it up there.",
    ),
    "model": lambda refusal: rejected(
        refusal,
        "upstream_model_unavailable",
        "The provider account has no access to this model; the gateway's operator must open it there, or check the "
        "route's model.",
        Remedy.NEXT_ROUTE,
    ),
    "filtered": filtered,
    "overlong": overlong,
    "refused": refused,
}
