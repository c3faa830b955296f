from __future__ import annotations

import orjson
import pytest

from proxy.credentials import AccessKey
from proxy.errors import (
    Progress,
    Remedy,
    UpstreamBusy,
    UpstreamError,
    UpstreamFailed,
    UpstreamProtocolError,
    UpstreamRejectedUs,
)
from proxy.secret import Secret
from proxy.volcengine_keys import MadeKey, key_request, needs_project, read_key

NOW_NS = 1_704_164_645 * 10**9


def access(project: str | None = None, control_url: str = "https://ark.cn-beijing.volcengineapi.com") -> AccessKey:
    return AccessKey(
        id=Secret("AKTEST"), secret=Secret("SKTEST"), region="cn-beijing", project=project, control_url=control_url
    )


@pytest.mark.parametrize(
    ("model", "kind", "project"),
    [
        ("ep-20250101120000-ab1cd", "endpoint", None),
        ("ep-m-20250101120000-ab1cd", "presetendpoint", "p"),
        ("bot-20250101120000-ab1cd", "bot", None),
        ("doubao-seed-2-0-lite-260215", "presetendpoint", "default"),
    ],
)
def test_the_request_names_what_the_key_is_for(model: str, kind: str, project: str | None) -> None:
    send = key_request(access(project), model, NOW_NS)
    told = {"DurationSeconds": 604800, "ResourceType": kind, "ResourceIds": [model]}
    assert orjson.loads(send.body) == told | ({} if project is None else {"ProjectName": project})
    assert (send.method, send.path) == ("POST", "/?Action=GetApiKey&Version=2024-01-01")
    assert send.headers and send.headers["x-date"] == "20240102T030405Z"
    assert send.headers["authorization"].startswith("HMAC-SHA256 Credential=AKTEST/20240102/cn-beijing/ark/request, ")
    assert needs_project(model) == (project is not None)


def test_the_host_is_signed_as_it_is_sent() -> None:
    plain = key_request(access(control_url="http://host:80"), "ep-1", NOW_NS).headers or {}
    other = key_request(access(control_url="http://host"), "ep-1", NOW_NS).headers or {}
    assert plain["authorization"] == other["authorization"]
    ported = key_request(access(control_url="http://host:8080"), "ep-1", NOW_NS).headers or {}
    assert ported["authorization"] != other["authorization"]


def test_a_key() -> None:
    body = b'{"ResponseMetadata":{"RequestId":"r"},"Result":{"ApiKey":"ark-made","ExpiredTime":1790000000}}'
    assert read_key(200, body) == MadeKey(Secret("ark-made"), 1790000000)


def refusal(status: int, body: bytes) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        read_key(status, body)
    assert caught.value.progress is Progress.NEVER_SENT
    return caught.value


def told(status: int, code: str) -> UpstreamError:
    error = {"CodeN": 1, "Code": code, "Message": "their words"}
    return refusal(status, orjson.dumps({"ResponseMetadata": {"RequestId": "r", "Error": error}}))


@pytest.mark.parametrize(
    ("status", "code", "kind", "ours", "remedy", "mending"),
    [
        (401, "InvalidAccessKey", UpstreamRejectedUs, "upstream_auth_failed", Remedy.BAD_CREDENTIAL, "check access_key"),
        (401, "SignatureDoesNotMatch", UpstreamRejectedUs, "upstream_auth_failed", Remedy.BAD_CREDENTIAL, "secret_key"),
        (401, "InvalidSecretToken", UpstreamRejectedUs, "upstream_auth_failed", Remedy.BAD_CREDENTIAL, "secret_key"),
        (400, "InvalidAuthorization", UpstreamRejectedUs, "upstream_auth_failed", Remedy.BAD_CREDENTIAL, "region"),
        (400, "InvalidCredential", UpstreamRejectedUs, "upstream_auth_failed", Remedy.BAD_CREDENTIAL, "region"),
        (400, "InvalidTimestamp", UpstreamRejectedUs, "upstream_auth_failed", Remedy.BAD_CREDENTIAL, "clock"),
        (403, "AccessDenied", UpstreamRejectedUs, "upstream_auth_failed", Remedy.BAD_CREDENTIAL, "grant it GetApiKey"),
        (400, "MissingParameter", UpstreamRejectedUs, "upstream_model_unavailable", Remedy.NEXT_ROUTE, "route's model"),
        (404, "InvalidEndpoint.NotFound", UpstreamRejectedUs, "upstream_model_unavailable", Remedy.NEXT_ROUTE, "project"),
        (404, "ServiceNotFound", UpstreamError, "upstream_error", Remedy.NEXT_ROUTE, "control_url"),
        (404, "InvalidActionOrVersion", UpstreamError, "upstream_error", Remedy.NEXT_ROUTE, "control_url"),
        (429, "FlowLimitExceeded", UpstreamBusy, "upstream_rate_limited", Remedy.COOL_DOWN, "limiting"),
        (429, "APIAccountRpmRateLimitExceeded", UpstreamBusy, "upstream_rate_limited", Remedy.COOL_DOWN, "limiting"),
        (500, "InternalError", UpstreamFailed, "upstream_error", Remedy.RETRY, "failed"),
        (503, "ServiceUnavailable", UpstreamFailed, "upstream_error", Remedy.RETRY, "failed"),
    ],
)
def test_refusals(status: int, code: str, kind: type, ours: str, remedy: Remedy, mending: str) -> None:
    error = told(status, code)
    assert (type(error), error.code, error.remedy) == (kind, ours, remedy)
    assert mending in error.message and "their words" not in error.message
    assert (error.upstream, error.detail) == ({"status": status, "code": code, "request_id": "r"}, "their words")


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, b"", UpstreamProtocolError),
        (200, b"[]", UpstreamProtocolError),
        (200, b'{"Result":{"ApiKey":"","ExpiredTime":1}}', UpstreamProtocolError),
        (200, b'{"Result":{"ApiKey":"k","ExpiredTime":"soon"}}', UpstreamProtocolError),
        (404, b"<html>", UpstreamError),
        (302, b"", UpstreamError),
        (502, b"<html>", UpstreamFailed),
        (200, b'{"ResponseMetadata":{"Error":{"Code":"InvalidAccessKey"}}}', UpstreamRejectedUs),
        (400, b'{"ResponseMetadata":{"Error":"odd"}}', UpstreamError),
    ],
)
def test_what_is_no_answer(status: int, body: bytes, kind: type) -> None:
    assert type(refusal(status, body)) is kind
