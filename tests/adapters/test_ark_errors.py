from __future__ import annotations

import orjson
import pytest

from adapters.ark import ARK
from adapters.openai_chat import exchange as open_exchange
from adapters.openai_chat import post
from proxy import (
    Exchange,
    Remedy,
    UpstreamBusy,
    UpstreamError,
    UpstreamFailed,
    UpstreamRefused,
    UpstreamRejectedUs,
)
from tests.adapters.dialect import JSON, chat, hear, three_ways


def exchange() -> Exchange:
    return open_exchange(post("/chat/completions", {}, stream=True), chat(), ARK)


def failed(status: int, code: str, message: str = "m", *, kind: str = "BadRequest", date: str = "") -> UpstreamError:
    body = orjson.dumps({"error": {"code": code, "message": message, "param": "", "type": kind}})
    told = three_ways(exchange, body, status=status, headers={**JSON, "date": date})
    assert told.fault is not None
    return told.fault


REQUEST = (UpstreamRefused, "upstream_invalid_request", Remedy.NEVER)
CONTEXT = (UpstreamRefused, "context_length_exceeded", Remedy.NEVER)
FILTER = (UpstreamRefused, "content_filter", Remedy.NEVER)
SERVER = (UpstreamFailed, "upstream_error", Remedy.RETRY)
MODEL = (UpstreamRejectedUs, "upstream_model_unavailable", Remedy.NEXT_ROUTE)
CREDENTIAL = (UpstreamRejectedUs, "upstream_auth_failed", Remedy.BAD_CREDENTIAL)
QUOTA = (UpstreamRejectedUs, "upstream_quota_exhausted", Remedy.BAD_CREDENTIAL)
BUSY = (UpstreamBusy, "upstream_rate_limited", Remedy.COOL_DOWN)
SEEN = ("Text", "Image", "Video", "Audio")

TABLE: list[tuple[int, tuple[type, str, Remedy], list[str]]] = [
    (
        400,
        REQUEST,
        [
            "MissingParameter",
            "MissingParameter.messages",
            "InvalidParameter",
            "InvalidParameter.max_tokens",
            "InvalidParameter.UnsupportedParameter",
            "InvalidParameter.TosURLInvalid",
            "InvalidParameter.PreviousResponseNotFound",
            "InvalidParameter.TaskTypeConstraint",
            "InvalidParameter.TaskTypeMismatch",
            "Duplicate.Tags.Key",
            "InvalidArgumentError",
            "InvalidArgumentError.UnknownRole",
            "InvalidArgumentError.InvalidImageDetail",
            "InvalidArgumentError.InvalidPixelLimit",
            "InvalidImageURL.EmptyURL",
            "InvalidImageURL.InvalidFormat",
        ],
    ),
    (400, CONTEXT, ["OutofContextError"]),
    (400, MODEL, ["InvalidEndpoint.ClosedEndpoint"]),
    (
        400,
        FILTER,
        [
            "SensitiveContentDetected",
            "SensitiveContentDetected.SevereViolation",
            "SensitiveContentDetected.Violence",
            *(f"Input{kind}SensitiveContentDetected" for kind in SEEN),
            "InputTextSensitiveContentDetected.PolicyViolation",
            "InputImageSensitiveContentDetected.PrivacyInformation",
            *(f"Output{kind}SensitiveContentDetected" for kind in SEEN),
            "OutputTextSensitiveContentDetected.PolicyViolation",
            "OutputVideoSensitiveContentDetected.DeepFake",
            "InputTextRiskDetection",
            "InputImageRiskDetection",
            "OutputTextRiskDetection",
            "OutputImageRiskDetection",
        ],
    ),
    (400, SERVER, ["ContentSecurityDetectionError"]),
    (400, QUOTA, ["InvalidSubscription"]),
    (401, CREDENTIAL, ["AuthenticationError", "InvalidAccountStatus"]),
    (403, QUOTA, ["AccountOverdueError", "OperationDenied.ServiceOverdue"]),
    (403, CREDENTIAL, ["AccessDenied", "OperationDenied.PermissionDenied", "OperationDenied.ArkAccessRoleNotFound"]),
    (403, MODEL, ["OperationDenied.ServiceNotOpen"]),
    (
        403,
        REQUEST,
        ["OperationDenied.TosAccessDenied", "OperationDenied.FileQuotaExceeded", "OperationDenied.UnsupportedPhase"],
    ),
    (403, BUSY, ["OperationDenied.InvalidState"]),
    (
        404,
        MODEL,
        [
            "InvalidEndpointOrModel.NotFound",
            "InvalidEndpointOrModel.ModelIDAccessDisabled",
            "ModelNotOpen",
            "NotFound.Context",
            "UnsupportedModel",
        ],
    ),
    (
        429,
        BUSY,
        [
            "RateLimitExceeded.EndpointRPMExceeded",
            "RateLimitExceeded.EndpointTPMExceeded",
            "RateLimitExceeded.EndpointFlexTPMExceeded",
            "RateLimitExceeded.FoundationModelRPMExceeded",
            "RateLimitExceeded.FoundationModelTPDExceeded",
            "ModelAccountRpmRateLimitExceeded",
            "ModelAccountTpmRateLimitExceeded",
            "ModelAccountIpmRateLimitExceeded",
            "APIAccountRpmRateLimitExceeded",
            "AccountRateLimitExceeded",
            "EndpointAccountRpmRateLimitExceeded",
            "InflightBatchsizeExceeded",
            "ServerOverloaded",
            "RequestBurstTooFast",
            "ModelLoadingError",
            "SomethingNew",
        ],
    ),
    (429, QUOTA, ["QuotaExceeded", "SetLimitExceeded"]),
    (500, SERVER, ["InternalServiceError"]),
]


@pytest.mark.parametrize(
    ("status", "code", "expected"), [(status, code, expected) for status, expected, codes in TABLE for code in codes]
)
def test_error_codes(status: int, code: str, expected: tuple[type, str, Remedy]) -> None:
    """Every code of Ark's error page, and those seen elsewhere."""
    fault = failed(status, code)
    assert (type(fault), fault.code, fault.remedy) == expected
    assert (fault.upstream["code"], fault.param, fault.detail) == (code, None, "m")


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("The free trial quota of this model is used up", UpstreamRejectedUs),
        ("You have reached the 5-hour usage quota. It will reset at 2026-11-22 15:00", UpstreamRejectedUs),
        ("The request queue is full, please retry later", UpstreamBusy),
    ],
)
def test_exceeded_quota_is_told_apart_by_its_message(message: str, kind: type) -> None:
    assert type(failed(429, "QuotaExceeded", message)) is kind


def test_a_limit_of_a_day_is_asked_again_now_and_then() -> None:
    assert failed(429, "RateLimitExceeded.FoundationModelTPDExceeded").retry_after_s == 120
    assert failed(429, "RateLimitExceeded.EndpointTPMExceeded").retry_after_s == 5


RESETS = "You have exceeded the 5-hour usage quota. It will reset at 2026-11-22 16:09:26 +0800 CST."


@pytest.mark.parametrize(
    ("message", "date", "seconds"),
    [
        (RESETS, "Sun, 22 Nov 2026 07:09:26 GMT", 3600),
        (RESETS.replace(" +0800 CST", "Z"), "Sun, 22 Nov 2026 07:09:26 GMT", 9 * 3600),
        (RESETS, "Mon, 23 Nov 2026 07:09:26 GMT", 0),
        (RESETS.replace("2026-11", "2028-11"), "Sun, 22 Nov 2026 07:09:26 GMT", 31 * 24 * 3600),
    ],
)
def test_a_plan_that_is_used_up_cools_down_until_it_is_reset(message: str, date: str, seconds: float) -> None:
    fault = failed(429, "QuotaExceeded", message, date=date)
    assert (fault.code, fault.remedy, fault.retry_after_s) == ("upstream_quota_exhausted", Remedy.COOL_DOWN, seconds)
    assert fault.status == 502 and not fault.retriable


@pytest.mark.parametrize(
    ("message", "date"),
    [
        (RESETS, ""),
        (RESETS, "soon"),
        (RESETS.replace(" +0800 CST", ""), "Sun, 22 Nov 2026 07:09:26 GMT"),
        (RESETS.replace("11-22", "11-31"), "Sun, 22 Nov 2026 07:09:26 GMT"),
    ],
)
def test_a_time_that_can_not_be_told_is_none(message: str, date: str) -> None:
    fault = failed(429, "QuotaExceeded", message, date=date)
    assert (fault.remedy, fault.retry_after_s) == (Remedy.BAD_CREDENTIAL, None)


@pytest.mark.parametrize(
    ("status", "code", "remedy"),
    [
        (404, "ModelNotOpen", "must open it in the provider's console"),
        (404, "InvalidEndpointOrModel.ModelIDAccessDisabled", "must make an endpoint (ep-…)"),
        (403, "AccountOverdueError", "must top it up there"),
        (
            401,
            "AuthenticationError",
            "is the entrance the key was made for (a key of an Agent Plan works at /api/plan/v3 alone)",
        ),
        (400, "InvalidEndpoint.ClosedEndpoint", "must start it in the provider's console"),
        (400, "InvalidSubscription", "must renew it, or use the base_url without a plan"),
        (401, "InvalidAccountStatus", "must have it unblocked there"),
        (429, "SetLimitExceeded", "must raise it there"),
    ],
)
def test_messages_say_what_the_operator_must_do(status: int, code: str, remedy: str) -> None:
    assert remedy in failed(status, code, "供应商的话").message


def test_missing_path_answers_404_without_a_body() -> None:
    fault = three_ways(exchange, b"", status=404, headers={}).fault
    assert isinstance(fault, UpstreamRejectedUs)
    assert fault.code == "upstream_model_unavailable"


def test_error_under_200_is_classified_by_its_code() -> None:
    fault = hear(exchange(), [b'{"error":{"code":"AccountOverdueError","type":"Forbidden"}}'], headers=JSON).fault
    assert isinstance(fault, UpstreamRejectedUs)
    assert fault.upstream["status"] == 403
