"""The only file that opens sockets to providers: pooling, credentials, timeouts, aiohttp's errors → ours.

Nothing of aiohttp's client defaults that could leak or repeat a request is left on: no redirect is followed, no cookie kept,
no environment proxy read, no body decompressed, nothing retried.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import lru_cache
from typing import Protocol

import aiohttp
from yarl import URL

from proxy.adapter import Send
from proxy.context import Target
from proxy.credentials import SIGNERS
from proxy.deadlines import Deadlines
from proxy.errors import (
    Progress,
    StreamTruncated,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from proxy.snapshot import Provider

IDLE_CONNECTION_S = 15
"""Shorter than providers keep a connection, so that we seldom meet one they are just closing."""

LAST_BYTES_S = 1.0
"""How long the end of a body may take once the answer in it is whole."""


class Response(Protocol):
    """What came back, as far as it has come."""

    status: int
    headers: Mapping[str, str]

    async def read(self) -> bytes:
        """The next bytes, b"" at the end. Raises: UpstreamError."""
        ...

    def close(self) -> None:
        """Give the connection back if the body is over, else break it off."""
        ...

    async def finish(self) -> None:
        """The answer is whole: wait a moment for the end of its body, so that the connection can serve again."""
        ...


class Transport(Protocol):
    """How a request reaches a provider."""

    async def send(self, provider: Provider, target: Target, request: Send, deadline_s: float) -> Response:
        """Send and wait for the head. deadline_s: loop time by which everything must be over. Raises: UpstreamError."""
        ...


class AiohttpTransport:
    """Transport over aiohttp, one connection pool per provider."""

    def __init__(self, user_agent: str) -> None:
        self._user_agent = user_agent
        self._deadlines = Deadlines()
        self._sessions: dict[tuple[str, str, float], aiohttp.ClientSession] = {}

    async def send(self, provider: Provider, target: Target, request: Send, deadline_s: float) -> Response:
        timeouts = target.timeouts
        head_s = timeouts.first_byte_s if request.stream else timeouts.total_s
        now_s = self._deadlines.loop.time()
        try:
            with self._deadlines.until(min(deadline_s, now_s + head_s)):
                response = await self._session(provider).request(
                    request.method,
                    _url(provider.base_url + request.path),
                    data=request.body or None,
                    headers=self.headers(provider, request),
                    allow_redirects=False,
                )
        except TimeoutError as error:
            raise timed_out(error, head_s) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise translate(error) from error
        idle_s = timeouts.idle_s if request.stream else timeouts.total_s
        return AiohttpResponse(response, self._deadlines, idle_s, deadline_s)

    def headers(self, provider: Provider, request: Send) -> dict[str, str]:
        """What is sent beside the body, the credential included."""
        headers = {"user-agent": self._user_agent, "accept-encoding": "identity"}
        if request.body:
            headers["content-type"] = "application/json"
        if request.headers:
            headers.update(request.headers)
        return headers | SIGNERS[provider.adapter.signer](provider.credential)

    async def close(self) -> None:
        for session in self._sessions.values():
            await session.close()

    async def keep(self, providers: Mapping[str, Provider]) -> None:
        """Close the pools of providers that a reload removed or changed; the others keep their connections."""
        wanted = {self._pool_key(provider) for provider in providers.values()}
        for key in [key for key in self._sessions if key not in wanted]:
            await self._sessions.pop(key).close()

    def _session(self, provider: Provider) -> aiohttp.ClientSession:
        key = self._pool_key(provider)
        session = self._sessions.get(key)
        if session is None:
            session = self._sessions[key] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_CONNECTION_S),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=provider.connect_s),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=("user-agent", "accept", "accept-encoding"),
                trust_env=False,
            )
        return session

    @staticmethod
    def _pool_key(provider: Provider) -> tuple[str, str, float]:
        return (provider.name, provider.base_url, provider.connect_s)


class AiohttpResponse:
    """A response whose body is read piece by piece, each within the idle time and all within the deadline."""

    __slots__ = ("_deadline_s", "_deadlines", "_idle_s", "_response", "headers", "status")

    def __init__(
        self, response: aiohttp.ClientResponse, deadlines: Deadlines, idle_s: float, deadline_s: float
    ) -> None:
        self._response = response
        self._deadlines = deadlines
        self._idle_s = idle_s
        self._deadline_s = deadline_s
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    async def read(self) -> bytes:
        content = self._response.content
        try:
            # What is here already needs no timer, and most of the time something is.
            if data := content.read_nowait():
                return data
            if content.at_eof():
                return b""
            now_s = self._deadlines.loop.time()
            with self._deadlines.until(min(self._deadline_s, now_s + self._idle_s)):
                return await content.readany()
        except TimeoutError as error:
            raise UpstreamTimeout(
                "The provider stopped answering in the middle.", progress=Progress.HEADERS_ONLY, detail=str(error)
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            raise translate(error, Progress.HEADERS_ONLY) from error

    async def finish(self) -> None:
        try:
            async with asyncio.timeout(LAST_BYTES_S):
                while await self._response.content.readany():
                    pass
        except (TimeoutError, aiohttp.ClientError, OSError):
            pass
        self.close()

    def close(self) -> None:
        if self._response.content.is_eof():
            self._response.release()
        else:
            self._response.close()


@lru_cache(maxsize=1024)
def _url(text: str) -> URL:
    return URL(text, encoded=True)


def timed_out(error: TimeoutError, head_s: float) -> UpstreamError:
    """A timeout before the head: while connecting nothing was sent, afterwards it may have been served."""
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return UpstreamTimeout("The provider did not accept a connection in time.", progress=Progress.NEVER_SENT)
    return UpstreamTimeout(f"The provider did not begin its answer within {head_s:g} s.", progress=Progress.AMBIGUOUS)


def translate(error: Exception, progress: Progress = Progress.AMBIGUOUS) -> UpstreamError:
    """aiohttp's client errors in our words.

    progress: how far the exchange had come. Connecting fails before anything is sent; a body that breaks is a truncation.
    """
    detail = f"{type(error).__name__}: {error}"
    match error:
        case aiohttp.ClientSSLError() | aiohttp.ServerFingerprintMismatch():
            return UpstreamUnreachable("The provider's TLS certificate can't be trusted.", detail=detail)
        case aiohttp.ClientConnectorDNSError():
            return UpstreamUnreachable("The provider's host name can't be resolved.", detail=detail)
        case aiohttp.ClientConnectorError():
            return UpstreamUnreachable("The provider can't be reached.", detail=detail)
        case aiohttp.ClientPayloadError():
            return StreamTruncated("The provider's answer broke off in the middle.", detail=detail)
        case aiohttp.ClientResponseError():
            return UpstreamProtocolError("The provider's answer is not valid HTTP.", detail=detail)
        case aiohttp.InvalidURL():
            return UpstreamUnreachable("The provider's base_url is not a valid URL.", detail=detail)
        case _ if progress is Progress.HEADERS_ONLY:
            return StreamTruncated("The connection to the provider was lost in the middle of its answer.", detail=detail)
        case _:
            return UpstreamUnreachable("The connection to the provider was lost.", progress=progress, detail=detail)
