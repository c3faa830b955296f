"""The public endpoints over aiohttp: chat, models, health. Headers and bodies in, the pipeline's replies out."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable, Mapping
from functools import partial
from itertools import count
from typing import Any

from aiohttp import HttpVersion11, hdrs, web

from proxy.app import App
from proxy.chat import ChatRequest
from proxy.clientconnection import error_response
from proxy.context import Principal, RequestContext
from proxy.endpoints import chat as chat_endpoint
from proxy.endpoints import embeddings as embeddings_endpoint
from proxy.endpoints import models as models_endpoint
from proxy.errors import BadRequest, GatewayError, PayloadTooLarge, RequestTimeout, UnsupportedMediaType
from proxy.jsonreply import JsonReply
from proxy.jsontext import dumps
from proxy.pipeline import Pipeline, authenticate
from proxy.server import Route
from proxy.snapshot import Snapshot
from proxy.streaming import JSON, ClientGone, Reply, StreamReply

BODY_GRACE_S = 10.0
"""How long a body may take at any pace; beyond it, a second for every BODY_BYTES_PER_S that have come."""
BODY_BYTES_PER_S = 8192
PARSE_ON_LOOP_BYTES = 262_144
"""A larger body is parsed in a thread, so that other streams are not held up."""
_CLIENT_ID = re.compile(r"[\x21-\x7e]{1,128}")


class PublicEndpoints:
    """What clients of OpenAI's API call."""

    def __init__(self, app: App, pipeline: Pipeline, not_ready: Callable[[], str | None]) -> None:
        """not_ready: says why the gateway should get no new requests, None if it may."""
        self._app = app
        self._pipeline = pipeline
        self._not_ready = not_ready
        self._instance = secrets.token_hex(6)
        self._numbers = count()

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/v1/chat/completions", self.chat, direct=True),
            Route("POST", "/v1/embeddings", self.embeddings, direct=True),
            Route("GET", "/v1/models", self.models),
            Route("GET", "/v1/models/{id:.+}", self.model),
            Route("GET", "/healthz", self.healthz),
            Route("GET", "/readyz", self.readyz),
        ]

    async def chat(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, "/v1/chat/completions", chat_endpoint.parse)

    async def embeddings(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, "/v1/embeddings", embeddings_endpoint.parse)

    async def _answer(self, request: web.Request, endpoint: str, parse: Callable[[bytes], ChatRequest]) -> web.StreamResponse:
        ctx = self._context(request, endpoint)

        async def read() -> ChatRequest:
            raw = await read_json(request, ctx.snapshot.config.server.max_body_bytes)
            if len(raw) > PARSE_ON_LOOP_BYTES:
                return await asyncio.to_thread(parse, raw)
            return parse(raw)

        def reply_to(chat: ChatRequest | None) -> Reply:
            if chat is not None and chat.stream:
                return StreamReply(request, chat, ctx.request_id, ctx.received_ns)
            return JsonReply(request, chat, ctx.request_id, ctx.received_ns)

        reply = await self._pipeline.answer(ctx, read, reply_to)
        if reply.response is None:
            raise ConnectionResetError("the client left before it was answered")
        return reply.response

    async def models(self, request: web.Request) -> web.StreamResponse:
        return await self._tell(request, models_endpoint.listing)

    async def model(self, request: web.Request) -> web.StreamResponse:
        return await self._tell(request, partial(models_endpoint.one, name=request.match_info["id"]))

    async def healthz(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"status": "ok"})

    async def readyz(self, request: web.Request) -> web.StreamResponse:
        reason = self._not_ready()
        if reason is not None:
            return web.json_response({"status": "unavailable", "reason": reason}, status=503)
        return web.json_response({"status": "ok"})

    def _context(self, request: web.Request, endpoint: str) -> RequestContext:
        now_ns = self._app.clock.now_ns()
        client_id = request.headers.get("x-client-request-id", "")
        return RequestContext(
            # Time first: rows that are written together lie together.
            request_id=f"req_{now_ns // 1_000_000:012x}{self._instance}{next(self._numbers):08x}",
            client_request_id=client_id if _CLIENT_ID.fullmatch(client_id) else "",
            snapshot=self._app.current(),
            received_ns=now_ns,
            client_ip=request.remote or "",
            headers=request.headers,
            endpoint=endpoint,
        )

    async def _tell(
        self, request: web.Request, body_of: Callable[[Snapshot, Principal], Mapping[str, Any]]
    ) -> web.StreamResponse:
        """Answer whoever has a key with what it may know of the models."""
        ctx = self._context(request, "/v1/models")
        try:
            body = body_of(ctx.snapshot, await authenticate(ctx))
        except GatewayError as error:
            return error_response(error, _ids(ctx))
        return web.Response(body=dumps(body), content_type="application/json", headers=_ids(ctx))


async def read_json(request: web.Request, max_bytes: int) -> bytes:
    """The body, checked for size, type, encoding and pace before and while it is read.

    Raises: UnsupportedMediaType, PayloadTooLarge, RequestTimeout, BadRequest, ClientGone.
    """
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
        raise UnsupportedMediaType("The body must not be compressed: leave Content-Encoding out.")
    if request.headers.get(hdrs.CONTENT_TYPE, JSON) != JSON:
        kind = request.content_type
        if kind != JSON and not kind.endswith("+json"):
            raise UnsupportedMediaType("The body must be JSON: send `Content-Type: application/json`.")
        if (request.charset or "utf-8").lower() not in ("utf-8", "utf8", "us-ascii"):
            raise UnsupportedMediaType("The body must be UTF-8.")
    expected = request.headers.get(hdrs.EXPECT, "").lower()
    if expected not in ("", "100-continue"):
        raise BadRequest("No expectation but `Expect: 100-continue` can be met.")
    if int(request.headers.get(hdrs.CONTENT_LENGTH, 0)) > max_bytes:
        raise _too_large(max_bytes)
    try:
        if request.content.is_eof():  # it came with the headers: no timer is needed
            body = request.content.read_nowait()
            if len(body) > max_bytes:
                raise _too_large(max_bytes)
            return body
        async with asyncio.timeout(BODY_GRACE_S) as pace:
            if expected and request.version >= HttpVersion11:
                await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                request.writer.output_size = 0  # the answer has not begun
            pieces, latest_s = bytearray(), asyncio.get_running_loop().time() + BODY_GRACE_S
            while piece := await request.content.readany():
                pieces += piece
                if len(pieces) > max_bytes:
                    raise _too_large(max_bytes)
                pace.reschedule(latest_s + len(pieces) / BODY_BYTES_PER_S)
            return bytes(pieces)
    except TimeoutError:
        raise RequestTimeout("The body came too slowly.") from None
    except ConnectionError as error:
        raise ClientGone from error
    except web.RequestPayloadError:
        raise BadRequest("The body broke off in the middle.", code="invalid_json") from None


def _too_large(max_bytes: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The body is larger than {max_bytes} bytes.")


def _ids(ctx: RequestContext) -> dict[str, str]:
    headers = {"x-request-id": ctx.request_id}
    if ctx.client_request_id:
        headers["x-client-request-id"] = ctx.client_request_id
    return headers
