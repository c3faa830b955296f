"""What all doors of the fake Ark share: the key check behind 401, and the error envelope of four strings."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.fakes.faults import Refusal
from tests.fakes.server import Received, data_frame

if TYPE_CHECKING:
    from tests.fakes.ark import FakeArk

_KINDS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    429: "TooManyRequests",
}
_KINDS_BY_CODE = {
    "InvalidSubscription": "Forbidden",
    "InvalidAccountStatus": "Forbidden",
    "UnsupportedModel": "",
}


@dataclass(frozen=True)
class ArkDoor:
    """A door of `/api/v3`: bearer key, errors in Ark's own envelope."""

    ark: FakeArk

    def authenticate(self, received: Received) -> None:
        check_key(received, self.ark.keys_for(received.model))

    def error_body(self, refusal: Refusal, received: Received) -> dict[str, Any]:
        return envelope(refusal, received.id)

    def error_event(self, refusal: Refusal, received: Received) -> bytes:
        return data_frame(envelope(refusal, received.id))


def envelope(refusal: Refusal, request_id: str) -> dict[str, Any]:
    """The body of an error, and of an error event."""
    kind = refusal.kind
    if kind is None:
        kind = _KINDS_BY_CODE.get(refusal.code, _KINDS.get(refusal.status, "InternalServerError"))
    return {
        "error": {
            "code": refusal.code,
            "message": f"{refusal.message} Request id: {request_id}",
            "param": refusal.param,
            "type": kind,
        }
    }


def invalid(param: str, message: str, *, code: str = "InvalidParameter") -> Refusal:
    """A 400 that blames a parameter."""
    return Refusal(400, code, message, param=param)


def check_door(model_id: str, has_it: bool) -> None:
    """Raises: Refusal: 400, the model can't be called through this door."""
    if not has_it:
        raise invalid("model", f"The model {model_id} does not support this api.")


def check_key(received: Received, keys: Sequence[str], *, x_api_key: bool = False) -> None:
    """Check that the bearer token, or `x-api-key` where the door takes it, is one of these.

    Raises: Refusal: 401.
    """
    scheme, _, given = received.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        given = received.headers.get("x-api-key", "") if x_api_key else ""
    if not any(hmac.compare_digest(given.encode(), key.encode()) for key in keys):
        raise Refusal(401, "AuthenticationError", "The API key in the request is missing or invalid.")
