"""Volcengine's signature V4, by which its control plane knows an AK/SK. Pure.

It is AWS's version 4 with names of its own: the secret key is the first key as it is, the last one is "request", and the
algorithm is HMAC-SHA256.
Source: Volcengine's page on signing, and the vendor's SDK, which signs the same.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import quote

from proxy.secret import Secret

ALGORITHM = "HMAC-SHA256"


def signed_headers(
    *,
    method: str,
    host: str,
    path: str,
    query: Mapping[str, str],
    body: bytes,
    access_key: Secret,
    secret_key: Secret,
    region: str,
    service: str,
    now: dt.datetime,
) -> dict[str, str]:
    """The headers of a signed JSON request, `host` and what the transport adds aside.

    Args: host: as it is sent, without a port that is the scheme's own. path: as it is sent. now: in UTC.
    """
    date = now.strftime("%Y%m%dT%H%M%SZ")
    digest = hashlib.sha256(body).hexdigest()
    headers = {"content-type": "application/json", "host": host, "x-content-sha256": digest, "x-date": date}
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    canonical = "\n".join([method, path, _canonical(query), lines, names, digest])
    scope = f"{date[:8]}/{region}/{service}/request"
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    key = secret_key.reveal().encode()
    for word in scope.split("/"):
        key = _hmac(key, word)
    signature = _hmac(key, f"{ALGORITHM}\n{date}\n{scope}\n{hashed}").hex()
    del headers["host"]
    headers["authorization"] = (
        f"{ALGORITHM} Credential={access_key.reveal()}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return headers


def _canonical(query: Mapping[str, str]) -> str:
    pairs = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in query.items())
    return "&".join(f"{name}={value}" for name, value in pairs)


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
