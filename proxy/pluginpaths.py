"""HTTP endpoints of plugins: paths are fixed while they are served, handlers are those of the configuration in use."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from inspect import iscoroutinefunction
from typing import NamedTuple

import structlog
from aiohttp import hdrs, web

from proxy.adminopenapi import PREFIX
from proxy.boot import Loaded
from proxy.chain import Report
from proxy.config import PluginLoadError
from proxy.errors import GatewayError, NotFound, PluginFault
from proxy.faults import is_own_cancellation
from proxy.registering import let_register
from proxy.server import Handler, Route

LISTENERS = ("main", "metrics")
METHODS = (*sorted(hdrs.METH_ALL), hdrs.METH_ANY)
OWN_FOLDERS = ("/v1/", PREFIX)
OWN_PATHS = ("/healthz", "/readyz")
"""Served by the gateway itself, whatever plugins there are."""


class PluginHandler(NamedTuple):
    """What a plugin registered for a path."""

    plugin: str
    handler: Handler
    listener: str


Handlers = Mapping[tuple[str, str], PluginHandler]
"""By (method, path)."""

log = structlog.get_logger("paifang")


class PluginPaths:
    """Serves each path with whatever the plugins have for it now."""

    def __init__(self, handlers: Handlers, report: Report) -> None:
        """report: told of every fault of a handler."""
        self._handlers = handlers
        self._report = report
        self._served: Set[tuple[str, str]] | None = None
        """None: nobody has asked for the routes."""

    def routes(self) -> list[Route]:
        """Those of the configuration in use. Later ones can't be added to."""
        self._served = frozenset(self._handlers)
        return [Route(*at, self._of_now(*at), found.listener) for at, found in self._handlers.items()]

    def change_to(self, handlers: Handlers) -> None:
        if self._served is not None and (unserved := handlers.keys() - self._served):
            log.warning("a restart is needed before these paths of plugins are served", paths=sorted(unserved))
        self._handlers = handlers

    def _of_now(self, method: str, path: str) -> Handler:
        async def handler(request: web.Request) -> web.StreamResponse:
            found = self._handlers.get((method, path))
            if found is None:
                raise NotFound("The plugin that served this path is no longer listed.")
            return await self._answer(found, request)

        return handler

    async def _answer(self, found: PluginHandler, request: web.Request) -> web.StreamResponse:
        try:
            answer = await found.handler(request)
            if not isinstance(answer, web.StreamResponse):
                raise TypeError(f"a handler answered with {type(answer).__name__}, which is no response")
            return answer
        except (GatewayError, web.HTTPException):
            raise
        except BaseException as error:
            left = isinstance(error, ConnectionError) and (request.transport is None or request.transport.is_closing())
            if left or is_own_cancellation(error):
                raise
            self._report(found.plugin, "register_routes", error, "")
            if request.writer.output_size:
                raise ConnectionError("the answer broke off") from error  # it has begun, so it can't become another
            raise PluginFault(f"Plugin {found.plugin!r} failed to answer.", param=found.plugin) from error


def handlers_of(loaded: Loaded) -> Handlers:
    """What the plugins of a configuration register. Raises: ConfigError."""
    handlers: dict[tuple[str, str], PluginHandler] = {}

    def register_for(plugin: str) -> Callable[..., None]:
        def register(method: str, path: str, handler: Handler, listener: str = "main") -> None:
            method = method.upper() if isinstance(method, str) else method
            if method not in METHODS:
                raise PluginLoadError(f"the method is {method!r}, expected one of {', '.join(METHODS)}")
            if not (iscoroutinefunction(handler) or (isinstance(handler, type) and issubclass(handler, web.View))):
                raise PluginLoadError(f"the handler of {method} {path} is no async def")
            if listener not in LISTENERS:
                raise PluginLoadError(f"the listener is {listener!r}, expected one of {', '.join(LISTENERS)}")
            web.UrlDispatcher().add_route(method, path, handler)  # which raises ValueError for what can't be served
            if path in OWN_PATHS or path.startswith(OWN_FOLDERS):
                beside = f"take one that is not under {' or '.join(OWN_FOLDERS)}, nor {' or '.join(OWN_PATHS)}"
                raise PluginLoadError(f"{path} is the gateway's own: {beside}")
            for (other_method, other_path), other in handlers.items():
                if other_path == path and _meet(method, other_method):
                    raise PluginLoadError(f"{method} {path} is served by plugin {other.plugin!r}: take another path")
            handlers[method, path] = PluginHandler(plugin, handler, listener)

        return register

    let_register(loaded, "routes", register_for)
    return handlers


def _meet(one: str, other: str) -> bool:
    """Whether some request has both methods. Who serves GET serves HEAD."""
    return one == other or hdrs.METH_ANY in (one, other) or {one, other} == {hdrs.METH_GET, hdrs.METH_HEAD}
