"""What a provider of OpenAI's dialect refuses, and our words for it.

Of what it wrote, clients see short codes and the name of a parameter alone.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from adapters.openai_answer import read_usage
from proxy import (
    Remedy,
    UpstreamBusy,
    UpstreamError,
    UpstreamFailed,
    UpstreamRefused,
    UpstreamRejectedUs,
    Usage,
    header,
)

DEFAULT_COOL_DOWN_S = 5.0
LONGEST_COOL_DOWN_S = 120.0
_LOGGED_CHARACTERS = 500

_SHORT = re.compile(r"[A-Za-z0-9_.:/\[\]-]{1,100}")
_STATUS = re.compile(r"[45][0-9]{2}")
_SECONDS = re.compile(r"[0-9]{1,18}(\.[0-9]*)?")
_OVERLONG = re.compile(
    r"maximum context length|context[ _](length|window)[ _]exceeded|exceeds? the context window|prompt is too long",
    re.IGNORECASE,
)

_CONTEXT_CODES = frozenset({"contextlengthexceeded", "stringabovemaxlength"})
_FILTER_CODES = frozenset(
    {
        "contentfilter",
        "contentpolicyviolation",
        "responsibleaipolicyviolation",
        "datainspectionfailed",
        "sensitive",
    }
)
_QUOTA_CODES = frozenset({"insufficientquota", "billinghardlimitreached", "insufficientbalance", "insufficientuserquota"})
_STATUS_OF_NAME = {
    "badrequest": 400,
    "invalidrequesterror": 400,
    "invalidparameter": 400,
    "authenticationerror": 401,
    "invalidapikey": 401,
    "unauthorized": 401,
    "insufficientquota": 402,
    "billingerror": 402,
    "permissionerror": 403,
    "permissiondenied": 403,
    "forbidden": 403,
    "modelnotfound": 404,
    "notfound": 404,
    "notfounderror": 404,
    "requesttoolarge": 413,
    "ratelimiterror": 429,
    "ratelimitexceeded": 429,
    "toomanyrequests": 429,
    "overloadederror": 529,
}
"""For errors that come inside a 200; anything else counts as a failure of the provider, 500."""

_STATUS_OF_CODE = {"invalidapikey": 401, "modelnotfound": 404}
"""Codes that relays send with other statuses (400, 503) too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An error as a provider told it."""

    status: int
    """Of the answer or, where that was 200, what the error stands for."""
    code: str = ""
    type: str = ""
    param: str | None = None
    text: str = ""
    """The provider's own words, for the log only."""
    request_id: str = ""
    retry_after_s: float | None = None
    date: str = ""
    """The answer's own Date: what time it is for the provider."""
    usage: Usage | None = None
    """What it cost all the same."""

    def upstream(self) -> dict[str, Any]:
        """What a client may know of it; a code that doesn't look like one is left out."""
        return {"status": self.status, "code": _short(self.code), "request_id": _short(self.request_id)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorForm:
    """How a vendor writes its errors, where that is not as OpenAI does."""

    unwrap: Callable[[Any], Any] | None = None
    """An error's body, or any body under 200, → the same with `error`, if it tells of one in another way."""
    request_id_headers: tuple[str, ...] = ()
    """Looked at before OpenAI's."""
    request_id_members: tuple[str, ...] = ()
    """Of the body or of its error, where no header tells."""
    retry_after_member: str = ""
    """Of the error: seconds to wait, where no header tells."""
    event_status: re.Pattern[bytes] | None = None
    """What tells, in the bytes of an event with an error, the status that it would have had: its first group."""


OPENAI_FORM = ErrorForm()


def read_refusal(status: int, headers: Mapping[str, str], body: bytes, form: ErrorForm = OPENAI_FORM) -> Refusal:
    """Read an error answer: OpenAI's object, a string, FastAPI's `detail`, HTML, or nothing."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        value = body.decode(errors="replace")
    return refusal_of(form.unwrap(value) if form.unwrap else value, headers, status, form)


def refusal_of(
    value: Any, headers: Mapping[str, str], status: int | None = None, form: ErrorForm = OPENAI_FORM
) -> Refusal:
    """Read an error out of JSON, unwrapped. status None: it came inside a 200, so the error itself must tell."""
    if isinstance(value, list) and value:
        value = value[0]
    error = value
    if isinstance(value, dict):
        # An object with a code is the error itself, whatever details it has beside.
        error = value.get("error") or ("code" not in value and value.get("detail")) or value
    if isinstance(error, list) and error:
        error = error[0]
    fields = error if isinstance(error, dict) else {}
    code = _name(fields.get("code"))
    kind = _name(fields.get("type"))
    text = fields.get("message") if isinstance(fields.get("message"), str) else None
    param = fields.get("param")
    return Refusal(
        status=status if status is not None else _status_told(fields, code, kind),
        code=code or kind,
        type=kind,
        param=_short(param) or None if isinstance(param, str) else None,
        text=(text or _text_of(error))[:_LOGGED_CHARACTERS],
        request_id=header(headers, *form.request_id_headers, "x-request-id", "request-id")
        or _member(value, fields, form.request_id_members),
        retry_after_s=_wait_told(headers, fields.get(form.retry_after_member)),
        date=header(headers, "date"),
        usage=read_usage(value.get("usage")) if isinstance(value, dict) else None,
    )


def openai_error(refusal: Refusal) -> UpstreamError:
    """Our error for a provider's, by its code first and then by its status."""
    told = {_plain(refusal.code), _plain(refusal.type)}
    if told & _QUOTA_CODES or refusal.status == 402:
        return rejected(
            refusal,
            "upstream_quota_exhausted",
            "The gateway's account at the provider is out of quota; its operator must top it up.",
        )
    match next((_STATUS_OF_CODE[name] for name in told if name in _STATUS_OF_CODE), refusal.status):
        case 401 | 403:
            return rejected(
                refusal,
                "upstream_auth_failed",
                "The provider refused the gateway's credential; its operator must check the API key and base_url.",
            )
        case 404 | 410:
            return rejected(
                refusal,
                "upstream_model_unavailable",
                "The provider does not offer this model; the gateway's operator must check the route's model and base_url.",
                Remedy.NEXT_ROUTE,
            )
        case 408 | 425 | 429:
            return busy(refusal, "The provider is limiting the gateway's requests; try again later.")
        case 451:
            return filtered(refusal)
        case 413:
            return refused(refusal, "upstream_invalid_request", "The provider refused this request as too large.")
        case 400 | 409 | 422:
            if told & _FILTER_CODES:
                return filtered(refusal)
            if told & _CONTEXT_CODES or _OVERLONG.search(refusal.text):
                return overlong(refusal)
            return refused(refusal)
        case status if status >= 500:
            return failed(refusal)
    return UpstreamError(
        "The provider does not take requests this way; the gateway's operator must check base_url.",
        upstream=refusal.upstream(),
        detail=refusal.text,
    )


def refused(
    refusal: Refusal,
    code: str = "upstream_invalid_request",
    message: str = "The provider refused this request as invalid.",
) -> UpstreamRefused:
    """The request is at fault, on any route."""
    if refusal.param:
        message = f"{message} It names the parameter {refusal.param!r}."
    return UpstreamRefused(message, code=code, param=refusal.param, upstream=refusal.upstream(), detail=refusal.text)


def filtered(refusal: Refusal) -> UpstreamRefused:
    return refused(refusal, "content_filter", "The provider's content filter refused this request.")


def overlong(refusal: Refusal) -> UpstreamRefused:
    message = "The messages and the output asked for are longer than the model's context; shorten them."
    return refused(refusal, "context_length_exceeded", message)


def rejected(
    refusal: Refusal,
    code: str,
    message: str,
    remedy: Remedy = Remedy.BAD_CREDENTIAL,
    retry_after_s: float | None = None,
) -> UpstreamRejectedUs:
    """The operator's account is at fault; retry_after_s: until then, if it mends by itself."""
    return UpstreamRejectedUs(
        message,
        code=code,
        remedy=remedy,
        retry_after_s=retry_after_s,
        upstream=refusal.upstream(),
        detail=refusal.text,
    )


def busy(refusal: Refusal, message: str) -> UpstreamBusy:
    seconds = refusal.retry_after_s if refusal.retry_after_s is not None else DEFAULT_COOL_DOWN_S
    return UpstreamBusy(message, retry_after_s=seconds, upstream=refusal.upstream(), detail=refusal.text)


def failed(refusal: Refusal) -> UpstreamFailed:
    return UpstreamFailed(
        "The provider failed to answer this request.",
        retry_after_s=refusal.retry_after_s,
        upstream=refusal.upstream(),
        detail=refusal.text,
    )


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that the provider wants to be left alone, at most LONGEST_COOL_DOWN_S. None: it says nothing we can use.

    A date counts from the answer's own Date header, as there is no clock here.
    """
    milliseconds = header(headers, "retry-after-ms").strip()
    text = header(headers, "retry-after").strip()
    if _SECONDS.fullmatch(milliseconds):
        seconds = float(milliseconds) / 1000
    elif _SECONDS.fullmatch(text):
        seconds = float(text)
    else:
        seconds = _seconds_between(header(headers, "date"), text)
    return min(seconds, LONGEST_COOL_DOWN_S) if seconds >= 0 else None


def _wait_told(headers: Mapping[str, str], told: Any) -> float | None:
    seconds = retry_after_s(headers)
    if seconds is not None or type(told) not in (int, float) or told < 0:
        return seconds
    return min(float(told), LONGEST_COOL_DOWN_S)


def _member(value: Any, fields: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """The first of these members that the error or the body around it has."""
    around = value if isinstance(value, dict) else {}
    return next((_name(found[name]) for found in (fields, around) for name in names if found.get(name)), "")


def _seconds_between(earlier: str, later: str) -> float:
    try:
        return (parsedate_to_datetime(later) - parsedate_to_datetime(earlier)).total_seconds()
    except (ValueError, TypeError):  # no date, or one with and one without a zone
        return -math.inf


def _status_told(fields: Mapping[str, Any], code: str, kind: str) -> int:
    for told in (fields.get("status"), fields.get("status_code"), fields.get("code")):
        if _STATUS.fullmatch(_name(told)):
            return int(_name(told))
    names = (_plain(code), _plain(kind))
    if _CONTEXT_CODES.intersection(names) or _FILTER_CODES.intersection(names):
        return 400
    return next((_STATUS_OF_NAME[name] for name in names if name in _STATUS_OF_NAME), 500)


def _text_of(error: Any) -> str:
    if isinstance(error, str):
        return error
    return json.dumps(error) if error else ""


def _name(value: Any) -> str:
    return str(value) if isinstance(value, str) or type(value) is int else ""


def _plain(name: str) -> str:
    """invalid_request_error, InvalidRequestError and invalid-request-error are one name."""
    return "".join(filter(str.isalnum, name)).lower()


def _short(text: str) -> str:
    return text if _SHORT.fullmatch(text) else ""
