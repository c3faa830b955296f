"""The admin API over TCP where gateway.yaml has no `admin.token`: not there, for anybody; who asks is told what turns it on."""

from __future__ import annotations

import structlog
from aiohttp import hdrs, web

from proxy.adminopenapi import PREFIX
from proxy.errors import NotFound
from proxy.server import Route

log = structlog.get_logger("paifang")


OFF = (
    "The admin API is off over TCP: set admin.token in gateway.yaml and restart. "
    "The commands on the gateway's machine need none."
)


def absent() -> list[Route]:
    """Answers 404 with the remedy, which the log has the first time, too: whoever operates the gateway may not be who asks."""
    told = False

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal told
        if not told:
            told = True
            remedy = "set admin.token in gateway.yaml and restart; the commands on this machine need none"
            log.warning("the admin API was asked for, and is off over TCP", remedy=remedy)
        raise NotFound(OFF)

    return [Route(hdrs.METH_ANY, PREFIX + "{path:.*}", handler)]
