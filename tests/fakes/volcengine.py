"""A fake control plane of Volcengine: `GetApiKey` for a signed request, and the keys are good at the fake Ark.

The signature is worked out here anew from the page on signing: from the headers that the request says are signed.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from tests.fakes.ark import FakeArk
from tests.fakes.faults import Refusal
from tests.fakes.server import FakeServer, Received, Reply, data_frame

ACCESS_KEY = "AKLTfake0000access"
SECRET_KEY = "c2VjcmV0LWtleS1vZi10aGUtZmFrZQ=="
_AUTHORIZATION = re.compile(r"HMAC-SHA256 Credential=([^,]+), SignedHeaders=([^,]+), Signature=([0-9a-f]{64})")
_NUMBERS = {
    "MissingParameter": 100002,
    "InvalidTimestamp": 100006,
    "InvalidActionOrVersion": 100008,
    "InvalidAccessKey": 100009,
    "SignatureDoesNotMatch": 100010,
    "AccessDenied": 100013,
    "InternalError": 100014,
    "FlowLimitExceeded": 100018,
    "InvalidAuthorization": 100024,
    "InvalidCredential": 100025,
}
_SKEW_S = 900


class FakeVolcengine(FakeServer):
    """`fake.origin` is the `control_url`."""

    def __init__(self, ark: FakeArk, *, region: str = "cn-beijing", now: Callable[[], float] = time.time) -> None:
        super().__init__(now=now)
        self.ark = ark
        self.region = region
        self.lifetime_s = 30 * 24 * 3600
        """Keys are made for as long as asked, and at most for so long."""
        self.doors = {("POST", "/"): _Door(self)}


@dataclass(frozen=True)
class _Door:
    plane: FakeVolcengine

    def authenticate(self, received: Received) -> None:
        found = _AUTHORIZATION.fullmatch(received.headers.get("Authorization", ""))
        if found is None:
            raise Refusal(400, "InvalidAuthorization", "The Authorization header is malformed.")
        (credential, names, signature), date = found.groups(), received.headers.get("X-Date", "")
        access_key, _, scope = credential.partition("/")
        if scope != f"{date[:8]}/{self.plane.region}/ark/request":
            raise Refusal(400, "InvalidCredential", "The credential's scope is wrong.")
        if access_key != ACCESS_KEY:
            raise Refusal(401, "InvalidAccessKey", "The access key does not exist.")
        try:
            signed = dt.datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=dt.UTC).timestamp()
        except ValueError:
            signed = 0
        if abs(self.plane.now() - signed) > _SKEW_S:
            raise Refusal(400, "InvalidTimestamp", "The request's date is too far off.")
        if not hmac.compare_digest(signature, _signature(received, names.split(";"), scope)):
            raise Refusal(401, "SignatureDoesNotMatch", "The signature does not match.")

    def answer(self, received: Received) -> Reply:
        query = received.query
        if (query.get("Action"), query.get("Version")) != ("GetApiKey", "2024-01-01"):
            raise Refusal(404, "InvalidActionOrVersion", "There is no such action.")
        body = received.body or {}
        kind, resources = body.get("ResourceType"), body.get("ResourceIds")
        if not isinstance(resources, list) or not resources or "DurationSeconds" not in body:
            raise Refusal(400, "MissingParameter", "A parameter is missing.")
        for resource in resources:
            if kind != _kind(resource):
                raise Refusal(400, "InvalidParameter", f"{resource} is no {kind}.")
            if kind == "presetendpoint" and not body.get("ProjectName"):
                raise Refusal(400, "MissingParameter", "ProjectName is missing.")
            if resource not in {*self.plane.ark.endpoints, *self.plane.ark.models, *self.plane.ark.bots}:
                raise Refusal(404, "InvalidEndpointOrModel.NotFound", f"{resource} does not exist.")
        key = f"ark-made-{len(self.plane.requests):04d}-{hashlib.sha256(received.raw).hexdigest()[:12]}"
        expires = int(self.plane.now()) + min(body["DurationSeconds"], self.plane.lifetime_s)
        self.plane.ark.made_keys[key] = (frozenset(resources), expires)
        return Reply(body={"ResponseMetadata": self._metadata(received), "Result": {"ApiKey": key, "ExpiredTime": expires}})

    def error_body(self, refusal: Refusal, received: Received) -> dict[str, Any]:
        error = {"CodeN": _NUMBERS.get(refusal.code, 0), "Code": refusal.code, "Message": refusal.message}
        return {"ResponseMetadata": self._metadata(received) | {"Error": error}}

    def error_event(self, refusal: Refusal, received: Received) -> bytes:
        return data_frame(self.error_body(refusal, received))

    def _metadata(self, received: Received) -> dict[str, Any]:
        told = {name: received.query.get(name, "") for name in ("Action", "Version")}
        return {"RequestId": received.id, **told, "Service": "ark", "Region": self.plane.region}


def _kind(resource: str) -> str:
    if resource.startswith("ep-m-"):
        return "presetendpoint"
    return {"ep": "endpoint", "bot": "bot"}.get(resource.partition("-")[0], "presetendpoint")


def _signature(received: Received, names: list[str], scope: str) -> str:
    pairs = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in received.query.items())
    query = "&".join(f"{name}={value}" for name, value in pairs)
    headers = "".join(f"{name}:{received.headers.get(name, '').strip()}\n" for name in names)
    digest = hashlib.sha256(received.raw).hexdigest()
    canonical = f"{received.method}\n{received.path}\n{query}\n{headers}\n{';'.join(names)}\n{digest}"
    told = f"HMAC-SHA256\n{received.headers['X-Date']}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = SECRET_KEY.encode()
    for word in (*scope.split("/"), told):
        key = hmac.new(key, word.encode(), hashlib.sha256).digest()
    return key.hex()
