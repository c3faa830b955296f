"""A request's story, top to bottom: authenticate, read, authorize, reserve, route, attempt, settle, tell.

With attempt.py, settlement.py and planning.py, which it calls, the only writer of RequestContext. A client that leaves
interrupts nothing but what it should: whether the provider is cut off or heard to the end is its `on_disconnect`, and the books
are closed either way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog

from proxy import planning, settlement
from proxy.app import App
from proxy.attempt import Attempts, ReplyTo
from proxy.chat import ChatRequest
from proxy.context import Principal, RequestContext, advance
from proxy.errors import Draining, GatewayError, GatewayFault, RequestError, Unauthenticated
from proxy.events import event_of
from proxy.faults import is_own_cancellation
from proxy.hookanswers import principal_lacks
from proxy.overload import Load
from proxy.redaction import redact_error
from proxy.story import Story
from proxy.streaming import ClientGone, Reply
from proxy.tail import Tail
from proxy.upstream import Transport

Read = Callable[[], Awaitable[ChatRequest]]
"""The body of the request, read and checked."""

DRAIN_POLL_S = 0.05
DRAIN_S = 60
"""How long a provider is heard on after its client left, with `on_disconnect: drain`."""

log = structlog.get_logger("paifang")


class Pipeline:
    """Carries requests through the chain."""

    def __init__(self, app: App, transport: Transport, tail: Tail, load: Load) -> None:
        self._app = app
        self._tail = tail
        self._load = load
        self._attempts = Attempts(app, transport, tail)
        self._turns: dict[str, int] = {}
        self.running: set[Story] = set()
        self._concluding: dict[asyncio.Task[None], Story] = {}
        """Requests that are no longer running, and what still is of them."""
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
        """How many requests of this model took a turn, as all do that don't stay on a route: what the next one's routes are
        shared out by."""
        return self._turns.get(model, 0)

    def unfinished(self) -> set[Story]:
        """Requests that may still call a plugin: those that run, and those whose books or observers are not done."""
        return self.running.union(self._concluding.values())

    async def drain(self, timeout_s: float, hurry: asyncio.Event | None = None) -> bool:
        """Take no new requests, and wait for those that run, until `hurry` is set. Returns False if some are left."""
        self.draining = True
        deadline_s = asyncio.get_running_loop().time() + timeout_s
        # Requests end all day and this is asked once, so it looks rather than be told.
        while self.running and asyncio.get_running_loop().time() < deadline_s:
            if hurry is not None and hurry.is_set():
                break
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
        except BaseException as error:
            if not is_own_cancellation(error):
                log.exception("internal error", request_id=story.ctx.request_id)
                story.error = GatewayFault("The gateway failed; its log says more under this request's id.")
            elif story.end != "shutdown":
                self._conclude_later(story)
                raise
            else:
                if story.task is not None:
                    story.task.uncancel()
                story.error = Draining("The gateway shut down before the answer was complete.", retry_after_s=1)
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
        self._go_on_beside(story, self._conclude(story))
        self.running.discard(story)

    def _go_on_beside(self, story: Story, work: Coroutine[Any, Any, None]) -> None:
        task = self._tail.spawn(work)
        self._concluding[task] = story
        task.add_done_callback(self._concluding.pop)

    async def _tell_story(self, story: Story, read: Read, reply_to: ReplyTo) -> None:
        if self.draining:
            raise Draining("The gateway is shutting down.", retry_after_s=1)
        self._load.admit(len(self.running))
        story.enter("auth")
        advance(story.ctx, "principal", await authenticate(story.ctx))
        story.enter("")
        chat = await story.waiting(read())
        story.reply = reply_to(chat)
        story.enter("scope")
        await self._authorize(story, chat)
        story.enter("budget")
        await settlement.reserve(story, self._app.keys, self._app.ledger)
        story.enter("routing")
        targets = await planning.order(story.ctx, self._take_turn(story), self._app.clock.monotonic_ns())
        story.enter("adapter")
        await self._attempts.try_routes(story, targets, reply_to)
        story.enter("metering")
        await settlement.settle(story, self._app.ledger)
        story.enter("")
        await story.waiting(story.reply.end(story.usage_body(), story.headers()))

    async def _authorize(self, story: Story, chat: ChatRequest) -> None:
        # Step by step: observers of a refused request are told what it asked for.
        story.asked = chat
        advance(story.ctx, "chat", chat)
        entry = story.ctx.snapshot.model(chat.model)
        await planning.admit(story.ctx, chat, entry)

    def _take_turn(self, story: Story) -> int:
        entry, chat = story.ctx.model, story.ctx.chat
        assert entry is not None and chat is not None
        turn = self.turn(entry.name)
        if not entry.sticky or chat.shared_prompt is None:
            self._turns[entry.name] = turn + 1
        return turn

    def _client_left(self, story: Story) -> None:
        policy = story.target.on_disconnect if story.target else "cancel"
        story.reply.deaf = True
        if policy == "cancel":
            _interrupt(story, "client_gone")
        elif policy == "drain":
            limit = asyncio.get_running_loop().call_later(DRAIN_S, _interrupt, story, "client_gone")
            if story.task is not None:
                story.task.add_done_callback(lambda _: limit.cancel())

    async def _conclude(self, story: Story) -> None:
        """Close the books of what went wrong, tell the client, then the observers."""
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
        if story.error is not None:
            try:
                await story.waiting(story.reply.fail(story.error, story.headers()))
            except ClientGone:
                story.end = "client_gone"
        if story.told:
            return
        story.told = True
        outcome = story.outcome()
        story.enter("")
        if self._app.events.followed:
            self._app.events.tell(event_of(story.ctx, outcome))
        chain = story.ctx.snapshot.chain
        telling = chain.notify("observe", story.ctx, outcome)
        if chain.waits("observe"):
            # The client has its answer and may leave: what an observer awaits must not be cut off with it.
            self._go_on_beside(story, telling)
        else:
            await telling


async def authenticate(ctx: RequestContext) -> Principal:
    """Who asks. Raises: Unauthenticated, and whatever refuses."""
    principal: Principal | None = await ctx.snapshot.chain.first("authenticate", ctx, Principal, principal_lacks)
    if principal is None:
        raise Unauthenticated("No API key was given. Send it as `Authorization: Bearer sk-…`.")
    return principal


def _interrupt(story: Story, end: str) -> None:
    """Stop a request where it is, unless its books are being closed already."""
    if story.task is None or story.task.done() or story.settled or story.error is not None:
        return
    story.end = "shutdown" if end == "shutdown" else "client_gone"
    story.task.cancel()
