"""The money side of a request: holds taken, told, settled or void, in one ledger transaction at its end."""

from __future__ import annotations

from typing import Any

from proxy.context import Charge, advance
from proxy.planning import capped
from proxy.storage.ledger import Ledger, Posting
from proxy.story import Story


async def reserve(story: Story) -> None:
    """Let every plugin hold what the request may cost at most, over all its candidates.

    Raises: whatever refuses; the holds taken so far stay in the story, to be voided with it.
    """
    story.reserved = True
    story.held_bytes = story.ctx.chat.body_bytes if story.ctx.chat else 0
    await story.ctx.snapshot.chain.holds(story.ctx, story.holds)
    caps = [cap for hold in story.holds if (cap := getattr(hold, "output_cap", None)) is not None]
    if caps:
        story.clamped = min(caps)
        lowered = (capped(target, min(target.output_cap, *caps)) for target in story.ctx.candidates)
        advance(story.ctx, candidates=tuple(lowered))


async def settle(story: Story, ledger: Ledger) -> None:
    """Meter the request, settle its holds (void them if nothing was served) and write its usage row.

    Durable when it returns. Raises: PluginFault, LedgerUnavailable.
    """
    story.settled = True
    story.usage = story.evidence()
    outcome = story.outcome()
    charge: Charge | None = await story.ctx.snapshot.chain.first("meter", story.ctx, Charge, outcome=outcome)
    served = charge is not None and story.usage is not None
    story.charge = charge if served else None
    postings = await _close(story, charge if served else None)
    row = None if charge is None else story.usage_row(charge, outcome)
    if postings or row is not None:
        await ledger.commit(postings, row)


async def void(story: Story, ledger: Ledger) -> None:
    """Give back everything that is held."""
    if postings := await _close(story, None):
        await ledger.commit(postings, None)


async def tell(story: Story, event: str, *arguments: Any) -> None:
    """Call `dispatched` or `checkpoint` on every hold that has it."""
    for hold in story.holds:
        listener = getattr(hold, event, None)
        if listener is not None:
            await _answer(listener(*arguments))


async def checkpoint(story: Story) -> None:
    """Tell the holds what the stream has come to, so that a crash loses little of it."""
    charge = await story.ctx.snapshot.chain.first("meter", story.ctx, Charge, outcome=story.outcome())
    if charge is not None:
        await tell(story, "checkpoint", charge)


async def _close(story: Story, charge: Charge | None) -> list[Posting]:
    holds, story.holds = story.holds, []
    answers = [await _answer(hold.void() if charge is None else hold.settle(charge)) for hold in holds]
    return [answer for answer in answers if isinstance(answer, Posting)]


async def _answer(value: Any) -> Any:
    return await value if hasattr(value, "__await__") else value
