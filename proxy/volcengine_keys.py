"""GetApiKey of Volcengine's control plane: an AK/SK makes a short-lived API key for one model, endpoint or bot. Pure.

Ark's doors know no signatures; they take such a key like any other.
Source: the vendor's SDK, and Volcengine's page of common error codes.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import orjson
from yarl import URL

from proxy.adapter import Send
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
from proxy.jsontext import dumps
from proxy.secret import Secret
from proxy.volcengine_signature import signed_headers

LIFETIME_S = 7 * 24 * 3600
"""What is asked for, as the vendor's SDK does."""
COOL_DOWN_S = 30.0
"""GetApiKey is limited to few calls a minute."""
_QUERY = {"Action": "GetApiKey", "Version": "2024-01-01"}
_BAD_KEY = frozenset(
    {"InvalidAccessKey", "SignatureDoesNotMatch", "InvalidSecretToken", "InvalidAuthorization", "InvalidCredential"}
)
_BAD_ADDRESS = frozenset({"", "ServiceNotFound", "InvalidActionOrVersion"})


@dataclass(frozen=True, slots=True)
class MadeKey:
    """What GetApiKey answers."""

    key: Secret
    expires_s: int
    """Unix seconds."""


def key_request(access: AccessKey, model: str, now_ns: int) -> Send:
    """The signed request for a key to `model`, to be sent to access.control_url."""
    body: dict[str, Any] = {"DurationSeconds": LIFETIME_S, "ResourceType": _resource_type(model), "ResourceIds": [model]}
    if access.project is not None:
        body["ProjectName"] = access.project
    data = dumps(body)
    url = URL(access.control_url, encoded=True)
    headers = signed_headers(
        method="POST",
        host=url.host_port_subcomponent or "",
        path=f"{url.raw_path.rstrip('/')}/",
        query=_QUERY,
        body=data,
        access_key=access.id,
        secret_key=access.secret,
        region=access.region,
        service="ark",
        now=dt.datetime.fromtimestamp(now_ns // 10**9, dt.UTC),
    )
    return Send(path=f"/?Action={_QUERY['Action']}&Version={_QUERY['Version']}", body=data, headers=headers)


def needs_project(model: str) -> bool:
    """Whether GetApiKey wants to be told the project: of all but endpoints and bots, that somebody made."""
    return _resource_type(model) == "presetendpoint"


def read_key(status: int, body: bytes) -> MadeKey:
    """Read {"ResponseMetadata": {…}, "Result": {"ApiKey": str, "ExpiredTime": unix seconds}}.

    Raises: UpstreamError: the control plane refuses; nothing was sent to the model.
    """
    values = _object(body)
    result = values.get("Result")
    key, expires_s = (result.get("ApiKey"), result.get("ExpiredTime")) if isinstance(result, dict) else (None, None)
    if status == 200 and isinstance(key, str) and key and type(expires_s) is int:
        return MadeKey(Secret(key), expires_s)
    raise _refusal(status, values)


def _resource_type(model: str) -> str:
    if model.startswith("ep-") and not model.startswith("ep-m-"):
        return "endpoint"
    return "bot" if model.startswith("bot-") else "presetendpoint"


def _refusal(status: int, values: dict[str, Any]) -> UpstreamError:
    metadata = values.get("ResponseMetadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    error = metadata.get("Error")
    error = error if isinstance(error, dict) else {}
    code = _text(error.get("Code"))
    told: dict[str, Any] = {
        "upstream": {"status": status, "code": code, "request_id": _text(metadata.get("RequestId"))},
        "detail": _text(error.get("Message"))[:500],
        "progress": Progress.NEVER_SENT,
    }
    if status == 429:
        return UpstreamBusy("The provider is limiting how often API keys are made.", retry_after_s=COOL_DOWN_S, **told)
    if status >= 500:
        return UpstreamFailed("The provider failed to make an API key for the gateway's access key.", **told)
    if status == 200 and not code:
        return UpstreamProtocolError("The provider made no API key, and named no reason.", **told)
    if code == "InvalidTimestamp":
        message = "The provider refused the time of a signature; the gateway's operator must set the machine's clock."
        return UpstreamRejectedUs(message, **told)
    if code in _BAD_KEY or status == 401:
        message = "The provider refused the gateway's access key; its operator must check access_key, secret_key and region."
        return UpstreamRejectedUs(message, **told)
    if status == 403:
        message = (
            "The gateway's access key may not make API keys; its operator must grant it GetApiKey of Ark in the "
            "provider's console."
        )
        return UpstreamRejectedUs(message, **told)
    if code in _BAD_ADDRESS:
        message = "The provider makes no API keys at this address; the gateway's operator must check region and control_url."
        return UpstreamError(message, **told)
    message = "The provider makes no API key for this model; the gateway's operator must check the route's model and project."
    return UpstreamRejectedUs(message, code="upstream_model_unavailable", remedy=Remedy.NEXT_ROUTE, **told)


def _object(body: bytes) -> dict[str, Any]:
    try:
        values = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return values if isinstance(values, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
