"""How a test spoils what a fake would answer, and how it holds a stream back event by event."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Literal, TypeVar

T = TypeVar("T")


class Refusal(Exception):
    """The provider says no. Each door writes it in its own envelope."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str = "",
        kind: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.kind = kind
        """The error's `type`; None: what the provider usually writes for the status."""
        self.headers = dict(headers or {})


@dataclass(frozen=True, kw_only=True)
class Canned:
    """A reply that is none of the provider's API: a proxy's page, a redirect, nothing."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class BrokenStream:
    """What ends a stream after so many events."""

    after: int
    how: Literal["error", "fin", "rst", "eof"]
    error: Refusal | None = None
    done: bool = False
    """[DONE] follows the error event all the same."""


class Pacer:
    """Lets the events of one stream out one at a time. Works from any thread's event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._steps: asyncio.Queue[Future[bytes]] = asyncio.Queue()
        self._current: Future[bytes] | None = None
        self._ended: ConnectionResetError | Literal["ended"] | None = None

    async def step(self) -> bytes:
        """Let the next event out; returns its bytes once they are written, and b"" after the last one.

        Raises: ConnectionResetError: the client has left.
        """
        written: Future[bytes] = Future()
        self._loop.call_soon_threadsafe(self._offer, written)
        return await asyncio.wrap_future(written)

    async def permit(self) -> None:
        """The server's side: wait until the test lets an event out."""
        self._current = await self._steps.get()

    def wrote(self, frame: bytes) -> None:
        """The server's side: the permitted event is on its way."""
        assert self._current is not None, "permit() comes first"
        self._current.set_result(frame)
        self._current = None

    def end(self, *, client_left: bool) -> None:
        """The server's side: no more events will come."""
        self._ended = ConnectionResetError("the client has left the stream") if client_left else "ended"
        if self._current is not None:
            self._tell_end(self._current)
        while not self._steps.empty():
            self._tell_end(self._steps.get_nowait())

    def _offer(self, written: Future[bytes]) -> None:
        if not written.set_running_or_notify_cancel():
            return
        if self._ended is None:
            self._steps.put_nowait(written)
        else:
            self._tell_end(written)

    def _tell_end(self, written: Future[bytes]) -> None:
        if isinstance(self._ended, ConnectionResetError):
            written.set_exception(self._ended)
        else:
            written.set_result(b"")


class Faults:
    """The verbs a test has.

    What is scripted is used up first in, first out, by requests that passed authentication. A fault with a
    `model` waits for a request that names it; the others take the first that comes.
    """

    def __init__(self) -> None:
        self._replies: list[tuple[str | None, Refusal | Canned]] = []
        self._broken: list[tuple[str | None, BrokenStream]] = []
        self._pacers: list[Pacer] = []
        self.before_s = 0.0
        self.between_s = 0.0

    def fail_next(
        self,
        status: int,
        code: str,
        message: str = "scripted failure",
        *,
        times: int = 1,
        param: str = "",
        kind: str | None = None,
        headers: Mapping[str, str] | None = None,
        model: str | None = None,
    ) -> None:
        """Refuse the next requests, in the envelope of their door. Status 200 is an error under 200."""
        refusal = Refusal(status, code, message, param=param, kind=kind, headers=headers)
        self._replies += [(model, refusal)] * times

    def html_next(self, *, status: int = 200, times: int = 1) -> None:
        """Answer the next requests with a page, as a captive portal does."""
        page = b"<!doctype html><title>Welcome</title><script>alert(1)</script><p>Please log in."
        canned = Canned(status=status, body=page, headers={"Content-Type": "text/html; charset=utf-8"})
        self._replies += [(None, canned)] * times

    def redirect_next(self, location: str, *, status: int = 307, times: int = 1) -> None:
        """Send the next requests elsewhere."""
        self._replies += [(None, Canned(status=status, headers={"Location": location}))] * times

    def empty_next(self, *, status: int = 404, times: int = 1) -> None:
        """Answer the next requests without a body, as Ark does on paths it lacks."""
        self._replies += [(None, Canned(status=status))] * times

    def error_midstream(
        self,
        *,
        after: int,
        code: str = "InternalServiceError",
        message: str = "scripted failure",
        status: int = 500,
        done: bool = False,
        model: str | None = None,
    ) -> None:
        """Break the next stream off with an error event after so many events; 0 makes it the first."""
        refusal = Refusal(status, code, message)
        self._broken.append((model, BrokenStream(after=after, how="error", error=refusal, done=done)))

    def cut_stream(self, *, after: int, how: Literal["fin", "rst", "eof"] = "fin", model: str | None = None) -> None:
        """Cut the next stream after so many events.

        Args: how: fin and rst break the connection inside the chunked body; eof ends the body in good order.
        """
        self._broken.append((model, BrokenStream(after=after, how=how)))

    def delay(self, *, before_s: float = 0.0, between_s: float = 0.0) -> None:
        """From now on wait before the first byte, and before each event of a stream."""
        self.before_s = before_s
        self.between_s = between_s

    def take_reply(self, model: str | None) -> Refusal | Canned | None:
        return _take(self._replies, model)

    def take_broken(self, model: str | None) -> BrokenStream | None:
        return _take(self._broken, model)

    def take_pacer(self) -> Pacer | None:
        return self._pacers.pop(0) if self._pacers else None


def _take(scripted: list[tuple[str | None, T]], model: str | None) -> T | None:
    for position, (wanted, fault) in enumerate(scripted):
        if wanted is None or wanted == model:
            del scripted[position]
            return fault
    return None
