"""The connections to one base URL: made by aiohttp's connector, kept between requests, closed when nobody needs them."""

from __future__ import annotations

import asyncio
import base64
import select
import ssl
from functools import partial
from typing import Any

import aiohttp
from aiohttp import hdrs
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from yarl import URL

from proxy.deadlines import NEVER, Deadlines
from proxy.resolver import Resolver
from proxy.snapshot import Provider

IDLE_CONNECTION_S = 15
"""Shorter than providers keep a connection, so that we seldom meet one they are just closing."""
READ_BYTES = 64 * 1024
"""Read at once. asyncio's own 256 KiB would be held several times over, as bytes, events and text, for each slow reader."""


class Pool:
    """The connections to one base URL, and what each request to it begins with."""

    def __init__(self, provider: Provider, user_agent: str, deadlines: Deadlines) -> None:
        url = URL(provider.base_url, encoded=True)
        proxy, proxy_headers = _proxy(provider)
        self._connector = aiohttp.TCPConnector(limit=0, force_close=True, resolver=Resolver())
        self._connector._factory = partial(ProviderProtocol, loop=deadlines.loop)  # type: ignore[assignment]
        self._address = aiohttp.ClientRequest(
            "POST",
            url,
            loop=deadlines.loop,
            proxy=proxy,
            proxy_headers={**proxy_headers, hdrs.USER_AGENT: user_agent},
            ssl=True if provider.trust is None else provider.trust.context,
        )
        """Names host, port, TLS and proxy to the connector; it is never sent."""
        self._timeout = aiohttp.ClientTimeout(total=None)  # who asks for a connection says how long it may take
        self._deadlines = deadlines
        self._idle: list[IdleConnection] = []
        """The one that came back last is taken first."""
        self.host = self._address.headers["Host"]
        self.path = url.raw_path.rstrip("/")
        self.proxy_headers: dict[str, str] = {}
        """For a proxy that passes each request on, as it does with http; https goes through a tunnel."""
        if proxy is not None and url.scheme == "http":
            self.path = f"http://{self.host}{self.path}"
            self.proxy_headers = proxy_headers
        self.heads: dict[tuple[object, ...], bytes] = {}
        """{what a head is made of: the head up to its content-length}, as nearly every request has the same."""
        self.busy = 0
        self.retired = False

    def kept(self) -> Connection | None:
        """A connection that has served before. Not one that got bytes which nobody asked for: they would be taken for the
        next request's answer."""
        while self._idle:
            idle = self._idle.pop()
            self._deadlines.discard(idle)
            protocol = idle.connection.protocol
            assert protocol is None or isinstance(protocol, ProviderProtocol)
            if protocol is not None and protocol.is_connected() and not protocol.should_close and not protocol.unread():
                return idle.connection
            idle.connection.close()
        return None

    async def connect(self) -> Connection:
        """A new connection."""
        connection = await self._connector.connect(self._address, [], self._timeout)
        transport: Any = connection.transport
        if hasattr(transport, "max_size"):
            transport.max_size = READ_BYTES
        return connection

    def keep(self, connection: Connection) -> None:
        """The connection's answer is over: it can serve again, unless the request has not even left."""
        protocol, transport = connection.protocol, connection.transport
        if self.retired or protocol is None or protocol.should_close or _unsent(transport):
            connection.close()
            return
        idle = IdleConnection(connection, self._idle, self._deadlines.loop.time() + IDLE_CONNECTION_S)
        self._idle.append(idle)
        self._deadlines.add(idle)

    async def close(self) -> None:
        self.retired = True
        for idle in tuple(self._idle):
            self._deadlines.discard(idle)
            idle.expire()
        await self._connector.close()


class IdleConnection:
    """A connection that waits for its next request, for a while."""

    __slots__ = ("_among", "connection", "when_s")

    def __init__(self, connection: Connection, among: list[IdleConnection], when_s: float) -> None:
        self.connection = connection
        self.when_s = when_s
        self._among = among

    def expire(self) -> None:
        self._among.remove(self)
        self.connection.close()


class ProviderProtocol(ResponseHandler):
    """aiohttp's, which leaves who reads a body waiting if a later chunk of it can't be parsed, tells the cause of an end to
    nobody but who is waiting for it, and doesn't tell whether anything came before."""

    heard = False
    """Anything has come since this was last made False."""
    when_s = NEVER
    """When the head of an answer is due."""
    _poll: select.poll | None = None

    def expire(self) -> None:
        """It did not come in time."""
        self.set_exception(TimeoutError())

    def unread(self) -> bool:
        """Whether the kernel has bytes, or the end, of the connection that the loop has not looked at yet."""
        if self._poll is None:
            assert self.transport is not None
            self._poll = select.poll()
            self._poll.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(self._poll.poll(0))

    def data_received(self, data: bytes) -> None:
        self.heard = True
        super().data_received(data)

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        super().set_exception(exc, *cause)
        if cause and isinstance(cause[0], ssl.SSLError):
            exc.__cause__ = cause[0]
        body = self._payload
        if body is not None and not body.is_eof() and body.exception() is None:
            body.set_exception(exc, *cause)


def _unsent(transport: asyncio.Transport | None) -> bool:
    return transport is None or transport.get_write_buffer_size() > 0


def _proxy(provider: Provider) -> tuple[URL | None, dict[str, str]]:
    """The address of a provider's proxy, and the headers for it."""
    if provider.proxy is None:
        return None, {}
    url = URL(provider.proxy.reveal())
    if url.user is None:
        return url, {}
    credentials = base64.b64encode(f"{url.user}:{url.password or ''}".encode()).decode()
    return url.with_user(None), {hdrs.PROXY_AUTHORIZATION: f"Basic {credentials}"}
