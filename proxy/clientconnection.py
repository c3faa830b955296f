"""A client's connection: aiohttp's, with deadlines on headers, a place for it only while there is room, and an error page that
repeats nothing of a request that could not be parsed."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from typing import Any

import structlog
from aiohttp import HttpVersion10, HttpVersion11, hdrs, web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from proxy.errors import BadRequest, GatewayError, GatewayFault, HeadersTooLarge
from proxy.jsontext import dumps
from proxy.overload import Load

SERVER = "paifang"
"""Instead of the library's name and version."""
HEAD_S = 10.0
"""How long the head of a request may take: of the first one from the connection's start, of later ones from its first byte."""
MOST_HEAD_BYTES = 64 * 1024
CROWDED_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})
"""What is answered on connections beyond the bound."""
LOG_EVERY_S = 10.0

_TOO_LARGE = HeadersTooLarge("The request's headers are too long together.")

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


def _fault_of(message: RawRequestMessage) -> BadRequest | None:
    """Why a head is refused although it could be read."""
    version = message.version
    if version is not HttpVersion11 and version not in (HttpVersion11, HttpVersion10):
        return BadRequest("Only HTTP/1.1 and HTTP/1.0 are spoken here.", code="invalid_request")
    if not message.chunked:
        return None
    if version != HttpVersion11:
        # Who sends HTTP/1.0 and chunks may mean another end of the body than we see (RFC 9112, 6.1).
        return BadRequest("HTTP/1.0 has no Transfer-Encoding.", code="invalid_request")
    if message.headers[hdrs.TRANSFER_ENCODING].lower() != "chunked":
        return BadRequest("The only Transfer-Encoding that is taken is chunked.", code="invalid_request")
    return None


def _bytes_of(message: RawRequestMessage) -> int:
    """The size of a head, nearly."""
    return len(message.path) + sum(len(name) + len(value) + 4 for name, value in message.raw_headers)


def _refused(error: GatewayError) -> _ErrInfo:
    return _ErrInfo(error.status, error, "")


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

    __slots__ = ("_client", "_head_bytes", "_head_number", "_head_timer", "_load", "_sparingly")

    def __init__(self, server: web.Server, load: Load | None, sparingly: Sparingly, **options: Any) -> None:
        """load: None where the connection counts for nothing, as on the control socket."""
        super().__init__(server, **options)
        self._load = load
        self._client = ""
        self._sparingly = sparingly
        self._head_number = -1
        """Of the request whose head is timed."""
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        """What came of the next head, at least."""

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
        known = len(self._messages)
        super().data_received(data)
        self._head_bytes += len(data)
        if len(self._messages) > known:
            for number in range(known, len(self._messages)):
                self._judge(number)
            self._head_bytes = 0
        elif self._waiter is not None and not self._messages:
            # It is still waiting for the rest of a head.
            if self._limit_head():
                self._head_bytes = len(data)  # what came before was a body
            if self._head_bytes > MOST_HEAD_BYTES:
                self._messages.append((_refused(_TOO_LARGE), EMPTY_PAYLOAD))
                if not self._waiter.done():
                    self._waiter.set_result(None)

    def _judge(self, number: int) -> None:
        """Have a head answered with what is wrong with it, where the parser takes more than we do."""
        message, body = self._messages[number]
        if not isinstance(message, RawRequestMessage):
            return
        error: GatewayError | None = _fault_of(message)
        # Summed up only where it can be too much.
        if error is None and self._head_bytes > MOST_HEAD_BYTES and _bytes_of(message) > MOST_HEAD_BYTES:
            error = _TOO_LARGE
        if error is not None:
            self._messages[number] = (_refused(error), body)

    def _limit_head(self) -> bool:
        """The next head must be whole in time. More bytes of it don't move that. Returns whether these are its first."""
        if self._head_number == self._request_count:
            return False
        self._head_number = self._request_count
        if self._head_timer is not None:
            self._head_timer.cancel()
        self._head_timer = self._loop.call_later(HEAD_S, self._end_head)
        return True

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
        if isinstance(exc, GatewayError):
            return last_response(exc)
        if isinstance(exc, LineTooLong) or message == "Too many headers received":
            return last_response(HeadersTooLarge("The request's first line or a header is too long, or it has too many."))
        return last_response(BadRequest("The request is not valid HTTP.", code="invalid_request"))
