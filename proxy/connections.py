"""The connections to one base URL: made by aiohttp's connector, kept between requests, closed when nobody needs them."""

from __future__ import annotations

import aiohttp
from aiohttp.connector import Connection
from yarl import URL

from proxy.deadlines import Deadlines
from proxy.snapshot import Provider

IDLE_CONNECTION_S = 15
"""Shorter than providers keep a connection, so that we seldom meet one they are just closing."""


class Pool:
    """The connections to one base URL, and what each request to it begins with."""

    def __init__(self, provider: Provider, deadlines: Deadlines) -> None:
        url = URL(provider.base_url, encoded=True)
        self._connector = aiohttp.TCPConnector(limit=0, force_close=True)
        self._address = aiohttp.ClientRequest("POST", url, loop=deadlines.loop)
        """Names host, port and TLS to the connector; it is never sent."""
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=provider.connect_s)
        self._deadlines = deadlines
        self._idle: list[IdleConnection] = []
        """The one that came back last is taken first."""
        self.path = url.raw_path.rstrip("/")
        self.host = self._address.headers["Host"]
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
            if protocol is not None and protocol.is_connected() and not protocol.should_close:
                return idle.connection
            idle.connection.close()
        return None

    async def connect(self) -> Connection:
        """A new connection."""
        return await self._connector.connect(self._address, [], self._timeout)

    def keep(self, connection: Connection) -> None:
        """The connection's answer is over: it can serve again."""
        protocol = connection.protocol
        if self.retired or protocol is None or protocol.should_close:
            connection.close()
            return
        idle = IdleConnection(connection, self._idle, self._deadlines.loop.time() + IDLE_CONNECTION_S)
        self._idle.append(idle)
        self._deadlines.add(idle)

    async def give_back(self) -> None:
        self.busy -= 1
        if self.retired and not self.busy:
            await self.close()

    async def retire(self) -> None:
        """Close it as soon as nobody uses it."""
        self.retired = True
        if not self.busy:
            await self.close()

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
