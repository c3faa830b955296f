"""A client's connection: aiohttp's, with deadlines on headers, a place for it only while there is room, and an error page that
repeats nothing of a request that could not be parsed."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from typing import Any

import structlog
from aiohttp import hdrs, web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestHandler

from proxy.errors import BadRequest, GatewayError, GatewayFault, HeadersTooLarge
from proxy.jsontext import dumps
from proxy.overload import Load

SERVER = "paifang"
"""Instead of the library's name and version."""
HEAD_S = 10.0
"""How long the head of a request may take: of the first one from the connection's start, of later ones from its first byte."""
CROWDED_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})
"""What is answered on connections beyond the bound."""
LOG_EVERY_S = 10.0

log = structlog.get_logger("paifang")


def error_response(error: GatewayError, headers: Mapping[str, str] | None = None) -> web.Response:
    """An error as its client sees it. A request that never got an id of its own gets one here."""
    request_id = {"x-request-id": f"req_{secrets.token_hex(16)}"}
    return web.Response(
        status=error.status,
        body=dumps(error.body()),
        content_type="application/json",
        headers={**request_id, **error.headers(), **(headers or {})},
    )


def last_response(error: GatewayError) -> web.Response:
    """The same, after which the connection is closed."""
    response = error_response(error, {hdrs.SERVER: SERVER})
    response.force_close()
    return response


class Sparingly:
    """Decides whether to log what anybody can cause at any rate."""

    def __init__(self) -> None:
        self._until_s = 0.0
        self._left_out = 0

    def may(self, now_s: float) -> bool:
        """At most once in LOG_EVERY_S."""
        if now_s < self._until_s:
            self._left_out += 1
            return False
        self._until_s = now_s + LOG_EVERY_S
        return True

    def left_out(self) -> int:
        """How many were not logged since the last that was."""
        left_out, self._left_out = self._left_out, 0
        return left_out


class ClientConnection(RequestHandler):
    """One connection."""

    __slots__ = ("_client", "_head_number", "_head_timer", "_load", "_sparingly")

    def __init__(self, server: web.Server, load: Load | None, sparingly: Sparingly, **options: Any) -> None:
        """load: None where the connection counts for nothing, as on the control socket."""
        super().__init__(server, **options)
        self._load = load
        self._client = ""
        self._sparingly = sparingly
        self._head_number = -1
        """Of the request whose head is timed."""
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._limit_head()
        if self._load is None:
            return
        peer = transport.get_extra_info("peername")
        self._client = peer[0] if isinstance(peer, tuple) else ""
        if not self._load.arrived(self._client):
            self._request_handler = self._crowded
            if self._load.full:
                self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._load is not None and self._manager is not None:
            self._load.left(self._client)
        if self._head_timer is not None:
            self._head_timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._waiter is not None and not self._messages:
            self._limit_head()  # it is still waiting for the rest of a head

    def _limit_head(self) -> None:
        """The next head must be whole in time. More bytes of it don't move that."""
        if self._head_number == self._request_count:
            return
        self._head_number = self._request_count
        if self._head_timer is not None:
            self._head_timer.cancel()
        self._head_timer = self._loop.call_later(HEAD_S, self._end_head)

    def _end_head(self) -> None:
        if self._head_number == self._request_count:
            self.force_close()

    async def _crowded(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method in (hdrs.METH_GET, hdrs.METH_HEAD) and request.raw_path in CROWDED_PATHS:
            assert self._manager is not None
            response = await self._manager.request_handler(request)
            response.force_close()
            return response
        assert self._load is not None
        error = self._load.refusal()
        if self._sparingly.may(self._loop.time()):
            log.warning("too many connections", client=self._client, left_out=self._sparingly.left_out())
        return last_response(error)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        # The parser's message quotes the offending line, which may hold a key.
        if status >= 500:
            log.error("internal error", path=request.path, exc_info=exc)
        elif self._sparingly.may(self._loop.time()):
            kind, left_out = type(exc).__name__, self._sparingly.left_out()
            log.info("unreadable request", status=status, error=kind, client=request.remote, left_out=left_out)
        if request.writer is not None and request.writer.output_size > 0:
            raise ConnectionError("the answer had begun")
        if status >= 500:
            return last_response(GatewayFault("The gateway failed; its log says more."))
        if isinstance(exc, LineTooLong):
            return last_response(HeadersTooLarge("The request's first line or a header is too long."))
        return last_response(BadRequest("The request is not valid HTTP.", code="invalid_request"))
