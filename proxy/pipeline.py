"""A request's story, top to bottom: authenticate, read, authorize, reserve, route, attempt, settle, tell.

The only writer of RequestContext. A request runs as a task of its own, so that a client that leaves interrupts nothing but
what it should: whether the provider is cut off or heard to the end is its `on_disconnect`, and the books are closed either way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import structlog

from proxy import planning, settlement
from proxy.adapter import Done, Emit, Exchange, Send, Wait
from proxy.app import App
from proxy.bound import cost_bound
from proxy.chat import (
    Answer,
    ChatEvent,
    ChatRequest,
    Extra,
    Finish,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    Usage,
    Verbatim,
)
from proxy.context import Attempt, Principal, RequestContext, Target, advance
from proxy.errors import (
    Draining,
    GatewayError,
    GatewayFault,
    PluginFault,
    Progress,
    Remedy,
    RequestError,
    StreamTruncated,
    Unauthenticated,
    UpstreamError,
    UpstreamTimeout,
)
from proxy.estimate import Tally
from proxy.redaction import redact_error
from proxy.story import Story
from proxy.streaming import ClientGone, Reply
from proxy.tail import Tail
from proxy.upstream import Transport

T = TypeVar("T")
Read = Callable[[], Awaitable[ChatRequest]]
"""The body of the request, read and checked."""
ReplyTo = Callable[[ChatRequest | None], Reply]
"""Makes the reply to what was asked."""

PARTS = (Started, TextDelta, ReasoningDelta, ToolCallDelta, Extra, Finish)
CHECKPOINT_EVERY_NS = 2_000_000_000
DRAIN_POLL_S = 0.05
DRAIN_S = 60
"""How long a provider is heard on after its client left, with `on_disconnect: drain`."""

log = structlog.get_logger("paifang")


class Pipeline:
    """Carries requests through the chain."""

    def __init__(self, app: App, transport: Transport, tail: Tail) -> None:
        self._app = app
        self._transport = transport
        self._tail = tail
        self._turns: dict[str, int] = {}
        self.running: set[Story] = set()
        self.draining = False

    async def answer(self, ctx: RequestContext, read: Read, reply_to: ReplyTo) -> Reply:
        """Answer one chat request. ctx: as far as the connection tells."""
        story = Story(ctx=ctx, reply=reply_to(None), clock=self._app.clock, started_ns=self._app.clock.monotonic_ns())
        self.running.add(story)
        if not ctx.snapshot.outlives_clients:
            # A client that leaves may cancel everything, so the server's own task does.
            story.task = asyncio.current_task()
            await self._run(story, read, reply_to)
            return story.reply
        story.task = self._tail.spawn(self._run(story, read, reply_to))
        try:
            await asyncio.shield(story.task)
        except asyncio.CancelledError:
            self._client_left(story)
            raise
        return story.reply

    def turn(self, model: str) -> int:
        """How many requests this model has had: what the next one's routes are shared out by."""
        return self._turns.get(model, 0)

    async def drain(self, timeout_s: float) -> bool:
        """Take no new requests, and wait for those that run. Returns False if some are left."""
        self.draining = True
        deadline_s = asyncio.get_running_loop().time() + timeout_s
        # Requests end all day and this is asked once, so it looks rather than be told.
        while self.running and asyncio.get_running_loop().time() < deadline_s:  # noqa: ASYNC110
            await asyncio.sleep(DRAIN_POLL_S)
        return not self.running

    def shut_down(self) -> None:
        """Break off what still runs; each gets an error and a settled charge."""
        for story in tuple(self.running):
            _interrupt(story, "shutdown")

    async def _run(self, story: Story, read: Read, reply_to: ReplyTo) -> None:
        try:
            await self._tell_story(story, read, reply_to)
        except GatewayError as error:
            redact_error(error, story.ctx.snapshot)
            story.error = error
        except ClientGone:
            story.end = "client_gone"
        except asyncio.CancelledError:
            if story.end != "shutdown":
                self._conclude_later(story)
                raise
            if story.task is not None:
                story.task.uncancel()
            story.error = Draining("The gateway shut down before the answer was complete.", retry_after_s=1)
        except Exception:
            log.exception("internal error", request_id=story.ctx.request_id)
            story.error = GatewayFault("The gateway failed; its log says more under this request's id.")
        try:
            await self._conclude(story)
        except asyncio.CancelledError:
            self._conclude_later(story)
            raise
        finally:
            self.running.discard(story)

    def _conclude_later(self, story: Story) -> None:
        """The client left. Its task may be cancelled again at any await, so another one closes the books."""
        story.end, story.reply.deaf = "client_gone", True
        self.running.discard(story)
        self._tail.spawn(self._conclude(story))

    async def _tell_story(self, story: Story, read: Read, reply_to: ReplyTo) -> None:
        if self.draining:
            raise Draining("The gateway is shutting down.", retry_after_s=1)
        story.enter("auth")
        await self._authenticate(story)
        story.enter("")
        chat = await _waiting(story, read())
        story.reply = reply_to(chat)
        story.enter("scope")
        await self._authorize(story, chat)
        story.enter("budget")
        await settlement.reserve(story, self._app.keys, self._app.ledger)
        story.enter("routing")
        targets = await planning.order(story.ctx)
        story.enter("adapter")
        await self._try_routes(story, targets, reply_to)
        story.enter("metering")
        await settlement.settle(story, self._app.ledger)
        story.enter("")
        await _waiting(story, story.reply.end(story.usage_body(), story.headers()))

    async def _authenticate(self, story: Story) -> None:
        principal = await story.ctx.snapshot.chain.first("authenticate", story.ctx, Principal)
        if principal is None:
            raise Unauthenticated("No API key was given. Send it as `Authorization: Bearer sk-…`.")
        advance(story.ctx, principal=principal)

    async def _authorize(self, story: Story, chat: ChatRequest) -> None:
        # Step by step: observers of a refused request are told what it asked for.
        story.asked = chat
        advance(story.ctx, chat=chat)
        entry = story.ctx.snapshot.model(chat.model)
        await planning.admit(story.ctx, chat, entry, self.turn(entry.name))
        self._turns[entry.name] = story.ctx.turn + 1

    async def _try_routes(self, story: Story, targets: Sequence[Target], reply_to: ReplyTo) -> None:
        """One route after another until one answers. Once the client has a byte there is no second route."""
        deadline_s = asyncio.get_running_loop().time() + targets[0].timeouts.total_s
        allowed = targets[: story.ctx.snapshot.config.defaults.retry.attempts]
        for number, target in enumerate(allowed, 1):
            try:
                return await self._attempt(story, _as_held(story.ctx, target), deadline_s)
            except UpstreamError as error:
                log.warning(
                    "attempt failed",
                    request_id=story.ctx.request_id,
                    route=target.label,
                    code=error.code,
                    upstream=error.upstream,
                    detail=error.detail,
                )
                too_late = story.reply.response is not None or story.reply.deaf
                if too_late or number == len(allowed) or not _another_may_answer(error):
                    raise
                # What this route said must not get into the next one's answer.
                story.reply = reply_to(story.asked)

    async def _attempt(self, story: Story, target: Target, deadline_s: float) -> None:
        started_ns = self._app.clock.monotonic_ns()
        story.tries += 1
        story.target = target
        advance(story.ctx, target=target)
        story.usage, story.tally, story.first_token_ns = None, Tally(), None
        outcome = "ok"
        try:
            await self._converse(story, await self._open(story), deadline_s)
        except GatewayError as error:
            outcome = error.code
            redact_error(error, story.ctx.snapshot)
            raise
        except (ClientGone, asyncio.CancelledError):
            outcome = "client_gone" if story.end == "complete" else story.end
            raise
        except Exception as error:
            fault = PluginFault(f"The adapter {target.adapter!r} failed.", param=target.adapter)
            outcome = fault.code
            log.error("adapter failed", adapter=target.adapter, request_id=story.ctx.request_id, exc_info=error)
            raise fault from error
        finally:
            first_token_ns = story.first_token_ns
            story.attempts.append(
                Attempt(
                    target=target,
                    outcome=outcome,
                    latency_s=(self._app.clock.monotonic_ns() - started_ns) / 1e9,
                    first_token_s=None if first_token_ns is None else (first_token_ns - started_ns) / 1e9,
                )
            )

    async def _open(self, story: Story) -> Exchange:
        """Ask again whether this route is allowed, let plugins change the request, and begin the exchange."""
        chain = story.ctx.snapshot.chain
        await chain.every("authorize", story.ctx)
        assert story.ctx.chat is not None
        if chain.has("transform_request"):
            await self._transform_request(story)
        chat, target = story.ctx.chat, story.target
        assert chat is not None and target is not None
        exchange = story.ctx.snapshot.providers[target.provider].adapter.open(chat, target)
        story.dropped = tuple(exchange.dropped)
        return exchange

    async def _transform_request(self, story: Story) -> None:
        assert story.asked is not None
        advance(story.ctx, chat=story.asked)
        changed = await planning.transformed(story.ctx, story.asked)
        advance(story.ctx, chat=changed)
        if changed is not story.asked and _may_cost_more(story, changed):
            # More than is held: hold anew before anything is sent.
            await settlement.void(story, self._app.ledger)
            await settlement.reserve(story, self._app.keys, self._app.ledger)
            assert story.target is not None
            story.target = _as_held(story.ctx, story.target)
            advance(story.ctx, target=story.target)

    async def _converse(self, story: Story, exchange: Exchange, deadline_s: float) -> None:
        """Do what the exchange says until it is done, and pass on what it answers."""
        target = story.target
        assert target is not None
        provider = story.ctx.snapshot.providers[target.provider]
        while True:
            match exchange.next():
                case Send() as request:
                    await settlement.tell(story, "dispatched")
                    response = await _waiting(story, self._transport.send(provider, target, request, deadline_s))
                    try:
                        exchange.feed_head(response.status, response.headers)
                        while not exchange.complete and (data := await _waiting(story, response.read())):
                            await self._pass_on(story, exchange.feed_data(data))
                        if not exchange.complete:
                            await self._pass_on(story, exchange.feed_eof())
                    finally:
                        if exchange.complete:
                            self._tail.spawn(response.finish())
                        else:
                            await response.close()
                case Wait(seconds=seconds):
                    await _waiting(story, _pause(seconds, story, deadline_s))
                case Emit(events=events):
                    await self._pass_on(story, events)
                case Done():
                    if not story.tally.finished:
                        raise StreamTruncated("The provider's answer has no end.")
                    return
                case step:
                    raise TypeError(f"next() answered {type(step).__name__}, which is no Step")

    async def _pass_on(self, story: Story, events: Sequence[ChatEvent]) -> None:
        if not events:
            return
        story.received(events)
        if story.ctx.snapshot.chain.has("transform_event"):
            events = await _transform_events(story.ctx, events)
        if story.holds and story.due(CHECKPOINT_EVERY_NS):
            await settlement.checkpoint(story)
        try:
            await _waiting(story, story.reply.write(events, story.headers))
        except ClientGone:
            if story.target is None or story.target.on_disconnect == "cancel":
                raise
            story.reply.deaf = True

    def _client_left(self, story: Story) -> None:
        policy = story.target.on_disconnect if story.target else "cancel"
        story.reply.deaf = True
        if policy == "cancel":
            _interrupt(story, "client_gone")
        elif policy == "drain":
            asyncio.get_running_loop().call_later(DRAIN_S, _interrupt, story, "client_gone")

    async def _conclude(self, story: Story) -> None:
        """Close the books of what went wrong, tell the client, then the observers."""
        failed_at = story.stage
        if story.reply.deaf and story.error is None:
            story.end = "client_gone"
        if story.error is not None and story.end == "complete":
            story.end = "failed" if story.attempts or not isinstance(story.error, RequestError) else "denied"
        if not story.settled:
            try:
                if story.reserved:
                    await settlement.settle(story, self._app.ledger)
                else:
                    await settlement.void(story, self._app.ledger)
            except GatewayError as error:
                log.error("settling failed", request_id=story.ctx.request_id, code=error.code, detail=error.detail)
                story.error = story.error or error
        story.stage = failed_at
        if story.error is not None:
            try:
                await story.reply.fail(story.error, story.headers())
            except ClientGone:
                story.end = "client_gone"
        if story.told:
            return
        story.told = True
        outcome = story.outcome()
        story.enter("")
        chain = story.ctx.snapshot.chain
        telling = chain.notify("observe", story.ctx, outcome=outcome)
        if chain.waits("observe"):
            # The client has its answer and may leave: what an observer awaits must not be cut off with it.
            self._tail.spawn(telling)
        else:
            await telling


def _interrupt(story: Story, end: str) -> None:
    """Stop a request where it is, unless its books are being closed already."""
    if story.task is None or story.task.done() or story.settled or story.error is not None:
        return
    story.end = "shutdown" if end == "shutdown" else "client_gone"
    story.task.cancel()


def _as_held(ctx: RequestContext, target: Target) -> Target:
    """The target with the output cap that the holds cover."""
    return next(candidate for candidate in ctx.candidates if candidate.label == target.label)


def _may_cost_more(story: Story, changed: ChatRequest) -> bool:
    held, candidates = story.held, story.ctx.candidates
    if held is None or changed.body_bytes > held.body_bytes:
        return True
    return cost_bound(changed, candidates) > cost_bound(held, candidates)


def _another_may_answer(error: UpstreamError) -> bool:
    return error.remedy is not Remedy.NEVER and error.progress in (
        Progress.NEVER_SENT,
        Progress.REFUSED,
        Progress.HEADERS_ONLY,
    )


async def _transform_events(ctx: RequestContext, events: Sequence[ChatEvent]) -> list[ChatEvent]:
    """Let plugins change what the events say; an event that nobody changes stays byte for byte."""
    changed: list[ChatEvent] = []
    for event in events:
        if isinstance(event, Usage):
            changed.append(event)
            continue
        parts = event.parts if isinstance(event, (Verbatim, Answer)) else (event,)
        after = [await ctx.snapshot.chain.fold("transform_event", ctx, "event", part, PARTS) for part in parts]
        untouched = all(new is old for new, old in zip(after, parts, strict=True))
        changed.extend([event] if untouched else after)
    return changed


async def _pause(seconds: float, story: Story, deadline_s: float) -> None:
    """Wait for a provider that says when to ask again. Raises: UpstreamTimeout if that is longer than it may take."""
    assert story.target is not None
    timeouts = story.target.timeouts
    limit_s = timeouts.first_byte_s if story.first_token_ns is None else timeouts.idle_s
    limit_s = min(limit_s, deadline_s - asyncio.get_running_loop().time())
    await asyncio.sleep(min(seconds, max(0.0, limit_s)))
    if seconds > limit_s:
        raise UpstreamTimeout("The provider stopped answering.")


async def _waiting(story: Story, work: Awaitable[T]) -> T:
    """Await something that is not this process's work."""
    started_ns = story.clock.monotonic_ns()
    try:
        return await work
    finally:
        story.waited_ns += story.clock.monotonic_ns() - started_ns
