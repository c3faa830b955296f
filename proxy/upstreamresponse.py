"""A provider's response as it comes: each piece within the idle time, all of it within the deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

import aiohttp
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import RawResponseMessage

from proxy.connections import Pool
from proxy.deadlines import NEVER, Deadlines
from proxy.errors import Progress, UpstreamError, UpstreamTimeout
from proxy.upstreamfaults import translate

QUIET_S = 15.0
"""How long a provider is silent until `on_quiet` is called, and then between two calls."""
LAST_BYTES_S = 1.0
"""How long the end of a body may take once the answer in it is whole."""
ERROR_BODY_S = 5.0
"""How long the body of what is no answer may take; its status says the most."""
ERROR_BODY_BYTES = 64 * 1024


class Owner(Protocol):
    """Whose connections these are."""

    deadlines: Deadlines

    async def give_back(self, pool: Pool) -> None: ...


class Head(NamedTuple):
    """An answer whose body is still to come."""

    connection: Connection
    message: RawResponseMessage
    body: aiohttp.StreamReader
    first_byte_s: float
    """Loop time by which the body's first byte must be here."""


class AiohttpResponse:
    """A response whose body is read piece by piece, each within the idle time and all within the deadline."""

    __slots__ = (
        "_body", "_connection", "_deadline_s", "_deadlines", "_idle_s", "_late_s", "_owner", "_pool", "_wait_s", "headers",
        "on_quiet", "status", "when_s",
    )  # fmt: skip

    def __init__(self, head: Head, pool: Pool, owner: Owner, idle_s: float, deadline_s: float) -> None:
        self.status = head.message.code
        self.headers: Mapping[str, str] = head.message.headers
        self._body = head.body
        self._connection = head.connection
        self._pool = pool
        self._owner = owner
        self._deadlines = owner.deadlines
        self._idle_s = idle_s
        self._wait_s = head.first_byte_s - self._deadlines.loop.time()
        self._deadline_s = deadline_s
        self.on_quiet: Callable[[], None] | None = None
        self._late_s = self.when_s = NEVER

    @property
    def over(self) -> bool:
        return self._body.at_eof()

    async def read(self) -> bytes:
        body = self._body
        now_s = self._deadlines.loop.time()
        if now_s >= self._deadline_s:
            # Where the provider never pauses, or the client reads slowly, there is always something and nothing expires.
            raise UpstreamTimeout("The provider's answer took too long.", progress=Progress.HEADERS_ONLY)
        wait_s, self._wait_s = self._wait_s, self._idle_s
        if body._buffer:
            return body._read_nowait(-1)  # what came before a fault stands; the next read meets it
        if self._late_s is NEVER:
            self._deadlines.add(self)
        self._late_s = min(self._deadline_s, now_s + wait_s)
        self.when_s = min(self._late_s, now_s + QUIET_S)
        try:
            return await body.readany()
        except TimeoutError as error:
            raise UpstreamTimeout("The provider stopped answering in the middle.", progress=Progress.HEADERS_ONLY) from error
        except (aiohttp.ClientError, HttpProcessingError, OSError) as error:
            raise translate(error, Progress.HEADERS_ONLY) from error
        finally:
            self.when_s = NEVER

    def expire(self) -> None:
        """The provider pauses: for too long, or for so long that whoever waits should know."""
        now_s = self._deadlines.loop.time()
        if now_s < self._late_s:
            self.when_s = min(self._late_s, now_s + QUIET_S)
            self._deadlines.add(self)
            if self.on_quiet is not None:
                self.on_quiet()
            return
        self._body.set_exception(TimeoutError())

    async def finish(self) -> None:
        try:
            async with asyncio.timeout(LAST_BYTES_S):
                while await self._body.readany():
                    pass
        except (TimeoutError, aiohttp.ClientError, HttpProcessingError, OSError):
            pass
        finally:
            await self.close()

    async def close(self) -> None:
        self._deadlines.discard(self)
        if self._body.is_eof():
            self._pool.keep(self._connection)
        else:
            self._connection.close()
        await self._owner.give_back(self._pool)


class RefusingResponse(AiohttpResponse):
    """A response that is no answer: an error, a redirect. What its body says is worth a moment and some KiB; one that
    breaks off, or never ends, is taken for what has come of it."""

    __slots__ = ("_left_bytes",)

    def __init__(self, head: Head, pool: Pool, owner: Owner, idle_s: float, deadline_s: float) -> None:
        deadline_s = min(deadline_s, owner.deadlines.loop.time() + ERROR_BODY_S)
        super().__init__(head, pool, owner, idle_s, deadline_s)
        self._left_bytes = ERROR_BODY_BYTES

    async def read(self) -> bytes:
        if self._left_bytes <= 0:
            return b""
        try:
            data = await super().read()
        except UpstreamError:
            return b""
        self._left_bytes -= len(data)
        return data
