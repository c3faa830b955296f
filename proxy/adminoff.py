"""The admin API over TCP where gateway.yaml has no `admin.token`: not there, for anybody; whoever operates it is told why."""

from __future__ import annotations

import structlog
from aiohttp import hdrs, web

from proxy.adminopenapi import PREFIX
from proxy.server import Route

log = structlog.get_logger("paifang")


def absent() -> list[Route]:
    """Answers as a path that nobody serves does, and says in the log, the first time, how the admin API is had."""
    told = False

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal told
        if not told:
            told = True
            remedy = "set admin.token in gateway.yaml and restart; the commands on this machine need none"
            log.warning("the admin API was asked for, and is off over TCP", remedy=remedy)
        raise web.HTTPNotFound

    return [Route(hdrs.METH_ANY, PREFIX + "{path:.*}", handler)]
