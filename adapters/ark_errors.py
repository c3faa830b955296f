"""Error codes of Volcengine Ark and BytePlus ModelArk → our errors.

The code decides; the message only where one code means several things, and the status where the code is
unknown.
Source: Ark's error page of 2026-08, and errors seen on live accounts.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from email.utils import parsedate_to_datetime

from adapters.error_answers import absent, bad_key, busy_now, unpaid
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

LONGEST_PERIOD_S = 31 * 24 * 3600.0
_RESET = re.compile(r"reset at (\d{4}-\d\d-\d\d)[ T](\d\d:\d\d(?::\d\d)?) ?(Z|[+-]\d\d:?\d\d)", re.IGNORECASE)
_TRY_LATER = re.compile(r"queue|concurren|排队|队列", re.IGNORECASE)


def ark_error(refusal: Refusal) -> UpstreamError:
    """Our error for Ark's, by its code; by its status where the code is unknown or the body empty."""
    for rule in _RULES:
        if rule.codes.fullmatch(refusal.code):
            return rule.answer(refusal)
    return openai_error(refusal)


@dataclass(frozen=True, slots=True)
class _Rule:
    codes: re.Pattern[str]
    answer: Callable[[Refusal], UpstreamError]


def _rule(codes: str, answer: Callable[[Refusal], UpstreamError]) -> _Rule:
    return _Rule(re.compile(codes), answer)


def _day_spent(refusal: Refusal) -> UpstreamError:
    """The tokens of a day are used up; nobody says where that day ends, so it is asked again now and then."""
    message = "The provider's limit of tokens a day is reached; try again later, or ask for a model of another route."
    return busy(replace(refusal, retry_after_s=refusal.retry_after_s or LONGEST_COOL_DOWN_S), message)


def _quota_exceeded(refusal: Refusal) -> UpstreamError:
    """One code for three things: a queue that is full now, a free trial used up, a plan used up."""
    if _TRY_LATER.search(refusal.text):
        return busy(refusal, "The provider's queue is full; try again later.")
    reset_s = _seconds_until_reset(refusal)
    if reset_s is not None:
        message = (
            "The plan of the gateway's account at the provider is used up until its next period; its operator can add a "
            "route that has none."
        )
        return rejected(refusal, "upstream_quota_exhausted", message, Remedy.COOL_DOWN, reset_s)
    return rejected(
        refusal,
        "upstream_quota_exhausted",
        "The free trial or the plan of the gateway's account at the provider is used up; its operator must "
        "turn on paid use there, or wait for the plan's next period.",
    )


def _seconds_until_reset(refusal: Refusal) -> float | None:
    """Until the time that a plan's message names, by the clock of the provider, as there is none here; None: it names none."""
    named = _RESET.search(refusal.text)
    try:
        reset = datetime.fromisoformat(f"{named[1]}T{named[2]}{named[3]}") if named else None
        now = parsedate_to_datetime(refusal.date)
    except ValueError:
        return None
    return None if reset is None else min(max(0.0, (reset - now).total_seconds()), LONGEST_PERIOD_S)


_RULES = (
    _rule(r"OutofContextError", overlong),
    _rule(r"\w*SensitiveContentDetected(\..*)?|(Input|Output)(Text|Image)RiskDetection(\..*)?", filtered),
    _rule(r"ContentSecurityDetectionError|InternalServiceError", failed),
    _rule(
        r"InvalidEndpoint\.ClosedEndpoint",
        absent("The provider's endpoint is stopped; the gateway's operator must start it in the provider's console."),
    ),
    _rule(
        r"ModelNotOpen|OperationDenied\.ServiceNotOpen",
        absent(
            "The provider account has no access to this model; the gateway's operator must open it in the provider's console."
        ),
    ),
    _rule(
        r"InvalidEndpointOrModel\.ModelIDAccessDisabled",
        absent(
            "The provider account may not call models by their id; the gateway's operator must make an "
            "endpoint (ep-…) in the provider's console and name it as the route's model."
        ),
    ),
    _rule(
        r"InvalidEndpointOrModel(\..*)?|UnsupportedModel|NotFound(\..*)?",
        absent(
            "The provider has no such model or endpoint at this entrance; the gateway's operator must check "
            "the route's model and the provider's base_url."
        ),
    ),
    _rule(
        r"AuthenticationError",
        bad_key(
            "The provider refused the gateway's credential; its operator must check the API key and that "
            "base_url is the entrance the key was made for (a key of an Agent Plan works at /api/plan/v3 "
            "alone)."
        ),
    ),
    _rule(
        r"InvalidAccountStatus",
        bad_key("The gateway's account at the provider is blocked; its operator must have it unblocked there."),
    ),
    _rule(
        r"AccessDenied|OperationDenied\.(PermissionDenied|ArkAccessRoleNotFound)",
        bad_key(
            "The gateway's credential lacks a permission at the provider; its operator must grant it in the provider's console."
        ),
    ),
    _rule(
        r"AccountOverdueError|OperationDenied\.ServiceOverdue",
        unpaid("The gateway's account at the provider is overdue; its operator must top it up there."),
    ),
    _rule(
        r"InvalidSubscription",
        unpaid(
            "The gateway's plan at the provider is missing or has expired; its operator must renew it, or "
            "use the base_url without a plan."
        ),
    ),
    _rule(
        r"SetLimitExceeded",
        unpaid("The spending limit set at the provider is reached; the gateway's operator must raise it there."),
    ),
    _rule(r"QuotaExceeded(\..*)?", _quota_exceeded),
    _rule(
        r"OperationDenied\.InvalidState",
        busy_now("The provider is still preparing what this request refers to; try again later."),
    ),
    _rule(r"OperationDenied\.(TosAccessDenied|FileQuotaExceeded|UnsupportedPhase)", refused),
    _rule(
        r"ServerOverloaded|RequestBurstTooFast|ModelLoadingError",
        busy_now("The provider is overloaded, or the gateway's traffic there grew too fast; try again later."),
    ),
    _rule(
        r"InflightBatchsizeExceeded",
        busy_now("The gateway has too many requests at the provider at once; try again later."),
    ),
    _rule(r"RateLimitExceeded\.\w*TPDExceeded", _day_spent),
    _rule(
        r"\w*RateLimitExceeded(\..*)?",
        busy_now("The provider is limiting the gateway's requests; try again later."),
    ),
)
