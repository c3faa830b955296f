"""Story: what is known of one request while it runs, and how that reads for hooks, headers, the usage log and the client."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from proxy.adapter import Exchange
from proxy.anomalies import judged
from proxy.chain import PluginHold
from proxy.chat import Answer, ChatEvent, ChatRequest, Usage, Verbatim
from proxy.clientconnection import SERVER
from proxy.clock import Clock
from proxy.context import Attempt, Charge, EndReason, Outcome, RequestContext, Target
from proxy.errors import GatewayError
from proxy.estimate import Tally
from proxy.health import Flight
from proxy.hookanswers import is_counted
from proxy.money import also_counted, nano_to_usd
from proxy.replyheaders import sendable
from proxy.storage.ledger import Exposure, Posting, UsageRow
from proxy.streaming import Reply

T = TypeVar("T")

MOST_DROPPED_NAMES = 32


@dataclass(slots=True, kw_only=True, eq=False)
class Story:
    """One request in progress. Written by the pipeline and by what that calls: attempt, conversation, settlement, exposure."""

    ctx: RequestContext
    reply: Reply
    clock: Clock
    started_ns: int
    task: asyncio.Task[Any] | None = None
    stage: str = ""
    """The stage that runs now, or failed; "" between two."""
    entered_ns: int = 0
    """This process's own time when it began."""
    asked: ChatRequest | None = None
    """The request as the client sent it."""
    held: ChatRequest | None = None
    """The request that the holds cover."""
    holds: list[PluginHold] = field(default_factory=list)
    ending: asyncio.Future[Any] | None = None
    """How the first of the holds ends, where that is being waited for."""
    postings: list[Posting] = field(default_factory=list)
    """How the holds of the ledger end, to be committed together."""
    exposures: list[Exposure] = field(default_factory=list)
    """What providers may bill beyond what the caller pays."""
    reserved: bool = False
    settled: bool = False
    told: bool = False
    """The observers know."""
    tries: int = 0
    attempts: list[Attempt] = field(default_factory=list)
    """Those that are over."""
    target: Target | None = None
    flight: Flight | None = None
    """The attempt that runs, as its route's health knows it."""
    exchange: Exchange | None = None
    """Of this attempt."""
    works: bool = False
    """The last request of this attempt sets the provider to work; False: it only asks, or there was none."""
    taken: bool = False
    """One before it did, and was answered."""
    upstream_status: int | None = None
    """Of this attempt's last answer; None: none came."""
    dropped: tuple[str, ...] = ()
    clamped: int | None = None
    judged: bool = False
    """`usage` is what is billed: nothing more is to come."""
    usage: Usage | None = None
    """What the provider reported or, at the end, what we estimate."""
    tally: Tally = field(default_factory=Tally)
    anomalies: tuple[str, ...] = ()
    """What was wrong with the provider's counts."""
    charge: Charge | None = None
    first_token_ns: int | None = None
    checked_ns: int = 0
    """When the last checkpoint was."""
    waited_ns: int = 0
    """Spent waiting for a provider or a client."""
    end: EndReason = "complete"
    error: GatewayError | None = None

    def enter(self, stage: str) -> None:
        """The next stage begins: this process's own time until now belongs to the one before. "": none runs."""
        own_ns = self.clock.monotonic_ns() - self.waited_ns
        if self.stage:
            self.ctx.timeline.stages_ns.append((self.stage, own_ns - self.entered_ns))
        self.stage, self.entered_ns = stage, own_ns

    async def waiting(self, work: Awaitable[T]) -> T:
        """Await something that is not this process's work, and keep the time out of its own."""
        started_ns = self.clock.monotonic_ns()
        try:
            return await work
        finally:
            self.waited_ns += self.clock.monotonic_ns() - started_ns

    def received(self, events: Sequence[ChatEvent]) -> None:
        """Keep the evidence: tokens so far, the reported usage, the time of the first token.

        Raises: TypeError, ValueError: an adapter answered with what is no ChatEvent.
        """
        add = self.tally.add
        for event in events:
            if isinstance(event, (Verbatim, Answer)):
                for part in event.parts:
                    add(part)
            elif isinstance(event, Usage):
                if not is_counted(event) or event.input_tokens < 0 or event.output_tokens < 0:
                    raise ValueError("an adapter's Usage counts no tokens")
                self.usage = event
            else:
                add(event)
        if self.first_token_ns is None and self.tally.output_tokens:
            self.first_token_ns = self.checked_ns = self.clock.monotonic_ns()
            if self.flight is not None:
                self.flight.answered()

    def due(self, every_ns: int) -> bool:
        """Whether a checkpoint is due; if so, the next is `every_ns` from now."""
        now_ns = self.clock.monotonic_ns()
        if self.first_token_ns is None or now_ns - self.checked_ns < every_ns:
            return False
        self.checked_ns = now_ns
        return True

    def evidence(self) -> Usage | None:
        """Reported usage, else an estimate of what was received, else None: nothing was served.

        What a provider had reported before it broke off stands as well, unless more than that has come since.
        """
        chat, exchange = self.ctx.chat, self.exchange
        if chat is None or exchange is None or self.judged:
            return self.usage
        reported, anomalies = _told_by(exchange, counts=self.usage is None)
        usage = self.usage if self.usage is not None else self._gathered(chat, reported)
        if usage is not None and not usage.estimated:
            usage, self.anomalies = judged(usage, self.tally.output_tokens, lambda: self.tally.usage(chat))
        if anomalies:
            self.anomalies = tuple(dict.fromkeys((*anomalies, *self.anomalies)))
        return usage

    def _gathered(self, chat: ChatRequest, reported: Usage | None) -> Usage | None:
        """Where no Usage came."""
        tally = self.tally
        if tally.finished or tally.output_tokens > (0 if reported is None else reported.output_tokens):
            if reported is None:
                return tally.usage(chat)
            if not tally.finished:
                reasoning = max(reported.reasoning_tokens, tally.reasoning_tokens)
                return reported._replace(output_tokens=tally.output_tokens, reasoning_tokens=reasoning, estimated=True)
        return reported

    def elapsed_ns(self) -> int:
        return self.clock.monotonic_ns() - self.started_ns

    def outcome(self) -> Outcome:
        """How it ended, or stands."""
        elapsed_ns, error = self.elapsed_ns(), self.error
        return Outcome(
            end=self.end,
            status=499 if self.end == "client_gone" else 200 if error is None else error.status,
            code="" if error is None else error.code,
            stage="" if error is None else self.stage,
            error=error,
            target=self.target,
            attempts=tuple(self.attempts),
            usage=self.evidence(),
            anomalies=self.anomalies,
            charge=self.charge,
            latency_s=elapsed_ns / 1e9,
            first_token_s=None if self.first_token_ns is None else (self.first_token_ns - self.started_ns) / 1e9,
            overhead_s=(elapsed_ns - self.waited_ns) / 1e9,
        )

    def headers(self) -> dict[str, str]:
        """Response headers: what answered, how many tries it took, what it cost if that is known."""
        ctx = self.ctx
        headers = {
            **(sendable(ctx.reply_headers) if ctx.reply_headers else {}),
            "server": SERVER,
            "x-request-id": ctx.request_id,
            "x-paifang-overhead-ms": f"{(self.elapsed_ns() - self.waited_ns) / 1e6:.3f}",
        }
        if ctx.client_request_id:
            headers["x-client-request-id"] = ctx.client_request_id
        if self.target is not None:
            headers["x-paifang-route"] = self.target.route
            headers["x-paifang-attempts"] = str(self.tries)
        if self.clamped is not None:
            headers["x-paifang-clamped-max-tokens"] = str(self.clamped)
        if self.dropped:
            headers["x-paifang-dropped"] = ", ".join(_header_safe(name) for name in self.dropped[:MOST_DROPPED_NAMES])
        if self.charge is not None:
            headers["x-paifang-cost-usd"] = nano_to_usd(self.charge.amount_nanousd)
        if self.error is not None:
            headers.update(self.error.headers())
        return headers

    def usage_body(self) -> dict[str, Any] | None:
        """The `usage` object: OpenAI's counts and details, and what it cost."""
        usage = self.usage
        if usage is None:
            return None
        body: dict[str, Any] = {
            "prompt_tokens": usage.input_tokens,
            "completion_tokens": usage.output_tokens,
            "total_tokens": usage.input_tokens + usage.output_tokens,
            "prompt_tokens_details": {"cached_tokens": usage.cached_input_tokens},
            "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        }
        for name, value in (usage.reported or {}).items():
            known = body.get(name)
            if isinstance(known, dict) and isinstance(value, (dict, Mapping)):
                body[name] = {**known, **{key: count for key, count in value.items() if count is not None}}
            elif value is not None:
                body[name] = value
        body["input_tokens"], body["output_tokens"] = usage.input_tokens, usage.output_tokens
        if self.charge is not None:
            # JSON has but one kind of number; the ledger's integer is what counts.
            body["tracked"], body["currency"], body["cost"] = True, "USD", self.charge.amount_nanousd / 1e9
        if usage.estimated:
            body["estimated"] = True
        return body

    def usage_row(self, charge: Charge, outcome: Outcome) -> UsageRow:
        """Its row in the usage log."""
        ctx, usage = self.ctx, charge.usage
        assert ctx.principal is not None and ctx.chat is not None and ctx.model is not None
        target = self.target
        user = ctx.chat.body.get("user", "")
        cost = charge.cost_nanousd
        if self.exposures:
            known = [cost, *(exposure.cost_nanousd for exposure in self.exposures)]
            cost = None if known.count(None) == len(known) else sum(filter(None, known))
        return UsageRow(
            request_id=ctx.request_id,
            client_request_id=ctx.client_request_id,
            received_ns=ctx.received_ns,
            key=ctx.principal.id,
            wallet=ctx.principal.wallet,
            user=user if isinstance(user, str) else "",
            model=ctx.model.name,
            family=ctx.model.family if target is None else target.family,
            route="" if target is None else target.label,
            provider="" if target is None else target.provider,
            attempts=len(self.attempts),
            input_tokens=usage.input_tokens,
            cached_input_tokens=usage.cached_input_tokens,
            output_tokens=usage.output_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            estimated=usage.estimated,
            also_counted=also_counted(usage),
            debit_nanousd=charge.amount_nanousd,
            cost_nanousd=cost,
            price=charge.price,
            price_line=charge.price_line,
            latency_ms=int(outcome.latency_s * 1000),
            first_token_ms=None if outcome.first_token_s is None else int(outcome.first_token_s * 1000),
            overhead_ms=int(outcome.overhead_s * 1000),
            status=outcome.status,
            code=outcome.code,
            end=outcome.end,
            stream=ctx.chat.stream,
        )


def _told_by(exchange: Exchange, *, counts: bool) -> tuple[Usage | None, Sequence[str]]:
    """What the provider counted until now, where that is wanted, and what was wrong with it. One that can't say is as good as a
    silent one."""
    try:
        reported, anomalies = exchange.reported if counts else None, exchange.anomalies
        return (reported if reported is None or is_counted(reported) else None), anomalies and tuple(map(str, anomalies))
    except BaseException:  # whatever an adapter may raise; books are closed after it, too
        return None, ("unusable",)


def _header_safe(name: str) -> str:
    """A field's name as the client invented it, without what could break a header."""
    return re.sub(r"[^!-~]|,", "?", name[:64])
