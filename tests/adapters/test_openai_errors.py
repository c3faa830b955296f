from __future__ import annotations

from typing import Any

import orjson
import pytest

from adapters.openai_chat import exchange as open_exchange
from adapters.openai_chat import post
from proxy import (
    Exchange,
    Progress,
    Remedy,
    UpstreamBusy,
    UpstreamError,
    UpstreamFailed,
    UpstreamRefused,
    UpstreamRejectedUs,
    Usage,
)
from tests.adapters.dialect import (
    JSON,
    chat,
    hear,
    three_ways,
)


def exchange() -> Exchange:
    return open_exchange(post("/chat/completions", {}, stream=True), chat())


def failed(status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> UpstreamError:
    told = three_ways(exchange, body, status=status, headers=headers or JSON)
    assert told.events == []
    assert told.fault is not None
    return told.fault


@pytest.mark.parametrize(
    ("status", "body", "kind", "code", "remedy"),
    [
        (400, b'{"error":{"code":"x"}}', UpstreamRefused, "upstream_invalid_request", Remedy.NEVER),
        (422, b'{"detail":[{"loc":["body"],"msg":"bad"}]}', UpstreamRefused, "upstream_invalid_request", Remedy.NEVER),
        (413, b"", UpstreamRefused, "upstream_invalid_request", Remedy.NEVER),
        (409, b"", UpstreamRefused, "upstream_invalid_request", Remedy.NEVER),
        (400, b'{"error":{"code":"context_length_exceeded"}}', UpstreamRefused, "context_length_exceeded", Remedy.NEVER),
        (
            400,
            b'{"message":"This model\'s maximum context length is 4096 tokens","code":400}',
            UpstreamRefused,
            "context_length_exceeded",
            Remedy.NEVER,
        ),
        (400, b'{"error":{"code":"content_filter"}}', UpstreamRefused, "content_filter", Remedy.NEVER),
        (451, b"", UpstreamRefused, "content_filter", Remedy.NEVER),
        (401, b"<html>", UpstreamRejectedUs, "upstream_auth_failed", Remedy.BAD_CREDENTIAL),
        (403, b"", UpstreamRejectedUs, "upstream_auth_failed", Remedy.BAD_CREDENTIAL),
        (402, b"", UpstreamRejectedUs, "upstream_quota_exhausted", Remedy.BAD_CREDENTIAL),
        (
            429,
            b'{"error":{"code":"insufficient_quota"}}',
            UpstreamRejectedUs,
            "upstream_quota_exhausted",
            Remedy.BAD_CREDENTIAL,
        ),
        (404, b"", UpstreamRejectedUs, "upstream_model_unavailable", Remedy.NEXT_ROUTE),
        (408, b"", UpstreamBusy, "upstream_rate_limited", Remedy.COOL_DOWN),
        (429, b"null", UpstreamBusy, "upstream_rate_limited", Remedy.COOL_DOWN),
        (500, b'"x"', UpstreamFailed, "upstream_error", Remedy.RETRY),
        (503, b'[{"error":{"message":"x"}}]', UpstreamFailed, "upstream_error", Remedy.RETRY),
        (529, b"\xff", UpstreamFailed, "upstream_error", Remedy.RETRY),
        (
            503,
            b'{"error":{"code":"model_not_found"}}',
            UpstreamRejectedUs,
            "upstream_model_unavailable",
            Remedy.NEXT_ROUTE,
        ),
        (
            400,
            b'{"error":{"code":"invalid_api_key"}}',
            UpstreamRejectedUs,
            "upstream_auth_failed",
            Remedy.BAD_CREDENTIAL,
        ),
        (405, b"", UpstreamError, "upstream_error", Remedy.NEXT_ROUTE),
    ],
)
def test_error_statuses(status: int, body: bytes, kind: type, code: str, remedy: Remedy) -> None:
    fault = failed(status, body)
    assert type(fault) is kind
    assert (fault.code, fault.remedy, fault.progress) == (code, remedy, Progress.REFUSED)
    assert fault.upstream["status"] == status


def test_error_tells_codes_and_keeps_the_providers_words_for_the_log() -> None:
    body = {"error": {"message": "Bad key sk-secret" + "x" * 600, "type": "t", "param": "top_p", "code": "bad_thing"}}
    fault = failed(400, orjson.dumps(body), {"x-request-id": "r-1", **JSON})
    assert fault.upstream == {"status": 400, "code": "bad_thing", "request_id": "r-1"}
    assert fault.param == "top_p"
    assert "sk-secret" not in orjson.dumps(fault.body()).decode()
    assert fault.detail == ("Bad key sk-secret" + "x" * 600)[:500]


def test_code_that_is_no_code_is_not_shown() -> None:
    fault = failed(400, b'{"error":{"code":"<script> your key is sk-1","message":"x"}}', {"request-id": "a b"})
    assert fault.upstream == {"status": 400, "code": "", "request_id": ""}


DATE = "Sun, 22 Nov 2026 10:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "1000000000"}, 120.0),
        ({"retry-after": "-3"}, 5.0),
        ({"retry-after": "soon"}, 5.0),
        ({"retry-after": "nan"}, 5.0),
        ({"retry-after": "Sun, 22 Nov 2026 10:00:20 GMT", "date": DATE}, 20.0),
        ({"retry-after": "Sun, 22 Nov 2026 09:00:00 GMT", "date": DATE}, 5.0),
        ({"retry-after": "Sun, 22 Nov 2026 10:00:20 GMT"}, 5.0),
        ({"retry-after": "Sun, 22 Nov 2026 10:00:20 -0000", "date": DATE}, 5.0),
        ({}, 5.0),
    ],
)
def test_busy_provider_is_left_alone_for_a_while(headers: dict[str, str], seconds: float) -> None:
    assert failed(429, b"", headers).retry_after_s == seconds


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ("slow down", ""),
        (5, ""),
        (True, ""),
        ([{"message": "slow down", "code": "rate_limit_exceeded"}], "rate_limit_exceeded"),
        ({"code": 429, "message": "slow down"}, "429"),
        ({"code": {"a": 1}, "type": ["x"], "message": 5, "param": []}, ""),
    ],
)
def test_errors_of_odd_shape_under_200(error: Any, code: str) -> None:
    fault = failed(200, orjson.dumps({"error": error}))
    assert (fault.upstream["code"], fault.progress) == (code, Progress.HEADERS_ONLY)
    assert type(fault) is (UpstreamBusy if code else UpstreamFailed)


@pytest.mark.parametrize("status", [200, 400, 500])
def test_usage_of_an_error_stands(status: int) -> None:
    asked = exchange()
    usage = {"prompt_tokens": 9, "completion_tokens": 0}
    told = hear(asked, [orjson.dumps({"error": {"message": "x"}, "usage": usage})], status=status, headers=JSON)
    assert told.fault is not None
    assert asked.reported == Usage(input_tokens=9, output_tokens=0, reported=usage)
