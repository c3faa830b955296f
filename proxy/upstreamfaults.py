"""aiohttp's client errors in our words."""

from __future__ import annotations

import ssl

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from proxy.errors import (
    ClientCertificateRefused,
    Progress,
    StreamTruncated,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamUnreachable,
)

CERTIFICATE_ALERTS = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED", "DECRYPT_ERROR", "HANDSHAKE_FAILURE")
"""Words of the alerts (RFC 8446, 6.2) by which servers refuse a client's certificate or the lack of one; the last is what
TLS 1.2 has for a lack."""


def refused_handshake(error: Exception) -> UpstreamUnreachable | None:
    """What the provider means that ended a TLS handshake with an alert; None if it is something else.

    With TLS 1.3 it judges our certificate after our side of the handshake is over, so the alert is the first thing that is
    read, and the request that was written meanwhile was never looked at.
    """
    cause = error.__cause__
    reason = cause.reason if isinstance(cause, ssl.SSLError) else None
    if reason is None or "_ALERT_" not in reason:
        return None
    detail = f"{type(error).__name__}: {error}"
    if any(word in reason for word in CERTIFICATE_ALERTS):
        return ClientCertificateRefused("The provider refuses the gateway's client certificate, or misses one.", detail=detail)
    return UpstreamUnreachable("The provider ended the TLS handshake.", detail=detail)


def translate(error: Exception, progress: Progress = Progress.AMBIGUOUS) -> UpstreamError:
    """aiohttp's client errors in our words.

    progress: how far the exchange had come. Connecting fails before anything is sent; a body that breaks is a truncation.
    """
    detail = f"{type(error).__name__}: {error}"
    match error:
        case aiohttp.ClientSSLError() | aiohttp.ServerFingerprintMismatch():
            return UpstreamUnreachable("The provider's TLS certificate can't be trusted.", detail=detail)
        case aiohttp.ClientProxyConnectionError():
            return UpstreamUnreachable("The proxy to the provider can't be reached.", detail=detail)
        case aiohttp.ClientHttpProxyError():
            # What the proxy says of itself is no answer of the provider's.
            return UpstreamUnreachable("The proxy refused to connect to the provider.", detail=detail)
        case aiohttp.ClientConnectorDNSError():
            return UpstreamUnreachable("The provider's host name can't be resolved.", detail=detail)
        case aiohttp.ClientConnectorError():
            return UpstreamUnreachable("The provider can't be reached.", detail=detail)
        case aiohttp.ClientPayloadError():
            return StreamTruncated("The provider's answer broke off in the middle.", detail=detail)
        case aiohttp.ClientResponseError() | HttpProcessingError():
            return UpstreamProtocolError("The provider's answer is not valid HTTP.", detail=detail)
        case aiohttp.InvalidURL():
            return UpstreamUnreachable("The provider's base_url is not a valid URL.", detail=detail)
        case _ if progress is Progress.HEADERS_ONLY:
            return StreamTruncated("The connection to the provider was lost in the middle of its answer.", detail=detail)
        case _:
            return UpstreamUnreachable("The connection to the provider was lost.", progress=progress, detail=detail)
