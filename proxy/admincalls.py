"""How the admin API is called: who may, JSON in, JSON out."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import hdrs, web

from proxy.endpoints.http import read_json
from proxy.errors import BadRequest, Unauthenticated
from proxy.jsontext import JsonError, dumps, loads
from proxy.secret import Secret
from proxy.server import Handler

MAX_BODY_BYTES = 20_971_520
Answer = Callable[[web.Request], Awaitable[Mapping[str, Any]]]


def json_handler(answer: Answer, token: Secret | None) -> Handler:
    """token: what callers must bring; None where nobody else gets in."""

    async def handler(request: web.Request) -> web.StreamResponse:
        body = await answer(request)
        return web.Response(body=dumps(body), content_type="application/json", headers={hdrs.CACHE_CONTROL: "no-store"})

    return guarded(handler, token)


def guarded(handler: Handler, token: Secret | None) -> Handler:
    """A handler that answers by itself, for those who bring the token."""

    async def checked(request: web.Request) -> web.StreamResponse:
        if token is not None:
            check_token(request, token)
        return await handler(request)

    return checked


async def body_of(request: web.Request) -> Any:
    """Raises: BadRequest, and what `read_json` does."""
    try:
        return loads(await read_json(request, MAX_BODY_BYTES))
    except JsonError as error:
        raise BadRequest(f"The body is not valid JSON: {error}.", code="invalid_json") from None


def check_token(request: web.Request, token: Secret) -> None:
    """Raises: Unauthenticated."""
    scheme, _, given = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    expected = token.reveal().encode()
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), expected):
        raise Unauthenticated("The admin API needs `Authorization: Bearer` and admin.token of gateway.yaml.")
