"""Coze's table of error codes, one row each."""

from __future__ import annotations

import pytest

from adapters.coze_errors import coze_error
from adapters.openai_errors import Refusal
from proxy import Remedy

R, N, C, B, X = Remedy.RETRY, Remedy.NEXT_ROUTE, Remedy.COOL_DOWN, Remedy.BAD_CREDENTIAL, Remedy.NEVER
INVALID, MODEL, QUOTA = "upstream_invalid_request", "upstream_model_unavailable", "upstream_quota_exhausted"
AUTH, BUSY, FILTER = "upstream_auth_failed", "upstream_rate_limited", "content_filter"


@pytest.mark.parametrize(
    ("code", "stands_for", "ours", "status", "remedy"),
    [
        ("4000", 400, INVALID, 400, X),
        ("4001", 404, INVALID, 400, N),
        ("4002", 404, INVALID, 400, N),
        ("4003", 400, INVALID, 400, X),
        ("4004", 400, INVALID, 400, X),
        ("4005", 400, INVALID, 400, X),
        ("4006", 404, MODEL, 502, N),
        ("4007", 400, INVALID, 400, X),
        ("4008", 429, BUSY, 429, C),
        ("4009", 429, BUSY, 429, C),
        ("4010", 400, "context_length_exceeded", 400, X),
        ("4011", 402, QUOTA, 502, B),
        ("4012", 404, MODEL, 502, N),
        ("4013", 502, "upstream_error", 502, R),
        ("4014", 400, FILTER, 400, X),
        ("4015", 403, MODEL, 502, N),
        ("4016", 409, BUSY, 429, C),
        ("4019", 402, QUOTA, 502, B),
        ("4020", 429, BUSY, 429, C),
        ("4021", 404, MODEL, 502, N),
        ("4022", 402, QUOTA, 502, B),
        ("4100", 401, AUTH, 502, B),
        ("700012006", 401, AUTH, 502, B),
        ("4101", 403, AUTH, 502, B),
        ("4102", 403, AUTH, 502, B),
        ("4104", 400, INVALID, 400, X),
        ("4105", 400, FILTER, 400, X),
        ("4200", 404, MODEL, 502, N),
        ("4300", 400, INVALID, 400, X),
        ("4304", 400, INVALID, 400, X),
        ("5000", 500, "upstream_error", 502, R),
        ("9999", 500, "upstream_error", 502, R),
    ],
)
def test_a_code_under_status_200(code: str, stands_for: int, ours: str, status: int, remedy: Remedy) -> None:
    error = coze_error(Refusal(status=200, code=code, text="原文", request_id="2026"))
    assert (error.code, error.status, error.remedy) == (ours, status, remedy)
    assert error.upstream == {"status": stands_for, "code": code, "request_id": "2026"}
    assert error.detail == "原文" and error.message.isascii()


def test_an_unknown_code_is_judged_by_its_status() -> None:
    error = coze_error(Refusal(status=403, code="9999"))
    assert (error.code, error.upstream["status"]) == (AUTH, 403)


def test_who_has_used_up_a_day_need_not_try_again_today() -> None:
    error = coze_error(Refusal(status=200, code="4008"))
    assert error.headers() == {"retry-after": "120", "x-should-retry": "false"}
    assert "x-should-retry" not in coze_error(Refusal(status=200, code="4009")).headers()
