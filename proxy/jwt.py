"""Tokens that a key pair signs for itself, good for some minutes: JSON Web Tokens with HS256 (RFC 7519, RFC 7515).

Made for the beginning of a span, so that all requests of a span carry the same one, with time left at its end.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

from proxy.errors import UpstreamRejectedUs
from proxy.jsontext import dumps
from proxy.secret import Secret

ZHIPU_SPAN_S = 180
SENSENOVA_SPAN_S = 900


def zhipu_token(credential: Secret, now_s: int) -> str:
    """A token for a key `id.secret` of Zhipu, good for 210 s from the span's beginning.

    Source: zai-sdk 0.2.3, core/_jwt_token.py; times are in milliseconds.
    """
    identity, secret = _pair(credential, ".")
    begun_ms = (now_s - now_s % ZHIPU_SPAN_S) * 1000
    claims = {"api_key": identity, "exp": begun_ms + 210_000, "timestamp": begun_ms}
    return token({"alg": "HS256", "sign_type": "SIGN"}, claims, secret)


def sensenova_token(credential: Secret, now_s: int) -> str:
    """A token for AK:SK of SenseNova, good for 1800 s from the span's beginning. Source: sensenova 1.0.6, util.py."""
    access, secret = _pair(credential, ":")
    begun_s = now_s - now_s % SENSENOVA_SPAN_S
    claims = {"iss": access, "exp": begun_s + 1800, "nbf": begun_s - 5}
    return token({"alg": "HS256", "typ": "JWT"}, claims, secret)


def token(header: Mapping[str, Any], claims: Mapping[str, Any], secret: str) -> str:
    """header.claims.signature, each in base64url without padding."""
    signed = _encoded(dumps(header)) + b"." + _encoded(dumps(claims))
    return (signed + b"." + _encoded(hmac.digest(secret.encode(), signed, hashlib.sha256))).decode()


def _encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _pair(credential: Secret, separator: str) -> tuple[str, str]:
    """Raises: UpstreamRejectedUs: the api_key is no pair."""
    identity, found, secret = credential.reveal().partition(separator)
    if not (identity and found and secret):
        raise UpstreamRejectedUs(
            f"The gateway's api_key for this provider is no pair with a {separator!r} in it, which `auth: jwt` needs."
        )
    return identity, secret
