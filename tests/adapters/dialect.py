"""Feed an exchange what a provider sent, in every way: whole, by bytes, by events, and with data after the end."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from multidict import CIMultiDict

from proxy import ChatEvent, ChatRequest, Exchange, Part, Target, UpstreamError, Usage, Verbatim
from proxy.money import Price

FINISHED = '{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}'
"""A chunk that is a whole answer."""
UNFINISHED = '{"choices":[{"index":0,"delta":{"content":"a"}}]}'
"""A chunk in the middle of one."""

SSE = {"content-type": "text/event-stream; charset=utf-8"}
JSON = {"content-type": "application/json"}


@dataclass
class Told:
    """What an exchange answered until it was through, or failed."""

    events: list[ChatEvent]
    fault: UpstreamError | None = None


def hear(exchange: Exchange, chunks: Iterable[bytes], *, status: int = 200, headers: Mapping[str, str] = SSE) -> Told:
    """Run one exchange over an answer cut into these chunks."""
    told = Told([])
    exchange.feed_head(status, CIMultiDict(headers))
    try:
        for chunk in chunks:
            told.events += exchange.feed_data(chunk)
        told.events += exchange.feed_eof()
    except UpstreamError as fault:
        told.fault = fault
    return told


def three_ways(
    make: Callable[[], Exchange],
    body: bytes,
    *,
    status: int = 200,
    headers: Mapping[str, str] = SSE,
    after: bytes = b"",
) -> Told:
    """Hear the body whole, by bytes, by events and followed by `after`; it must come to the same. Returns what it came to."""
    whole = hear(make(), [body], status=status, headers=headers)
    bytewise = [body[at : at + 1] for at in range(len(body))]
    for chunks in (bytewise, re.split(rb"(?<=\n\n)", body), [body + after], [*bytewise, after]):
        other = hear(make(), chunks, status=status, headers=headers)
        assert other.events == whole.events
        assert repr(other.fault) == repr(whole.fault)
    return whole


def stream(*data: str) -> bytes:
    """An event stream of these data."""
    return "".join(f"data: {item}\n\n" for item in data).encode()


def raws(told: Told) -> list[bytes]:
    """The bytes that pass."""
    return [event.raw for event in told.events if isinstance(event, Verbatim)]


def parts(told: Told) -> list[Part]:
    """What the bytes that pass say."""
    return [part for event in told.events if isinstance(event, Verbatim) for part in event.parts]


def usages(told: Told) -> list[Usage]:
    return [event for event in told.events if isinstance(event, Usage)]


def chat(body: Mapping[str, Any] | None = None, *, model: str = "doubao-seed", stream: bool = False) -> ChatRequest:
    """A request as the pipeline hands it to an adapter."""
    whole = {"model": model, "messages": [{"role": "user", "content": "hi"}], **(body or {})}
    return ChatRequest(body=whole, body_bytes=100, model=model, stream=stream)


def target(
    options: Any,
    *,
    upstream_model: str = "up-1",
    output_cap: int = 1000,
    price: Price | None = None,
    counts_tool_calls: bool = False,
) -> Target:
    """A route of the model doubao-seed."""
    return Target(
        route="r",
        label="doubao-seed/r",
        model="doubao-seed",
        family="doubao",
        provider="p",
        adapter="a",
        upstream_model=upstream_model,
        price=price or Price(),
        cost=None,
        max_output_tokens=4096,
        output_cap=output_cap,
        counts_tool_calls=counts_tool_calls,
        options=options,
    )
