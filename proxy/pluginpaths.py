"""HTTP endpoints of plugins: paths are fixed while they are served, handlers are those of the configuration in use."""

from __future__ import annotations

from collections.abc import Mapping, Set

import structlog
from aiohttp import web

from proxy.boot import Loaded
from proxy.errors import ConfigError, NotFound, Problem
from proxy.server import Handler, Route

Handlers = Mapping[tuple[str, str], tuple[Handler, str]]
"""{(method, path): what a plugin registered for it, on which listener}."""

log = structlog.get_logger("paifang")


class PluginPaths:
    """Serves each path with whatever the plugins have for it now."""

    def __init__(self, handlers: Handlers) -> None:
        self._handlers = handlers
        self._served: Set[tuple[str, str]] | None = None
        """None: nobody has asked for the routes."""

    def routes(self) -> list[Route]:
        """Those of the configuration in use. Later ones can't be added to."""
        self._served = frozenset(self._handlers)
        return [Route(method, path, self._of_now(method, path), on) for (method, path), (_, on) in self._handlers.items()]

    def change_to(self, handlers: Handlers) -> None:
        if self._served is not None and (unserved := handlers.keys() - self._served):
            log.warning("a restart is needed before these paths of plugins are served", paths=sorted(unserved))
        self._handlers = handlers

    def _of_now(self, method: str, path: str) -> Handler:
        async def handler(request: web.Request) -> web.StreamResponse:
            found = self._handlers.get((method, path))
            if found is None:
                raise NotFound("The plugin that served this path is no longer listed.")
            return await found[0](request)

        return handler


def handlers_of(loaded: Loaded) -> Handlers:
    """What the plugins of a configuration register. Raises: ConfigError."""
    handlers: dict[tuple[str, str], tuple[Handler, str]] = {}

    def register(method: str, path: str, handler: Handler, listener: str = "main") -> None:
        handlers[method, path] = handler, listener

    for impl in reversed(loaded.registry.manager.hook.register_routes.get_hookimpls()):
        try:
            impl.function(register)
        except Exception as error:  # whatever a plugin may raise
            told = f"plugin {impl.plugin_name!r} can't register its routes: {type(error).__name__}: {error}"
            raise ConfigError(loaded.file.name, [Problem("plugins", told)]) from error
    return handlers
