"""One exchange with a provider: do what it says until it is done, and pass on what comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import FrameType

from proxy import planning, settlement
from proxy.adapter import Done, Emit, Exchange, Send, Wait
from proxy.chat import ChatEvent
from proxy.errors import Progress, StreamTruncated, UpstreamError, UpstreamTimeout
from proxy.story import Story
from proxy.streaming import ClientGone
from proxy.tail import Tail
from proxy.upstream import Response, Transport

CHECKPOINT_EVERY_NS = 1_500_000_000
"""With the moment until it is written, a crash finds a checkpoint that is at most two seconds old."""


class Conversation:
    """Carries what an exchange says to its provider, and what comes back to the client."""

    def __init__(self, transport: Transport, tail: Tail) -> None:
        self._transport = transport
        self._tail = tail

    async def carry(self, story: Story, exchange: Exchange, deadline_s: float) -> None:
        """Do what the exchange says until it is done, and pass on what it answers."""
        target = story.target
        assert target is not None
        provider = story.ctx.snapshot.providers[target.provider]
        while True:
            match exchange.next():
                case Send() as request:
                    await settlement.tell(story, "dispatched")
                    story.taken = story.taken or story.works
                    story.works, story.upstream_status = request.method != "GET" and not request.asks_only, None
                    response = await story.waiting(self._transport.send(provider, target, request, deadline_s))
                    story.upstream_status, response.on_quiet = response.status, story.reply.ping
                    try:
                        await self._hear(story, exchange, request, response)
                    finally:
                        if exchange.complete:
                            self._tail.spawn(response.finish())
                        else:
                            await response.close()
                case Wait(seconds=seconds):
                    await story.waiting(_pause(seconds, story, deadline_s))
                case Emit(events=()):
                    # One that has nothing to say again and again must not hold up everyone else.
                    await story.waiting(_pause(0, story, deadline_s))
                case Emit(events=events):
                    await self._pass_on(story, events)
                case Done():
                    if not story.tally.finished:
                        detail = f"{target.adapter} made no Finish of it"
                        raise StreamTruncated("The provider's answer has no end.", detail=detail)
                    return
                case step:
                    raise TypeError(f"next() answered {type(step).__name__}, which is no Step")

    async def _hear(self, story: Story, exchange: Exchange, request: Send, response: Response) -> None:
        """Feed the exchange what comes back, until it has all that it needs, and pass on what it makes of it."""
        exchange.feed_head(response.status, response.headers)
        begun = False
        while not exchange.complete and not response.over:
            try:
                data = await story.waiting(response.read())
            except UpstreamError as error:
                if story.tally.finished:
                    break  # every word was said: what is lost is the end, and perhaps the usage
                if begun and not request.stream:
                    error.progress = Progress.AMBIGUOUS  # part of a whole answer: it was made, and is billed
                raise
            if not data:
                break
            begun = True
            if events := exchange.feed_data(data):
                await self._pass_on(story, events)
        if not exchange.complete:
            await self._pass_on(story, exchange.feed_eof())

    async def _pass_on(self, story: Story, events: Sequence[ChatEvent]) -> None:
        if not isinstance(events, (list, tuple)):
            events = tuple(events)  # a generator's events could be read but once
        if not events:
            return
        story.received(events)
        if story.ctx.snapshot.chain.has("transform_event"):
            events = await planning.transformed_events(story.ctx, events)
        if story.holds and story.due(CHECKPOINT_EVERY_NS):
            await settlement.checkpoint(story)
        try:
            if (writing := story.reply.write(events, story.headers)) is not None:
                await story.waiting(writing)
        except ClientGone:
            if story.target is None or story.target.on_disconnect == "cancel":
                raise
            story.reply.deaf = True


def running_exchange(frame: FrameType | None) -> str:
    """The adapter whose exchange runs on a thread's stack, "" if none does."""
    while frame is not None:
        if frame.f_code in (Conversation.carry.__code__, Conversation._hear.__code__):
            story: Story = frame.f_locals["story"]
            return "" if story.target is None else story.target.adapter
        frame = frame.f_back
    return ""


async def _pause(seconds: float, story: Story, deadline_s: float) -> None:
    """Wait for a provider that says when to ask again. Raises: UpstreamTimeout if that is longer than it may take."""
    assert story.target is not None
    timeouts = story.target.timeouts
    limit_s = timeouts.first_byte_s if story.first_token_ns is None else timeouts.idle_s
    limit_s = min(limit_s, deadline_s - asyncio.get_running_loop().time())
    await asyncio.sleep(min(seconds, max(0.0, limit_s)))
    if seconds > limit_s:
        raise UpstreamTimeout("The provider stopped answering.")
