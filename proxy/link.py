"""A link between two of our own processes: either asks, either answers, over one Unix socket.

A message is a line of JSON:

    [number, "name", arguments]     a question; its answer is  [-number, null, answer]  or  [-number, error, null]
    [0, "name", arguments]          told; nobody answers

Questions are taken up in the order they were asked, answers come in any. What is said in one turn of the event loop leaves in
one write. Both ends are of one installation: nothing here is for others.
"""

from __future__ import annotations

import asyncio
import inspect
import socket
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import orjson
import structlog

from proxy import errors
from proxy.errors import GatewayError, GatewayFault

Answer = Callable[..., Any]
"""What takes up a question: a function, whose answer may be a future or a coroutine."""
Then = Callable[[Any], None]
"""Told the answer, the GatewayError or LinkLost."""

log = structlog.get_logger("paifang")


class LinkLost(Exception):
    """The other process is gone."""


class Link(asyncio.Protocol):
    """One end. `lost` is called once, when the other is gone."""

    def __init__(self, answers: Mapping[str, Answer], lost: Callable[[], None]) -> None:
        self._answers = answers
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self._out: list[bytes] = []
        self._number = 0
        self._asked: dict[int, Then] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self.closed: asyncio.Future[None] = self._loop.create_future()

    @classmethod
    async def over(cls, end: socket.socket, answers: Mapping[str, Answer], lost: Callable[[], None]) -> Link:
        """end: a connected Unix socket, which closes with the link."""
        link = cls(answers, lost)
        end.setblocking(False)
        await link._loop.create_unix_connection(lambda: link, sock=end)
        return link

    def tell(self, name: str, *arguments: Any) -> None:
        """Say something that needs no answer."""
        self._send([0, name, arguments])

    def ask(self, then: Then, name: str, *arguments: Any) -> None:
        """Ask; `then` is told the answer."""
        if self.closed.done():
            then(LinkLost())
            return
        self._number += 1
        self._asked[self._number] = then
        self._send([self._number, name, arguments])

    async def call(self, name: str, *arguments: Any) -> Any:
        """Ask and wait. Raises: GatewayError: the other's refusal; LinkLost."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self.ask(partial(_settle, future), name, *arguments)
        return await future

    def stop_reading(self) -> None:
        """Take up no more questions; answers to those that were taken up still go out."""
        if self._transport is not None:
            self._transport.pause_reading()

    def close(self) -> None:
        """Let what was said go out, then end."""
        if self._transport is not None:
            self._flush()
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        for task in self._tasks:
            task.cancel()
        if not self.closed.done():
            self.closed.set_result(None)
        asked, self._asked = self._asked, {}
        for then in asked.values():
            then(LinkLost())
        self._lost()

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            number, name, content = orjson.loads(line)
            if number < 0:
                self._asked.pop(-number)(content if name is None else _error(name))
            else:
                self._take_up(number, name, content)

    def _take_up(self, number: int, name: str, arguments: list[Any]) -> None:
        try:
            answer = self._answers[name](*arguments)
        except Exception as error:
            self._reply(number, name, error)
            return
        if inspect.iscoroutine(answer):
            answer = self._loop.create_task(answer)
            self._tasks.add(answer)
            answer.add_done_callback(self._tasks.discard)
        if isinstance(answer, asyncio.Future):
            answer.add_done_callback(partial(self._replied, number, name))
        else:
            self._reply(number, name, answer)

    def _replied(self, number: int, name: str, future: asyncio.Future[Any]) -> None:
        if not future.cancelled():
            self._reply(number, name, future.exception() or future.result())

    def _reply(self, number: int, name: str, answer: Any) -> None:
        if isinstance(answer, BaseException) and not isinstance(answer, GatewayError):
            log.error("a question of another process failed", question=name, exc_info=answer)
            answer = GatewayFault("The gateway failed; its log says more.")
        if not number:
            return
        if isinstance(answer, GatewayError):
            self._send([-number, _named(answer), None])
            return
        try:
            self._send([-number, None, answer])
        except TypeError as error:
            self._reply(number, name, error)

    def _send(self, message: list[Any]) -> None:
        """Raises: TypeError: JSON can't carry it."""
        line = orjson.dumps(message)
        if self._transport is None:
            return
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(line)

    def _flush(self) -> None:
        if self._out and self._transport is not None:
            self._transport.write(b"\n".join([*self._out, b""]))
        self._out.clear()


def _settle(future: asyncio.Future[Any], answer: Any) -> None:
    if future.done():
        return
    if isinstance(answer, (GatewayError, LinkLost)):
        future.set_exception(answer)
    else:
        future.set_result(answer)


def _named(error: GatewayError) -> dict[str, Any]:
    return {
        "class": type(error).__name__,
        "message": error.message,
        "code": error.code,
        "param": error.param,
        "retry_after_s": error.retry_after_s,
        "detail": error.detail,
    }


def _error(named: dict[str, Any]) -> GatewayError:
    made: GatewayError = getattr(errors, named.pop("class"))(named.pop("message"), **named)
    return made
