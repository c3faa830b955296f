"""One route after another until one answers. What is said with it is conversation.py's."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence

import structlog

from proxy import exposure, planning, retry, settlement
from proxy.adapter import Exchange, open_exchange
from proxy.app import App
from proxy.bound import cost_bound
from proxy.chat import ChatRequest
from proxy.context import Attempt, Target, advance
from proxy.conversation import Conversation
from proxy.errors import (
    GatewayError,
    PluginFault,
    Progress,
    UpstreamBusy,
    UpstreamError,
    UpstreamTimeout,
)
from proxy.estimate import Tally
from proxy.faults import is_own_cancellation
from proxy.redaction import redact_error
from proxy.retry import Jitter, RetryBudget
from proxy.story import Story
from proxy.streaming import ClientGone, Reply
from proxy.tail import Tail
from proxy.upstream import Transport

ReplyTo = Callable[[ChatRequest | None], Reply]
"""Makes the reply to what was asked."""

log = structlog.get_logger("paifang")


class Attempts:
    """Tries the routes of a request. Refusals and faults are raised, to be told by the pipeline."""

    def __init__(self, app: App, transport: Transport, tail: Tail, jitter: Jitter = random.random) -> None:
        self._app = app
        self._conversation = Conversation(transport, tail)
        self._made_secrets = transport.secrets
        self._jitter = jitter
        self._budgets: dict[str, RetryBudget] = {}

    async def try_routes(self, story: Story, targets: Sequence[Target], reply_to: ReplyTo) -> None:
        """One route after another until one answers. Once the client has a byte there is no second route."""
        ctx = story.ctx
        assert ctx.model is not None
        budget = self._budgets.get(ctx.model.name)
        if budget is None:
            budget = self._budgets[ctx.model.name] = RetryBudget(self._app.fleet.workers)
        budget.active += 1
        try:
            await self._try_routes(story, list(targets), reply_to, budget)
        finally:
            budget.active -= 1

    async def _try_routes(self, story: Story, untried: list[Target], reply_to: ReplyTo, budget: RetryBudget) -> None:
        loop, monotonic_ns = asyncio.get_running_loop(), self._app.clock.monotonic_ns
        deadline_s = loop.time() + untried[0].timeouts.total_s
        ctx, asked = story.ctx, story.asked
        assert asked is not None
        target = retry.first(untried, asked, monotonic_ns())
        if target is None:
            raise planning.refusal(ctx, monotonic_ns())
        slot: RetryBudget | None = None
        failure: UpstreamError | None = None
        while True:
            again = target not in untried
            if not again:
                untried.remove(target)
            if target.health.linked is None:
                story.flight = target.health.begin(monotonic_ns(), asked, slot, again=again)
            else:
                story.flight = await target.health.linked.begin(target.health, asked, slot, again=again)
                if story.flight is None:
                    slot, target = None, retry.first(untried, asked, monotonic_ns())
                    if target is None:
                        raise planning.none_left(ctx, failure, monotonic_ns())
                    continue
            try:
                return await self._attempt(story, planning.as_held(ctx, target), deadline_s)
            except UpstreamError as error:
                log.warning(
                    "attempt failed",
                    request_id=ctx.request_id,
                    route=target.label,
                    code=error.code,
                    upstream=error.upstream,
                    detail=error.detail,
                )
                next_one = await self._following(story, error, target, untried, deadline_s)
                if next_one is None or not budget.take():
                    raise
                # With its traceback the failure would refer to this frame, and so to itself.
                target, slot, failure = next_one, budget, error.with_traceback(None)
                # What this route said must not get into the next one's answer.
                story.reply = reply_to(story.asked)

    async def _following(
        self, story: Story, error: UpstreamError, failed: Target, untried: Sequence[Target], deadline_s: float
    ) -> Target | None:
        """The route that may be tried after a failed attempt, once its time has come; None: the failure stands."""
        ctx, asked, loop, monotonic_ns = story.ctx, story.asked, asyncio.get_running_loop(), self._app.clock.monotonic_ns
        assert asked is not None
        if isinstance(error, UpstreamBusy):
            error.retry_after_s = planning.shortest_wait_s(ctx, monotonic_ns())
        most = ctx.snapshot.config.defaults.retry.attempts
        if story.reply.response is not None or story.reply.deaf or story.tries >= most:
            return None
        if story.taken:
            error.progress = Progress.AMBIGUOUS  # the job was accepted, whatever became of asking for its result
        found = retry.following(error, failed, untried, asked, monotonic_ns(), story.tries, self._jitter)
        if found is None:
            return None
        target, pause_s = found
        if loop.time() + pause_s >= deadline_s:
            return None
        exposure.expose_failed(story, error)
        if not await self._may_be_repeated(story):
            return None
        if pause_s:
            await story.waiting(asyncio.sleep(pause_s))
        return None if target.health.wait_ns(monotonic_ns(), asked) else target

    async def _may_be_repeated(self, story: Story) -> bool:
        try:
            await settlement.expose(story, self._app.keys)
        except GatewayError as refusal:
            log.warning("attempt not repeated", request_id=story.ctx.request_id, code=refusal.code)
            return False
        return True

    async def _attempt(self, story: Story, target: Target, deadline_s: float) -> None:
        started_ns = self._app.clock.monotonic_ns()
        story.tries += 1
        story.target = target
        advance(story.ctx, "target", target)
        story.usage, story.judged, story.tally, story.first_token_ns = None, False, Tally(), None
        story.exchange, story.works, story.taken, story.upstream_status, story.anomalies = None, False, False, None, ()
        outcome = "ok"
        failure: UpstreamError | None = None
        try:
            await self._conversation.carry(story, await self._open(story), deadline_s)
        except GatewayError as error:
            outcome = error.code
            redact_error(error, story.ctx.snapshot, self._made_secrets())
            if isinstance(error, UpstreamError) and not _too_slow_a_client(error, story, deadline_s):
                failure = error
            raise
        except BaseException as error:
            if isinstance(error, ClientGone) or is_own_cancellation(error):
                outcome = "client_gone" if story.end == "complete" else story.end
                raise
            fault = PluginFault(f"The adapter {target.adapter!r} failed.", param=target.adapter)
            outcome = fault.code
            self._app.faults.failures[target.adapter, "exchange"] += 1
            log.error("adapter failed", adapter=target.adapter, request_id=story.ctx.request_id, exc_info=error)
            raise fault from error
        finally:
            ended_ns, first_token_ns = self._app.clock.monotonic_ns(), story.first_token_ns
            if story.flight is not None:
                used = story.evidence() if story.flight.counts else None
                story.flight.end(ended_ns, used, failure, ok=outcome == "ok")
                story.flight = None
            story.attempts.append(
                Attempt(
                    target=target,
                    outcome=outcome,
                    latency_s=(ended_ns - started_ns) / 1e9,
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
        exchange = open_exchange(story.ctx.snapshot.providers[target.provider].adapter, chat, target)
        story.dropped = tuple(exchange.dropped)
        story.exchange = exchange
        return exchange

    async def _transform_request(self, story: Story) -> None:
        assert story.asked is not None
        advance(story.ctx, "chat", story.asked)
        changed = await planning.transformed(story.ctx, story.asked)
        advance(story.ctx, "chat", changed)
        if changed is story.asked:
            return
        if _may_cost_more(story, changed):
            # More than is held: hold anew before anything is sent.
            await settlement.reserve_anew(story, self._app.keys, self._app.ledger)
        assert story.target is not None
        story.target = planning.as_changed(story.ctx, story.target)
        advance(story.ctx, "target", story.target)


def _may_cost_more(story: Story, changed: ChatRequest) -> bool:
    held, candidates = story.held, story.ctx.candidates
    if held is None or changed.body_bytes > held.body_bytes:
        return True
    return cost_bound(changed, candidates) > cost_bound(held, candidates)


def _too_slow_a_client(error: UpstreamError, story: Story, deadline_s: float) -> bool:
    """Whether the time ran out on an answer that was coming: the client may have read it slowly."""
    late = isinstance(error, UpstreamTimeout) and asyncio.get_running_loop().time() >= deadline_s
    return late and story.first_token_ns is not None
