"""What every fake provider has: a server on loopback, a log of requests, scripted faults and a meter."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, Self

from aiohttp import web
from multidict import CIMultiDictProxy

from tests.fakes.faults import BrokenStream, Canned, Faults, Pacer, Refusal

_MAX_BODY_BYTES = 64 * 1024 * 1024
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(kw_only=True)
class Received:
    """A request as it came in, refused ones too."""

    id: str
    """What this server calls the request."""
    method: str
    path: str
    query: Mapping[str, str]
    headers: CIMultiDictProxy[str]
    raw: bytes
    body: dict[str, Any] | None
    """Parsed; None if it is no JSON object."""
    peer: tuple[str, int]
    """The client's end of the connection: equal for requests on one connection."""
    hung_up: bool = False
    """The client left before the answer was complete."""

    @property
    def model(self) -> str | None:
        model = (self.body or {}).get("model")
        return model if isinstance(model, str) else None


class Bill(NamedTuple):
    """What the provider charges for one request, in tokens."""

    model: str
    prompt: int
    completion: int
    cached: int = 0


@dataclass(kw_only=True)
class Meter:
    """A bill that grows while an answer is generated."""

    model: str
    prompt: int
    cached: int = 0
    completion: int = 0


@dataclass(frozen=True)
class Event:
    """A server-sent event and how many tokens were generated for it."""

    frame: bytes
    tokens: int = 0


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A served request: a JSON body, or the events of a stream. Nothing is billed without a meter."""

    body: Mapping[str, Any] = field(default_factory=dict)
    events: Iterable[Event] | None = None
    meter: Meter | None = None


class Door(Protocol):
    """One endpoint: pure, from a request to a reply."""

    def authenticate(self, received: Received) -> None:
        """Raises: Refusal: the credentials are missing or wrong."""

    def answer(self, received: Received) -> Reply:
        """Raises: Refusal: the request is not one the provider serves."""

    def error_body(self, refusal: Refusal, received: Received) -> dict[str, Any]:
        """The provider's envelope around an error."""

    def error_event(self, refusal: Refusal, received: Received) -> bytes:
        """The same as an event, for a stream that has begun."""


def data_frame(data: Mapping[str, Any]) -> bytes:
    """An event without a name, around a JSON object."""
    return b"data: " + json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


class FakeServer(Faults):
    """A provider on a free port of 127.0.0.1, between `async with`, or in a thread with `run_in_thread`."""

    doors: Mapping[tuple[str, str], Door]
    """(method, path) → door. Any other path is a 404 without a body."""
    base_path = ""

    def __init__(self, *, now: Callable[[], float] = time.time) -> None:
        super().__init__()
        self.now = now
        self.requests: list[Received] = []
        self._meters: list[Meter] = []
        self._port = 0
        self._runner: web.AppRunner | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def base_url(self) -> str:
        """What a client of the main door is pointed at."""
        return self.origin + self.base_path

    @property
    def billed(self) -> list[Bill]:
        """Each served request in order, running streams with what they have generated so far."""
        return [Bill(m.model, m.prompt, m.completion, m.cached) for m in self._meters]

    def stepwise(self) -> Pacer:
        """Hold the next stream back; each `await pacer.step()` lets one event out."""
        assert self._loop is not None, "start the server first"
        pacer = Pacer(self._loop)
        self._pacers.append(pacer)
        return pacer

    def new_id(self, number: int) -> str:
        """The id of the request with this number."""
        return f"req_{number}"

    def reply_headers(self, received: Received) -> dict[str, str]:
        """Headers that go on every reply, errors included."""
        return {"X-Request-Id": received.id}

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        app = web.Application(client_max_size=_MAX_BODY_BYTES)
        app.router.add_route("*", "/{path:.*}", self._serve)
        # aiohttp lets a handler run on after a hang-up unless told otherwise; a provider notices.
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        assert self._runner is not None, "start the server first"
        await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    @contextmanager
    def run_in_thread(self) -> Iterator[str]:
        """Serve from a thread of its own, for synchronous clients and other processes; gives the base URL."""
        ready: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

        async def serve() -> None:
            leave = asyncio.Event()
            async with self:
                ready.set_result((asyncio.get_running_loop(), leave))
                await leave.wait()

        def main() -> None:
            try:
                asyncio.run(serve())
            except BaseException as exc:
                if ready.done():
                    raise
                ready.set_exception(exc)

        thread = threading.Thread(target=main, name=type(self).__name__, daemon=True)
        thread.start()
        loop, leave = ready.result(timeout=10)
        try:
            yield self.base_url
        finally:
            loop.call_soon_threadsafe(leave.set)
            thread.join(timeout=10)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        received = await self._receive(request)
        door = self.doors.get((received.method, received.path))
        if door is None:
            return web.Response(status=404, headers=self.reply_headers(received))
        try:
            return await self._answer(request, received, door)
        except Refusal as refusal:
            body = door.error_body(refusal, received)
            headers = self.reply_headers(received) | refusal.headers
            return web.json_response(body, status=refusal.status, headers=headers)
        except (asyncio.CancelledError, ConnectionResetError):
            received.hung_up = True
            raise

    async def _receive(self, request: web.Request) -> Received:
        raw = await request.read()
        try:
            body = json.loads(raw)
        except ValueError:
            body = None
        received = Received(
            id=self.new_id(len(self.requests)),
            method=request.method,
            path=request.path,
            query=dict(request.query),
            headers=request.headers,
            raw=raw,
            body=body if isinstance(body, dict) else None,
            peer=request.transport.get_extra_info("peername") if request.transport else ("", 0),
        )
        self.requests.append(received)
        return received

    async def _answer(self, request: web.Request, received: Received, door: Door) -> web.StreamResponse:
        door.authenticate(received)
        scripted = self.take_reply(received.model)
        if isinstance(scripted, Refusal):
            await asyncio.sleep(self.before_s)
            raise scripted
        if scripted is not None:
            return _canned(scripted, self.reply_headers(received))
        reply = door.answer(received)
        if reply.meter is not None:
            self._meters.append(reply.meter)
        await asyncio.sleep(self.before_s)
        if reply.events is None:
            return web.json_response(reply.body, headers=self.reply_headers(received))
        return await self._stream(request, received, door, reply)

    async def _stream(self, request: web.Request, received: Received, door: Door, reply: Reply) -> web.StreamResponse:
        broken = self.take_broken(received.model)
        pacer = self.take_pacer()
        response = web.StreamResponse(headers=self.reply_headers(received))
        response.content_type = "text/event-stream"
        whole = False
        try:
            await response.prepare(request)
            for sent, event in enumerate(reply.events or ()):
                if broken is not None and sent == broken.after:
                    await _break(request, response, broken, door, received)
                    break
                if pacer is not None:
                    await pacer.permit()
                await asyncio.sleep(self.between_s)
                if reply.meter is not None:
                    reply.meter.completion += event.tokens
                await response.write(event.frame)
                if pacer is not None:
                    pacer.wrote(event.frame)
            whole = True
        finally:
            if pacer is not None:
                pacer.end(client_left=not whole)
        return response


def _canned(canned: Canned, headers: Mapping[str, str]) -> web.Response:
    return web.Response(status=canned.status, body=canned.body, headers={**headers, **canned.headers})


async def _break(
    request: web.Request, response: web.StreamResponse, broken: BrokenStream, door: Door, received: Received
) -> None:
    if broken.error is not None:
        await response.write(door.error_event(broken.error, received))
        if broken.done:
            await response.write(DONE)
    elif broken.how != "eof" and request.transport is not None:
        if broken.how == "rst":
            connection = request.transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        request.transport.close()
