"""ChatEvents → the client's bytes. Knows whether the response has begun: from then on an error is an event, never a status."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from aiohttp import HttpVersion11, web

from proxy.chat import (
    Answer,
    ChatEvent,
    ChatRequest,
    Extra,
    Finish,
    Part,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    Usage,
    Verbatim,
)
from proxy.errors import GatewayError
from proxy.jsontext import dumps
from proxy.wholeresponse import WholeResponse

Headers = Callable[[], Mapping[str, str]]
JSON = "application/json"
SSE_HEADERS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache", "x-accel-buffering": "no"}
PING = Verbatim(b": ping\n\n")
STALL_S = 30
"""How long a client may take nothing of what waits for it."""
CALM_BYTES = 16 * 1024
"""asyncio's low-water mark: with less than this waiting, no write waits."""


class ClientGone(ConnectionError):
    """The client closed its connection, or no longer reads from it."""


def unnamed(request_id: str, received_ns: int) -> Started:
    """What an answer is called whose provider has no name for it."""
    return Started(id=f"chatcmpl-{request_id[4:]}", created=received_ns // 1_000_000_000)


class Reply(ABC):
    """One answer to one client."""

    def __init__(self, request: web.Request) -> None:
        self.request = request
        self.response: web.StreamResponse | None = None
        """Set once the first byte has gone out."""
        self.deaf = False
        """True: nobody listens any more, so writing does nothing."""

    @abstractmethod
    def write(self, events: Sequence[ChatEvent], headers: Headers) -> Awaitable[None] | None:
        """Pass events on. headers makes those of the response, should this begin it. Returns what is to be waited for; most
        of the time nothing is. Raises: ClientGone.
        """

    @abstractmethod
    async def end(self, usage: Mapping[str, Any] | None, headers: Mapping[str, str]) -> None:
        """Complete the answer. usage: the `usage` object, None where there is none. Raises: ClientGone."""

    def ping(self) -> None:
        """The provider is silent: show a client that waits in the middle of an answer that the connection lives."""
        transport = self.request.transport
        if self.response is None or transport is None or transport.is_closing() or transport.get_write_buffer_size():
            return  # nothing has begun, or there is enough to read
        self.write((PING,), dict)

    async def fail(self, error: GatewayError, headers: Mapping[str, str]) -> None:
        """Answer with an error, or break off the answer that has begun."""
        await self._whole(error.status, dumps(error.body()), headers)

    async def _whole(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        # Nobody will read the rest of a body that is not wanted.
        closes = not self.request.content.is_eof()
        self.response = WholeResponse(status, body, {**headers, "content-type": JSON}, closes=closes)
        if self.deaf:
            return
        try:
            await self.response.prepare(self.request)
            transport = self.request.transport
            if transport is None or transport.get_write_buffer_size() >= CALM_BYTES:
                await self._taken(self.request.writer.drain(), 0)
        except ConnectionError as error:
            raise ClientGone from error

    async def _taken(self, writing: Awaitable[None], size: int) -> None:
        """Write so many bytes, and give a client up that takes none of what waits for it. Raises: ConnectionError."""
        transport = self.request.transport
        if transport is None or (waiting := transport.get_write_buffer_size() + size) < CALM_BYTES:
            await writing
            return
        try:
            async with asyncio.timeout(None) as wait:
                patience = _Patience(wait, transport, waiting)
                try:
                    await writing
                finally:
                    patience.end()
        except TimeoutError as error:
            transport.abort()
            raise ClientGone from error


class _Patience:
    """Ends a wait once a client has taken nothing for STALL_S."""

    __slots__ = ("_left", "_loop", "_timer", "_transport", "_wait")

    def __init__(self, wait: asyncio.Timeout, transport: asyncio.Transport, left: int) -> None:
        """left: bytes that the client has not taken yet."""
        self._wait = wait
        self._transport = transport
        self._left = left
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(STALL_S, self._look)

    def end(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        before, self._left = self._left, self._transport.get_write_buffer_size()
        if self._left < before:
            self._timer = self._loop.call_later(STALL_S, self._look)
        else:
            self._wait.reschedule(self._loop.time())


class StreamReply(Reply):
    """Server-sent events, each passed on before the next arrives."""

    def __init__(self, request: web.Request, chat: ChatRequest, request_id: str, received_ns: int) -> None:
        super().__init__(request)
        self._chat = chat
        self._started = unnamed(request_id, received_ns)
        self._learned = False
        self._head = b""
        self._roles: set[int] = set()

    def write(self, events: Sequence[ChatEvent], headers: Headers) -> Awaitable[None] | None:
        pieces = []
        for event in events:
            if type(event) is Verbatim:
                if not self._learned:
                    self._learn(event.parts)
                pieces.append(event.raw)
            else:
                pieces.append(self._encode(event))
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if not data or self.deaf:
            return None
        transport = self.request.transport
        if self.response is None or transport is None or transport.get_write_buffer_size() + len(data) >= CALM_BYTES:
            return self._send(data, headers)
        if transport.is_closing():
            raise ClientGone
        # What aiohttp's writer does, without a coroutine for each of its layers.
        transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self.response.chunked else data)
        return None

    async def end(self, usage: Mapping[str, Any] | None, headers: Mapping[str, str]) -> None:
        data = b"data: [DONE]\n\n"
        if usage is not None and self._chat.include_usage:
            data = self._envelope() + b'[],"usage":' + dumps(usage) + b"}\n\n" + data
        await self._send(data, lambda: headers)
        if self.response is not None and not self.deaf:
            try:
                await self._taken(self.response.write_eof(), 0)
            except ConnectionError as error:
                raise ClientGone from error

    async def fail(self, error: GatewayError, headers: Mapping[str, str]) -> None:
        if self.response is None:
            await super().fail(error, headers)
            return
        await self._send(b"data: " + dumps(error.body()) + b"\n\n", lambda: headers)
        # No terminator: the connection is closed once this is flushed, so that the answer can't look complete.
        if self.request.transport is not None:
            self.request.transport.close()

    async def _send(self, data: bytes, headers: Headers) -> None:
        if self.deaf:
            return
        try:
            if self.response is None:
                response = web.StreamResponse(headers={**headers(), **SSE_HEADERS})
                if self.request.version >= HttpVersion11:
                    response.enable_chunked_encoding()
                await response.prepare(self.request)
                self.response = response
            await self._taken(self.response.write(data), len(data))
        except ConnectionError as error:
            raise ClientGone from error

    def _learn(self, parts: Sequence[Part]) -> None:
        """Remember what the provider calls this answer, for chunks that we write ourselves."""
        for part in parts:
            if isinstance(part, Started):
                known = self._started
                self._started = Started(id=part.id or known.id, created=part.created or known.created, fields=part.fields)
                self._learned, self._head = True, b""

    def _envelope(self) -> bytes:
        if not self._head:
            envelope = {
                "id": self._started.id,
                "object": "chat.completion.chunk",
                "created": self._started.created,
                "model": self._chat.model,
                **self._started.fields,
            }
            self._head = b"data: " + dumps(envelope)[:-1] + b',"choices":'
        return self._head

    def _encode(self, event: ChatEvent) -> bytes:
        if isinstance(event, Started):
            self._learn([event])
            return b""
        if isinstance(event, (Answer, Verbatim)):
            return b"".join([self._encode(part) for part in event.parts])
        if isinstance(event, Usage):
            return b""
        delta, choice = _delta(event)
        if event.index not in self._roles:
            self._roles.add(event.index)
            delta = {"role": "assistant", **delta}
        body = {"index": event.index, "delta": delta, "logprobs": None, "finish_reason": None, **choice}
        tail = b'],"usage":null}\n\n' if self._chat.include_usage else b"]}\n\n"
        return self._envelope() + b"[" + dumps(body) + tail


def _delta(part: TextDelta | ReasoningDelta | ToolCallDelta | Extra | Finish) -> tuple[dict[str, Any], dict[str, Any]]:
    """The `delta` of a chunk, and members of its choice."""
    match part:
        case TextDelta(text=text):
            return {"content": text}, {}
        case ReasoningDelta(text=text):
            return {"reasoning_content": text}, {}
        case ToolCallDelta():
            function: dict[str, Any] = {"arguments": part.arguments}
            call: dict[str, Any] = {"index": part.position, "function": function}
            if part.id is not None:
                call = {"index": part.position, "id": part.id, "type": "function", "function": function}
            if part.name is not None:
                call["function"] = {"name": part.name, "arguments": part.arguments}
            return {"tool_calls": [call]}, {}
        case Extra(delta=delta, choice=choice):
            return dict(delta), dict(choice)
        case Finish(reason=reason):
            return {}, {"finish_reason": reason}
