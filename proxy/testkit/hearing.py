"""Run an exchange as the gateway does, on replies that are written down, cut wherever a test wants them cut."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite

from multidict import CIMultiDict, CIMultiDictProxy

from proxy.adapter import Done, Emit, Exchange, Send, Wait
from proxy.chat import Answer, ChatEvent, Finish, Part, Started, TextDelta, ToolCallDelta, Usage, Verbatim
from proxy.errors import UpstreamError
from proxy.testkit.wire import Reply

MOST_STEPS = 100
Cut = Callable[[bytes], Iterable[bytes]]
"""One reply's body → the chunks in which it comes."""


@dataclass
class Heard:
    """What an exchange did until it was over, or failed."""

    events: list[ChatEvent] = field(default_factory=list)
    fault: UpstreamError | None = None
    sends: list[Send] = field(default_factory=list)
    spoke: int = 0
    """How many chunks of the body made it say text, or arguments of a tool call."""

    @property
    def parts(self) -> list[Part]:
        """What the events say, in order."""
        said: list[Part] = []
        for event in self.events:
            if isinstance(event, (Verbatim, Answer)):
                said += event.parts
            elif not isinstance(event, Usage):
                said.append(event)
        return said

    @property
    def usages(self) -> list[Usage]:
        return [event for event in self.events if isinstance(event, Usage)]

    @property
    def begun(self) -> bool:
        """Whether clients have got a byte, so that no other route can be tried."""
        return any(not isinstance(event, (Started, Usage)) for event in self.events)

    @property
    def finished(self) -> bool:
        return any(isinstance(part, Finish) for part in self.parts)

    def told(self) -> tuple[list[ChatEvent], str]:
        """What must not depend on how the bytes were cut."""
        fault = self.fault
        words = "" if fault is None else f"{type(fault).__name__} {fault.code}: {fault.message} {fault.upstream} {fault.remedy}"
        return self.events, words


def whole(body: bytes) -> Iterable[bytes]:
    return [body] if body else []


def bytewise(body: bytes) -> Iterable[bytes]:
    return [body[at : at + 1] for at in range(len(body))]


def split_at(place: int) -> Cut:
    """In two, or whole where the body is shorter."""
    return lambda body: [part for part in (body[:place], body[place:]) if part]


def converse(exchange: Exchange, replies: Sequence[Reply], cut: Cut = whole) -> Heard:
    """Do what the exchange says, and tell it these replies.

    Raises: AssertionError: it breaks the rules of the port. Anything but an UpstreamError is a fault of the adapter's, and
    is let through.
    """
    heard = Heard()
    waiting = list(replies)
    try:
        for _ in range(MOST_STEPS):
            match exchange.next():
                case Send() as send:
                    heard.sends.append(send)
                    if not waiting:
                        raise AssertionError(f"request {len(heard.sends)} ({send.method} {send.path}) has no reply")
                    _feed(exchange, waiting.pop(0), cut, heard)
                case Wait(seconds=seconds):
                    if not (isfinite(seconds) and seconds >= 0):
                        raise AssertionError(f"Wait({seconds}) is no time to wait")
                case Emit(events=events):
                    heard.events += events
                case Done():
                    if waiting:
                        raise AssertionError(f"it is done after {len(heard.sends)} of {len(replies)} replies")
                    return heard
                case step:
                    raise AssertionError(f"next() answered {step!r}, which is no Step")
    except UpstreamError as fault:
        heard.fault = fault
        return heard
    raise AssertionError(f"it isn't done after {MOST_STEPS} steps")


def _feed(exchange: Exchange, reply: Reply, cut: Cut, heard: Heard) -> None:
    exchange.feed_head(reply.status, CIMultiDictProxy(CIMultiDict(reply.headers)))
    for chunk in cut(reply.body):
        events = exchange.feed_data(chunk)
        heard.events += events
        heard.spoke += any(_says(part) for part in Heard(list(events)).parts)
        if exchange.complete:
            return
    heard.events += exchange.feed_eof()


def _says(part: Part) -> bool:
    return isinstance(part, TextDelta) or (isinstance(part, ToolCallDelta) and bool(part.arguments))


def broken_off(replies: Sequence[Reply]) -> Iterator[tuple[str, Sequence[Reply]]]:
    """The replies with one of them ended too early, at every place; what would follow is never asked for."""
    for number, reply in enumerate(replies):
        for place in range(len(reply.body.rstrip())):
            yield f"reply {number}, byte {place}", [*replies[:number], replace(reply, body=reply.body[:place])]
