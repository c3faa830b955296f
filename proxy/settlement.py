"""The money side of a request: holds taken, told, settled or void, in one ledger transaction at its end.

A client that hangs up may interrupt this anywhere, so every step is kept in the story and a second call goes on from there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator, Sequence
from functools import partial
from typing import Any

from proxy import exposure
from proxy.chain import HOOK_S, Chain, PluginHold
from proxy.context import Charge, RequestContext, advance
from proxy.errors import GatewayError, LedgerUnavailable
from proxy.hookanswers import charge_lacks
from proxy.planning import lowered
from proxy.storage.keys import KeyStore
from proxy.storage.ledger import Exposure, Ledger, Posting
from proxy.story import Story


async def reserve(story: Story, keys: KeyStore, ledger: Ledger) -> None:
    """Let every plugin hold what the request may cost at most, over all its candidates.

    What a key of the store allows is read anew: it may have changed since the request's headers came.
    Raises: Unauthenticated: the key has ended; LedgerUnavailable: what it costs could not be written; whatever refuses. The
    holds taken so far stay in the story, to be voided.
    """
    _ask_again(story, keys)
    refuse_unrecorded(story.ctx, ledger)
    story.held = story.ctx.chat
    await story.ctx.snapshot.chain.holds(story.ctx, story.holds)
    story.reserved = True
    caps = [held.output_cap for held in story.holds if held.output_cap is not None]
    if caps:
        story.clamped = min(caps)
        advance(story.ctx, "candidates", lowered(story.ctx.candidates, story.clamped))


async def reserve_anew(story: Story, keys: KeyStore, ledger: Ledger) -> None:
    """Give back what is held, and hold what the request may cost now. Raises: as `reserve` does.

    The request isn't over: whatever ends it in between still has its books to close.
    """
    fault = await _close(story, None)
    await _give_back(story, ledger)
    if fault is not None:
        raise fault
    await reserve(story, keys, ledger)


async def expose(story: Story, keys: KeyStore) -> None:
    """Before a request is sent once more: enter what it may have cost so far, beside what is held.

    Raises: Unauthenticated: the key has ended; BudgetExhausted: there is no room for both; LedgerUnavailable.
    """
    _ask_again(story, keys)
    if story.exposures:
        await tell(story, "expose", tuple(story.exposures))


def refuse_unrecorded(ctx: RequestContext, ledger: Ledger) -> None:
    """Raises: LedgerUnavailable: what the request costs could not be written."""
    if ledger.problem is not None and ctx.snapshot.chain.has("meter"):
        # Whoever has no budget holds nothing, and would be served unrecorded.
        raise LedgerUnavailable(
            "The ledger can't write now, so nothing new may be spent. Try again soon.", retry_after_s=1, detail=ledger.problem
        )


def _ask_again(story: Story, keys: KeyStore) -> None:
    known = story.ctx.principal.record if story.ctx.principal else None
    if known is None:
        return
    record, now_ns = keys.find(known.digest) or known, story.clock.now_ns()
    if record is not known:
        advance(story.ctx, "principal", record.admit(now_ns, stored=True))
    elif refusal := record.refusal(now_ns):
        raise refusal


async def settle(story: Story, ledger: Ledger) -> None:
    """Meter the request, settle its holds (void them if nothing was served) and write its usage row.

    Durable when it returns. Raises: PluginFault: nothing is charged; LedgerUnavailable.
    """
    if story.reply.deaf and story.error is None:
        story.end = "client_gone"  # though its provider was heard to the end
    story.usage, story.judged = story.evidence(), True
    if story.usage is None:
        exposure.expose_unanswered(story, story.error)
    outcome = story.outcome()
    try:
        lacks = partial(charge_lacks, outcome.usage)
        charge: Charge | None = await story.ctx.snapshot.chain.first("meter", story.ctx, Charge, lacks, outcome)
        if story.usage is not None:
            story.charge = charge
        elif charge is not None:
            charge = charge._replace(amount_nanousd=0)  # of its usage row: nothing was served, and its holds are void
        if fault := await _close(story, story.charge):
            raise fault
    except GatewayError:
        story.charge = None
        exposure.expose_uncharged(story)
        await void(story, ledger, story.exposures)
        raise
    row = None if charge is None else story.usage_row(charge, outcome)
    story.settled = True
    if story.postings or row is not None:
        await ledger.commit(story.postings, row, story.exposures)


async def void(story: Story, ledger: Ledger, exposures: Sequence[Exposure] = ()) -> None:
    """Give back everything that is held. Raises: PluginFault: a hold refused, the others are given back."""
    fault = await _close(story, None)
    story.settled = True
    await _give_back(story, ledger, exposures)
    if fault is not None:
        raise fault


async def _give_back(story: Story, ledger: Ledger, exposures: Sequence[Exposure] = ()) -> None:
    # The ledger has them before it is waited for: whoever interrupts this need not give them back again.
    postings, story.postings = story.postings, []
    if postings:
        await ledger.commit([Posting(request_id=posting.request_id, charge=None) for posting in postings], None, exposures)


async def tell(story: Story, event: str, *arguments: Any) -> None:
    """Call `dispatched`, `checkpoint` or `expose` on every hold that has it."""
    chain = story.ctx.snapshot.chain
    for held in story.holds:
        try:
            listener = getattr(held.hold, event, None)
            if listener is not None:
                await _answer(listener(*arguments))
        except BaseException as error:
            raise chain.hold_failed(held, f"take {event} for", error)  # noqa: B904 - most of the time the very same error


async def checkpoint(story: Story) -> None:
    """Tell the holds what the stream has come to, so that a crash loses little of it."""
    outcome = story.outcome()
    lacks = partial(charge_lacks, outcome.usage)
    charge = await story.ctx.snapshot.chain.first("meter", story.ctx, Charge, lacks, outcome)
    if charge is not None:
        await tell(story, "checkpoint", charge)


async def _close(story: Story, charge: Charge | None) -> GatewayError | None:
    """Returns the first fault. A hold that can't be settled stays among the others, to be voided with them."""
    chain, what = story.ctx.snapshot.chain, "void" if charge is None else "settle"
    fault: GatewayError | None = None
    while story.holds:
        held = story.holds[0]
        try:
            answer = story.ending or (held.hold.void() if charge is None else held.hold.settle(charge))
            if hasattr(answer, "__await__"):
                # A client that leaves must not cut it off half-way; whoever goes on from there waits for the same one.
                story.ending = story.ending or asyncio.ensure_future(_ended(chain, held, what, answer))
                answer = await asyncio.shield(story.ending)
            if isinstance(answer, (AsyncGenerator, Generator)):
                raise TypeError(f"it answered {what} with a generator, so nothing of it has run")
        except BaseException as error:
            failed = chain.hold_failed(held, what, error)
            if not isinstance(failed, GatewayError):
                raise
            story.ending = None
            fault = fault or failed
            if charge is not None:
                return fault
        else:
            story.ending = None
            if isinstance(answer, Posting):
                story.postings.append(answer)
        story.holds.pop(0)
    return fault


async def _ended(chain: Chain, held: PluginHold, what: str, answer: Any) -> Any:
    # A task that raises SystemExit ends the event loop, so the fault is made one in here.
    try:
        return await _answer(answer)
    except BaseException as error:
        raise chain.hold_failed(held, what, error)  # noqa: B904 - most of the time the very same error


async def _answer(value: Any) -> Any:
    if not hasattr(value, "__await__"):
        return value
    async with asyncio.timeout(HOOK_S):
        return await value
