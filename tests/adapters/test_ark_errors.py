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

MODEL = "doubao-seed-2-0-lite-260215"


def exchange() -> Exchange:
    return open_exchange(post("/chat/completions", {}, stream=True), chat(), ARK)


def failed(status: int, code: str, message: str = "m", kind: str = "BadRequest") -> UpstreamError:
    body = orjson.dumps({"error": {"code": code, "message": message, "param": "", "type": kind}})
    told = three_ways(exchange, body, status=status, headers=JSON)
    assert told.fault is not None
    return told.fault


@pytest.mark.parametrize(
    ("status", "code", "kind", "ours", "remedy"),
    [
        (400, "InvalidParameter.UnsupportedParameter", UpstreamRefused, "upstream_invalid_request", Remedy.NEVER),
        (400, "MissingParameter.messages", UpstreamRefused, "upstream_invalid_request", Remedy.NEVER),
        (400, "OutofContextError", UpstreamRefused, "context_length_exceeded", Remedy.NEVER),
        (400, "SensitiveContentDetected", UpstreamRefused, "content_filter", Remedy.NEVER),
        (400, "InputTextSensitiveContentDetected.PolicyViolation", UpstreamRefused, "content_filter", Remedy.NEVER),
        (400, "OutputImageRiskDetection", UpstreamRefused, "content_filter", Remedy.NEVER),
        (400, "ContentSecurityDetectionError", UpstreamFailed, "upstream_error", Remedy.RETRY),
        (400, "InvalidEndpoint.ClosedEndpoint", UpstreamRejectedUs, "upstream_model_unavailable", Remedy.NEXT_ROUTE),
        (400, "InvalidSubscription", UpstreamRejectedUs, "upstream_quota_exhausted", Remedy.BAD_CREDENTIAL),
        (401, "AuthenticationError", UpstreamRejectedUs, "upstream_auth_failed", Remedy.BAD_CREDENTIAL),
        (401, "InvalidAccountStatus", UpstreamRejectedUs, "upstream_auth_failed", Remedy.BAD_CREDENTIAL),
        (403, "AccountOverdueError", UpstreamRejectedUs, "upstream_quota_exhausted", Remedy.BAD_CREDENTIAL),
        (403, "AccessDenied", UpstreamRejectedUs, "upstream_auth_failed", Remedy.BAD_CREDENTIAL),
        (403, "OperationDenied.ServiceNotOpen", UpstreamRejectedUs, "upstream_model_unavailable", Remedy.NEXT_ROUTE),
        (403, "OperationDenied.ServiceOverdue", UpstreamRejectedUs, "upstream_quota_exhausted", Remedy.BAD_CREDENTIAL),
        (403, "OperationDenied.InvalidState", UpstreamBusy, "upstream_rate_limited", Remedy.COOL_DOWN),
        (403, "OperationDenied.TosAccessDenied", UpstreamRefused, "upstream_invalid_request", Remedy.NEVER),
        (404, "ModelNotOpen", UpstreamRejectedUs, "upstream_model_unavailable", Remedy.NEXT_ROUTE),
        (404, "InvalidEndpointOrModel.NotFound", UpstreamRejectedUs, "upstream_model_unavailable", Remedy.NEXT_ROUTE),
        (404, "UnsupportedModel", UpstreamRejectedUs, "upstream_model_unavailable", Remedy.NEXT_ROUTE),
        (429, "RateLimitExceeded.EndpointTPMExceeded", UpstreamBusy, "upstream_rate_limited", Remedy.COOL_DOWN),
        (429, "ModelAccountRpmRateLimitExceeded", UpstreamBusy, "upstream_rate_limited", Remedy.COOL_DOWN),
        (429, "InflightBatchsizeExceeded", UpstreamBusy, "upstream_rate_limited", Remedy.COOL_DOWN),
        (429, "RequestBurstTooFast", UpstreamBusy, "upstream_rate_limited", Remedy.COOL_DOWN),
        (429, "SetLimitExceeded", UpstreamRejectedUs, "upstream_quota_exhausted", Remedy.BAD_CREDENTIAL),
        (429, "SomethingNew", UpstreamBusy, "upstream_rate_limited", Remedy.COOL_DOWN),
        (500, "InternalServiceError", UpstreamFailed, "upstream_error", Remedy.RETRY),
    ],
)
def test_error_codes(status: int, code: str, kind: type, ours: str, remedy: Remedy) -> None:
    fault = failed(status, code)
    assert type(fault) is kind
    assert (fault.code, fault.remedy) == (ours, remedy)
    assert fault.upstream["code"] == code
    assert fault.param is None


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


def test_messages_say_what_the_operator_must_do() -> None:
    assert "open it in the provider's console" in failed(404, "ModelNotOpen").message
    assert "top it up" in failed(403, "AccountOverdueError").message
    assert "base_url" in failed(401, "AuthenticationError").message
    assert "start it" in failed(400, "InvalidEndpoint.ClosedEndpoint").message


def test_missing_path_answers_404_without_a_body() -> None:
    fault = three_ways(exchange, b"", status=404, headers={}).fault
    assert isinstance(fault, UpstreamRejectedUs)
    assert fault.code == "upstream_model_unavailable"


def test_error_under_200_is_classified_by_its_code() -> None:
    fault = hear(exchange(), [b'{"error":{"code":"AccountOverdueError","type":"Forbidden"}}'], headers=JSON).fault
    assert isinstance(fault, UpstreamRejectedUs)
    assert fault.upstream["status"] == 403
