"""Coze's error codes → our errors.

A code comes with whatever status, mostly 200: in a JSON answer, as an `error` event, or as the last_error of a chat that
failed. So the code alone decides.
Source: Coze's page of error codes, developer_guides/coze_error_codes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

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
)
from proxy import Remedy, UpstreamError


def coze_error(refusal: Refusal) -> UpstreamError:
    """Our error for Coze's. A status of 200 in the refusal becomes what the code stands for."""
    rule = _RULES.get(refusal.code)
    if refusal.status < 400:
        refusal = replace(refusal, status=500 if rule is None else rule.status)
    return openai_error(refusal) if rule is None else rule.answer(refusal)


def waits_no_more(refusal: Refusal) -> UpstreamError:
    """Results came for a chat that does not wait for them, or not at this route."""
    error = refused(
        refusal,
        message="The chat whose tools these results come from no longer waits for them; ask again without them.",
    )
    error.remedy = Remedy.NEXT_ROUTE
    return error


@dataclass(frozen=True, slots=True)
class _Rule:
    status: int
    """What the code stands for where the answer's own status is 200."""
    answer: Callable[[Refusal], UpstreamError]


def _used_up_today(refusal: Refusal) -> UpstreamError:
    error = busy(
        replace(refusal, retry_after_s=LONGEST_COOL_DOWN_S),
        "The bot's uses of today at the provider are used up; try again tomorrow.",
    )
    error.retriable = False
    return error


_TOKEN = bad_key(
    "The provider refused the gateway's token; its operator must check it, and that base_url is the site it was made at."
)

_RULES = {
    "4000": _Rule(400, refused),
    "4001": _Rule(404, waits_no_more),
    "4002": _Rule(404, waits_no_more),
    "4003": _Rule(400, refused),
    "4004": _Rule(400, refused),
    "4005": _Rule(400, refused),
    "4006": _Rule(
        404,
        absent("The provider has no such bot for the gateway's token; check the route's model, the bot's id."),
    ),
    "4007": _Rule(400, refused),
    "4008": _Rule(429, _used_up_today),
    "4009": _Rule(429, busy_now("The provider is overloaded; try again later.")),
    "4010": _Rule(400, overlong),
    "4011": _Rule(402, unpaid("The gateway's account at the provider has no tokens left; its operator must top it up there.")),
    "4012": _Rule(
        404, absent("The model behind the bot is no longer offered; the gateway's operator must give the bot another one.")
    ),
    "4013": _Rule(502, failed),
    "4014": _Rule(400, filtered),
    "4015": _Rule(
        403, absent("The bot is not published as an API; the gateway's operator must publish it so in the provider's console.")
    ),
    "4016": _Rule(409, busy_now("Another chat still runs in this conversation; try again later.")),
    "4019": _Rule(402, unpaid("The gateway's account at the provider is overdue; its operator must top it up there.")),
    "4020": _Rule(429, busy_now("The provider is limiting the gateway's requests; try again later.")),
    "4021": _Rule(
        404,
        absent("The bot's workflow is not configured; the gateway's operator must complete the bot in the provider's console."),
    ),
    "4022": _Rule(402, unpaid("The account of the bot's model is overdue; the gateway's operator must top it up.")),
    "4100": _Rule(401, _TOKEN),
    "700012006": _Rule(401, _TOKEN),
    "4101": _Rule(
        403,
        bad_key("The gateway's token lacks a permission at the provider; its operator must grant it there, chat included."),
    ),
    "4102": _Rule(
        403, bad_key("The provider's risk control blocks the gateway's account; its operator must have it unblocked there.")
    ),
    "4104": _Rule(400, refused),
    "4105": _Rule(400, filtered),
    "4200": _Rule(404, absent("The provider lacks what this bot needs; the gateway's operator must check the route's model.")),
    **{str(code): _Rule(400, refused) for code in range(4300, 4305)},
    "5000": _Rule(500, failed),
}
