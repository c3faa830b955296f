from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.profiled_chat import ProfiledChat
from adapters.profiles import PROFILES
from proxy import Exchange, Progress, Remedy
from tests.adapters.dialect import JSON, chat, stream, target, three_ways
from tests.fakes.families import MODELS

ADAPTERS = {profile.name: ProfiledChat(profile) for profile in PROFILES}
BUSY, FAILED, REFUSED = "upstream_rate_limited", "upstream_error", "upstream_invalid_request"
AUTH, MONEY, MODEL = "upstream_auth_failed", "upstream_quota_exhausted", "upstream_model_unavailable"
FILTER, LONG = "content_filter", "context_length_exceeded"


def opened(name: str) -> Exchange:
    adapter = ADAPTERS[name]
    return adapter.open(chat(stream=True), target(adapter.options(), upstream_model=MODELS[name]))


def failed(name: str, body: Any, status: int, **headers: str) -> Any:
    told = three_ways(lambda: opened(name), json.dumps(body).encode(), status=status, headers={**JSON, **headers})
    assert told.fault is not None
    return told.fault


def told(code: str, message: str = "余额不足") -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


@pytest.mark.parametrize(
    ("name", "status", "body", "code"),
    [
        ("deepseek", 402, told("invalid_request_error"), MONEY),
        ("deepseek", 429, told("rate_limit"), BUSY),
        ("kimi", 429, {"error": {"type": "exceeded_current_quota_error"}}, MONEY),
        ("kimi", 429, {"error": {"type": "engine_overloaded_error"}}, BUSY),
        ("kimi", 403, {"error": {"type": "permission_denied_error"}}, AUTH),
        ("kimi", 400, {"error": {"type": "content_filter"}}, FILTER),
        ("kimi", 400, {"error": {"type": "invalid_request_error"}}, REFUSED),
        ("qwen", 400, told("Arrearage"), MONEY),
        ("qwen", 400, told("data_inspection_failed"), FILTER),
        ("qwen", 403, told("AccessDenied.Unpurchased"), MODEL),
        ("qwen", 403, told("AccessDenied"), AUTH),
        ("qwen", 429, told("Throttling.AllocationQuota"), BUSY),
        ("qwen", 429, told("insufficient_quota"), MONEY),
        ("qwen", 500, told("InternalError.Algo"), FAILED),
        ("glm", 429, told("1113"), MONEY),
        ("glm", 429, told("1302"), BUSY),
        ("glm", 429, told("1308"), BUSY),
        ("glm", 429, told("1311"), MODEL),
        ("glm", 401, told("1002"), AUTH),
        ("glm", 400, told("1211"), MODEL),
        ("glm", 400, told("1214"), REFUSED),
        ("glm", 400, told("1261"), LONG),
        ("glm", 400, told("1301"), FILTER),
        ("glm", 400, told("1234"), FAILED),
        ("ernie", 200, told("tpm_rate_limit_exceeded"), BUSY),
        ("ernie", 200, {"code": "rpm_rate_limit_exceeded", "msg": "x"}, BUSY),
        ("ernie", 401, told("no_parameter_permission"), AUTH),
        ("ernie", 400, told("tokens_too_long"), LONG),
        ("ernie", 400, told("unsafe_request"), FILTER),
        ("hunyuan", 402, told("403004"), MODEL),
        ("hunyuan", 402, told("other"), MONEY),
        ("hunyuan", 451, told("451001"), FILTER),
        ("hunyuan", 502, told("502001"), FAILED),
        ("minimax", 200, {"base_resp": {"status_code": 1008, "status_msg": "x"}}, MONEY),
        ("minimax", 200, {"base_resp": {"status_code": 2056, "status_msg": "x"}}, BUSY),
        ("minimax", 200, {"base_resp": {"status_code": 2049, "status_msg": "x"}}, AUTH),
        ("minimax", 200, {"base_resp": {"status_code": 1027, "status_msg": "x"}}, FILTER),
        ("minimax", 200, {"base_resp": {"status_code": 1024, "status_msg": "x"}}, FAILED),
        ("minimax", 200, {"base_resp": {"status_code": 2013, "status_msg": "x"}}, REFUSED),
        ("minimax", 401, told("authorized_error"), AUTH),
        ("stepfun", 402, told("payment"), MONEY),
        ("stepfun", 451, told("moderation"), FILTER),
        ("spark", 200, {"code": 11202, "message": "x", "sid": "s"}, BUSY),
        ("spark", 200, {"code": 10163, "message": "x", "sid": "s"}, REFUSED),
        ("spark", 400, told("10013"), FILTER),
        ("spark", 200, {"code": 10907, "message": "x", "sid": "s"}, LONG),
        ("spark", 403, told("11200"), AUTH),
        ("sensenova", 403, told("forbidden"), MODEL),
        ("pangu", 401, {"error_code": "ModelArts.81003", "error_msg": "x"}, AUTH),
        ("pangu", 401, {"error_code": "ModelArts.81004", "error_msg": "x"}, MODEL),
        ("pangu", 401, {"error_code": "ModelArts.81006", "error_msg": "x"}, MONEY),
        ("pangu", 403, {"error_code": "ModelArts.81011", "error_msg": "x"}, FILTER),
        ("pangu", 429, {"error_code": "ModelArts.81103", "error_msg": "x"}, BUSY),
        ("pangu", 400, {"object": "error", "message": "x", "type": "BadRequestError", "code": 400}, REFUSED),
        ("longcat", 429, told("rate_limit_exceeded"), BUSY),
    ],
)
def test_a_vendors_error_in_our_words(name: str, status: int, body: Any, code: str) -> None:
    error = failed(name, body, status)
    assert error.code == code
    assert error.progress is (Progress.HEADERS_ONLY if status == 200 else Progress.REFUSED)
    assert "余额" not in error.message


def test_without_money_the_account_rests_and_in_haste_the_route_does() -> None:
    assert failed("glm", told("1113"), 429).remedy is Remedy.BAD_CREDENTIAL
    assert failed("glm", told("1302"), 429).remedy is Remedy.COOL_DOWN
    assert failed("hunyuan", told("403004"), 402).remedy is Remedy.NEXT_ROUTE


@pytest.mark.parametrize(
    ("name", "body", "headers", "seconds"),
    [
        ("kimi", {"error": {"type": "rate_limit_reached_error", "message": "try again after 3 seconds"}}, {}, 3),
        ("kimi", {"error": {"type": "rate_limit_reached_error", "message": "after 3 seconds"}}, {"retry-after": "7"}, 7),
        ("kimi", {"error": {"type": "rate_limit_reached_error", "message": "after 9999 seconds"}}, {}, 120),
        ("longcat", {"error": {"code": "rate_limit_exceeded", "retry_after": 60}}, {}, 60),
        ("longcat", {"error": {"code": "rate_limit_exceeded", "retry_after": 60}}, {"retry-after": "2"}, 2),
        ("longcat", {"error": {"code": "rate_limit_exceeded", "retry_after": 9e9}}, {}, 120),
        ("longcat", {"error": {"code": "rate_limit_exceeded", "retry_after": "soon"}}, {}, 5),
        ("glm", told("1310"), {}, 120),
    ],
)
def test_how_long_to_wait(name: str, body: Any, headers: dict[str, str], seconds: float) -> None:
    assert failed(name, body, 429, **headers).retry_after_s == seconds


@pytest.mark.parametrize(
    ("name", "status", "body", "headers", "request_id"),
    [
        ("ernie", 400, told("invalid_model"), {"x-baidu-request-id": "b1", "x-request-id": "b2"}, "b1"),
        ("qwen", 400, {**told("Arrearage"), "request_id": "q1"}, {}, "q1"),
        ("qwen", 400, {**told("Arrearage"), "request_id": "q1"}, {"x-request-id": "q2"}, "q2"),
        ("hunyuan", 429, {"error": {"code": "429001", "request_id": "t1"}}, {}, "t1"),
        ("spark", 200, {"code": 10008, "message": "x", "sid": "s1"}, {}, "s1"),
        ("spark", 200, {"code": 10008, "message": "x", "sid": "<b>"}, {}, ""),
    ],
)
def test_the_vendors_request_id(name: str, status: int, body: Any, headers: dict[str, str], request_id: str) -> None:
    assert failed(name, body, status, **headers).upstream["request_id"] == request_id


def test_a_warning_beside_code_zero_is_no_error() -> None:
    choice = '{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}'
    chunk = f'{{"choices":[{choice}],"base_resp":{{"status_code":0,"status_msg":"a warning"}}}}'
    assert three_ways(lambda: opened("minimax"), stream(chunk, "[DONE]")).fault is None
