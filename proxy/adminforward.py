"""The admin API over TCP where another process answers it: whoever has the token is passed on to the control socket."""

from __future__ import annotations

from pathlib import Path

import aiohttp
from aiohttp import hdrs, web

from proxy.admincalls import MAX_BODY_BYTES, check_token
from proxy.adminopenapi import PREFIX
from proxy.endpoints.http import read_json
from proxy.errors import Overloaded
from proxy.secret import Secret
from proxy.server import Route


def forwarded(control: Path, token: Secret) -> list[Route]:
    """The admin API's routes, answered by the process at the control socket."""

    async def handler(request: web.Request) -> web.StreamResponse:
        check_token(request, token)
        body = await read_json(request, MAX_BODY_BYTES) if request.can_read_body else None
        # Some things are only for those who can open the control socket themselves.
        headers = {hdrs.FORWARDED: "proto=http", hdrs.CONTENT_TYPE: "application/json"}
        timeout = aiohttp.ClientTimeout(total=None)
        connector = aiohttp.UnixConnector(str(control))
        try:
            async with (
                aiohttp.ClientSession("http://paifang", connector=connector, timeout=timeout) as session,
                session.request(request.method, request.rel_url, data=body, headers=headers) as answer,
            ):
                response = web.StreamResponse(status=answer.status)
                for name in (hdrs.CONTENT_TYPE, hdrs.CACHE_CONTROL, "x-request-id"):
                    if name in answer.headers:
                        response.headers[name] = answer.headers[name]
                await response.prepare(request)
                async for piece in answer.content.iter_any():
                    await response.write(piece)
                await response.write_eof()
                return response
        except aiohttp.ClientConnectionError as error:
            raise Overloaded("The admin API can't be reached now.", retry_after_s=1, detail=str(error)) from error

    methods = ("GET", "POST", "PATCH", "PUT", "DELETE")
    return [Route(method, PREFIX + "{path:.+}", handler) for method in methods]
