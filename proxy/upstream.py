"""How a request reaches a provider: credentials, timeouts, aiohttp's errors → ours. Its connections are connections.py's.

Nothing of aiohttp's client defaults that could leak or repeat a request is left on: no redirect is followed, no cookie kept,
no environment proxy read, no body decompressed. One thing is sent once more: what went to a kept connection that turned
out closed, and which so reached nobody.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import aiohttp
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError

from proxy.adapter import Send
from proxy.clock import Clock, SystemClock
from proxy.connections import READ_BYTES, Pool, ProviderProtocol
from proxy.context import Target
from proxy.credentials import sign, span_of
from proxy.deadlines import Deadlines
from proxy.errors import (
    Progress,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from proxy.secret import Secret
from proxy.snapshot import Provider
from proxy.temporary_keys import TemporaryKeys
from proxy.trust import Trust
from proxy.upstreamfaults import refused_handshake, translate
from proxy.upstreamresponse import AiohttpResponse, Head, RefusingResponse

AT_ONCE_S = 0.3
"""A kept connection that ends so soon after a request was written, without a byte, had been closed before it came."""

MOST_INTERIM_ANSWERS = 100
"""Of the 1xx kind, before the answer itself."""
MOST_HEADS = 256
CONTROL_S = 10.0
"""For a whole call of a control plane."""
MOST_CONTROL_BYTES = 64 * 1024

PoolKey = tuple[str, str, Secret | None, Trust | None]
"""What two providers, of one configuration or of two, must have in common to share connections."""


class Response(Protocol):
    """What came back, as far as it has come."""

    status: int
    headers: Mapping[str, str]
    on_quiet: Callable[[], None] | None
    """Called again and again while the provider is silent."""

    @property
    def over(self) -> bool:
        """Whether all of it was read."""
        ...

    async def read(self) -> bytes:
        """The next bytes, b"" at the end. Raises: UpstreamError."""
        ...

    async def close(self) -> None:
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


    def secrets(self) -> Sequence[Secret]:
        """Credentials that the configuration doesn't have, for redaction."""
        ...


class AiohttpTransport:
    """Transport over aiohttp's connector and parser.

    Not over its ClientSession: what that does for each request, for cookies, redirects, proxies, form data and traces, is
    all that we must not do, and a third of the processor time of a request.
    """

    def __init__(self, user_agent: str, clock: Clock | None = None) -> None:
        self._user_agent = user_agent
        self._clock = clock or SystemClock()
        self._keys = TemporaryKeys(self._ask_control_plane, self._clock)
        self.deadlines = Deadlines()
        self.stale: Counter[str] = Counter()
        """{provider: requests that met a kept connection which turned out closed}."""
        self._pools: dict[PoolKey, Pool] = {}
        self._retired: set[Pool] = set()

    async def send(self, provider: Provider, target: Target, request: Send, deadline_s: float) -> Response:
        timeouts = target.timeouts
        first_s = timeouts.first_byte_s if request.stream else timeouts.total_s
        idle_s = timeouts.idle_s if request.stream else timeouts.total_s
        credential = provider.credential
        if provider.access is not None:
            credential = self._keys.at_hand(provider, target) or await self._keys.wait(provider, target, deadline_s)
        pool = self._pool(provider)
        pool.busy += 1
        try:
            data = self._head(pool, provider, request, credential) + request.body
            try:
                head = await self._ask(pool, data, timeouts.connect_s, first_s, deadline_s)
            except _ClosedBefore:
                self.stale[provider.name] += 1
                head = await self._ask(pool, data, timeouts.connect_s, first_s, deadline_s, fresh=True)
        except BaseException:
            await self.give_back(pool)
            raise
        if provider.access is not None and head.message.code == 401:
            self._keys.refused(provider, target)
        kind = AiohttpResponse if head.message.code == 200 else RefusingResponse
        return kind(head, pool, self, idle_s, deadline_s)

    def headers(self, provider: Provider, request: Send, credential: Secret) -> dict[str, str]:
        """What is sent beside the body, the credential included."""
        headers = {"user-agent": self._user_agent, "accept-encoding": "identity"}
        if request.body:
            headers["content-type"] = "application/json"
        if request.headers:
            headers.update(request.headers)
        return headers | sign(_signer_of(provider), credential, self._clock.now_ns() // 10**9)

    def secrets(self) -> Sequence[Secret]:
        return self._keys.secrets()

    async def close(self) -> None:
        await self._keys.close()
        for pool in (*self._pools.values(), *self._retired):
            await pool.close()

    async def keep(self, providers: Mapping[str, Provider]) -> None:
        """Retire the pools of providers that a reload removed or changed; the others keep their connections."""
        self._keys.keep(providers.values())
        wanted = {_pool_key(provider) for provider in providers.values()}
        for key in [key for key in self._pools if key not in wanted]:
            pool = self._pools.pop(key)
            self._retired.add(pool)
            await self._close_retired(pool)

    async def give_back(self, pool: Pool) -> None:
        """A request is done with its connection."""
        pool.busy -= 1
        if pool in self._retired:
            await self._close_retired(pool)

    async def _close_retired(self, pool: Pool) -> None:
        pool.retired = True
        if not pool.busy:
            self._retired.discard(pool)
            await pool.close()

    def _pool(self, provider: Provider) -> Pool:
        key = _pool_key(provider)
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = Pool(provider, self._user_agent, self.deadlines)
        return pool

    async def _ask_control_plane(self, provider: Provider, target: Target, request: Send) -> tuple[int, bytes]:
        assert provider.access is not None
        control = replace(provider, base_url=provider.access.control_url, access=None)
        response = await self.send(control, target, request, self.deadlines.loop.time() + CONTROL_S)
        try:
            body = b""
            while len(body) < MOST_CONTROL_BYTES and (data := await response.read()):
                body += data
            return response.status, body
        finally:
            await response.close()

    def _head(self, pool: Pool, provider: Provider, request: Send, credential: Secret) -> bytes:
        """Request line and headers. Raises: UpstreamUnreachable for what can't be written as HTTP."""
        own = tuple((request.headers or {}).items())
        signer = _signer_of(provider)
        span = span_of(signer, self._clock.now_ns() // 10**9)
        made_of = (credential, signer, span, request.method, request.path, own, bool(request.body))
        head = pool.heads.get(made_of)
        if head is None:
            lines = [f"{request.method} {pool.path}{request.path} HTTP/1.1", f"host: {pool.host}"]
            headers = self.headers(provider, request, credential) | pool.proxy_headers
            lines += [f"{name}: {value}" for name, value in headers.items()]
            text = "\r\n".join([*lines, "content-length: "])
            if text.count("\n") != len(lines) or text.count("\r") != len(lines) or not text.isascii():
                raise UpstreamUnreachable("The provider's credential or a header of its adapter can't be sent over HTTP.")
            if len(pool.heads) >= MOST_HEADS:
                pool.heads.clear()
            head = pool.heads[made_of] = text.encode()
        return b"%b%d\r\n\r\n" % (head, len(request.body))

    async def _ask(
        self, pool: Pool, data: bytes, connect_s: float, first_s: float, deadline_s: float, *, fresh: bool = False
    ) -> Head:
        """Raises: _ClosedBefore: over a kept connection it reached nobody."""
        kept = None if fresh else pool.kept()
        connection = kept or await self._connect(pool, min(deadline_s, self.deadlines.loop.time() + connect_s))
        try:
            return await self._exchange(connection, data, first_s, deadline_s, kept=kept is not None)
        except BaseException:
            connection.close()
            raise

    async def _connect(self, pool: Pool, deadline_s: float) -> Connection:
        try:
            with self.deadlines.until(deadline_s):
                return await pool.connect()
        except TimeoutError as error:
            raise UpstreamTimeout("The provider did not accept a connection in time.", progress=Progress.NEVER_SENT) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise refused_handshake(error) or translate(error, Progress.NEVER_SENT) from error

    async def _exchange(self, connection: Connection, data: bytes, first_s: float, deadline_s: float, *, kept: bool) -> Head:
        """Write a request, read the head of its answer. kept: the connection has served before. Raises: _ClosedBefore."""
        protocol = connection.protocol
        assert isinstance(protocol, ProviderProtocol)
        if protocol.transport is None or protocol.transport.is_closing():
            raise UpstreamUnreachable("The provider closed the connection before anything was sent.")
        protocol.set_response_params(read_until_eof=True, auto_decompress=False, read_bufsize=READ_BYTES // 2)
        protocol.heard = False
        written_s = self.deadlines.loop.time()
        first_byte_s = protocol.when_s = min(deadline_s, written_s + first_s)
        self.deadlines.add(protocol)
        try:
            protocol.transport.write(data)
            for _ in range(MOST_INTERIM_ANSWERS):
                message, body = await protocol.read()
                if not 100 <= message.code < 200 or message.code == 101:
                    return Head(connection, message, body, first_byte_s)
            raise UpstreamProtocolError("The provider sends one interim answer after another.")
        except TimeoutError as error:
            raise UpstreamTimeout(
                f"The provider did not begin its answer within {first_s:g} s.", progress=Progress.AMBIGUOUS
            ) from error
        except (aiohttp.ClientError, HttpProcessingError, OSError) as error:
            if protocol.heard:
                raise translate(error) from error
            if kept and self.deadlines.loop.time() - written_s < AT_ONCE_S:
                raise _ClosedBefore from error
            raise (None if kept else refused_handshake(error)) or translate(error) from error
        finally:
            self.deadlines.discard(protocol)


class _ClosedBefore(Exception):
    """The provider had closed the connection before the request came."""


def _pool_key(provider: Provider) -> PoolKey:
    return (provider.name, provider.base_url, provider.proxy, provider.trust)


def _signer_of(provider: Provider) -> str:
    return provider.signer or provider.adapter.signer
