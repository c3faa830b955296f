"""HTTP in: aiohttp's server with the defaults that would leak or hang turned off, and every error in one shape."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

import structlog
from aiohttp import hdrs, web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.web_protocol import RequestHandler

from proxy.clientconnection import SERVER, ClientConnection, Sparingly, error_response
from proxy.errors import BadRequest, GatewayError, GatewayFault, MethodNotAllowed, NotFound, PayloadTooLarge
from proxy.faults import is_own_cancellation
from proxy.listening import BACKLOG, SharedListener
from proxy.overload import Load

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

KEEPALIVE_S = 75
HEADER_BYTES = 8190
LINGER_S = 2.0
"""A kept connection is closed once it has been idle for so long after this process began to leave: whoever uses it meanwhile
gets an answer, and is asked to connect anew."""
UNWANTED_S = 2.0
"""How long the rest of a body that is not wanted is read, so that the client sees why."""

log = structlog.get_logger("paifang")
_silent = logging.getLogger("paifang.http")
_silent.addHandler(logging.NullHandler())
_silent.propagate = False


@dataclass(frozen=True, slots=True)
class Route:
    """One HTTP endpoint. listener: "main", or "metrics" where `metrics.listen` moves it to."""

    method: str
    path: str
    handler: Handler
    listener: str = "main"
    direct: bool = False
    """Its fixed path is looked up before all else, and no middleware runs: for what is asked most. The handler answers
    `Expect: 100-continue`."""


@web.middleware
async def one_error_shape(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever a handler raises reads like every other error, and says nothing of the inside."""
    try:
        return await handler(request)
    except GatewayError as error:
        return error_response(error)
    except web.HTTPException as exception:
        allowed = {name: value for name, value in exception.headers.items() if name == hdrs.ALLOW}
        return error_response(_of_http(exception, request), allowed)
    except ConnectionError:
        raise
    except BaseException as error:
        if is_own_cancellation(error):
            raise
        log.exception("internal error", path=request.path)
        return error_response(GatewayFault("The gateway failed; its log says more."))


def _of_http(exception: web.HTTPException, request: web.Request) -> GatewayError:
    if exception.status == 405:
        return MethodNotAllowed(f"{request.method} is not allowed on this path.")
    if exception.status == 413:
        return PayloadTooLarge("The body is too large.")
    if exception.status != 404:
        return BadRequest("The request can't be read.")
    odd = request.raw_path.lower()
    if any(code in odd for code in ("%2f", "%5c", "%00", "\\")):
        return BadRequest("The path has an encoded slash, backslash or NUL.")
    return NotFound(f"There is nothing at {request.method} {request.path[:200]}. Chat is at POST /v1/chat/completions.")


def _make_app(routes: Iterable[Route], max_body_bytes: int) -> web.Application:
    app = web.Application(middlewares=[one_error_shape], client_max_size=max_body_bytes)
    app.on_response_prepare.append(_name_no_library)
    for route in routes:
        if route.method == hdrs.METH_GET:
            app.router.add_get(route.path, route.handler)  # with HEAD, which uptime checks send
        else:
            # The handler of a direct route says "100 Continue" itself, once it wants the body.
            app.router.add_route(
                route.method, route.path, route.handler, expect_handler=_say_nothing if route.direct else None
            )
    return app


async def _say_nothing(request: web.Request) -> None:
    pass


async def _name_no_library(request: web.Request, response: web.StreamResponse) -> None:
    response.headers[hdrs.SERVER] = SERVER


class _Server(web.Server):
    """load: counts its connections; None: they count for nothing."""

    def __init__(self, *arguments: Any, load: Load | None, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._load = load
        self._sparingly = Sparingly()

    def __call__(self) -> RequestHandler:
        return ClientConnection(self, self._load, self._sparingly, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """Serves an application over listeners that are added to it."""

    def __init__(
        self, routes: Iterable[Route], max_body_bytes: int, shutdown_timeout_s: float, load: Load | None = None
    ) -> None:
        """load: what its connections are counted by, None where they count for nothing."""
        routes = tuple(routes)
        self._shared: list[SharedListener] = []
        self._load = load
        self._direct = {(route.method, route.path): route.handler for route in routes if route.direct}
        self._options: dict[str, Any] = {
            "access_log": None,
            "logger": _silent,
            "keepalive_timeout": KEEPALIVE_S,
            "max_line_size": HEADER_BYTES,
            "max_field_size": HEADER_BYTES,
            "lingering_time": UNWANTED_S,
            "auto_decompress": False,  # a body that says it is encoded is refused, and never unpacked
        }
        app = _make_app(routes, max_body_bytes)
        super().__init__(app, handler_cancellation=True, shutdown_timeout=shutdown_timeout_s, **self._options)

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        direct, others = self._direct, made.request_handler

        def dispatch(request: web.BaseRequest) -> Awaitable[web.StreamResponse]:
            return direct.get((request.method, request.raw_path), others)(request)  # type: ignore[arg-type]

        return _Server(
            dispatch, load=self._load, request_factory=made.request_factory, handler_cancellation=True, **self._options
        )

    async def listen(self, listener: socket.socket, *, shared: bool = False) -> None:
        """Serve on a listening socket, which closes with this. shared: other processes serve on it now."""
        if not shared:
            await web.SockSite(self, listener, backlog=BACKLOG).start()
            return
        assert self.server is not None
        self._shared.append(SharedListener(listener, self.server))

    async def stop_listening(self) -> None:
        """Accept nothing more. Where another process has the same socket, what waits to be accepted is left to it."""
        for site in self.sites:
            await site.stop()
        while self._shared:
            self._shared.pop().close()

    async def cleanup(self) -> None:
        await self.stop_listening()
        await super().cleanup()

    def ask_to_reconnect(self) -> None:
        """Let every connection end with the answer to its next request."""
        server = self.server
        assert server is not None
        make = server.request_factory

        def make_last(message: RawRequestMessage, *rest: Any) -> web.BaseRequest:
            return make(message._replace(should_close=True), *rest)

        server.request_factory = make_last
        for connection in server.connections:
            connection._request_factory = make_last

    def close_idle(self) -> int:
        """Close connections that have been idle for LINGER_S. Returns how many are left."""
        assert self.server is not None
        idle_since_s = asyncio.get_running_loop().time() - LINGER_S
        for connection in self.server.connections:
            # When it last ended a request, or was accepted.
            began_s = connection._next_keepalive_close_time - KEEPALIVE_S
            if connection._waiter is not None and began_s <= idle_since_s:
                connection.force_close()
        return len(self.server.connections)
