"""aiohttp's client errors in our words."""

from __future__ import annotations

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from proxy.errors import Progress, StreamTruncated, UpstreamError, UpstreamProtocolError, UpstreamUnreachable


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
