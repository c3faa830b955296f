"""What a provider may bill although no caller pays for it: the operator's risk, entered in the ledger to be reconciled.

A request that was sent and never answered may have been served: the connection was lost, the provider was too slow, the client
left before the first token. And a route that failed after it had worked may bill its work, while the caller pays only for the
route that answered. What the provider refused, and what never reached it, is owed by nobody.
"""

from __future__ import annotations

from proxy.bound import cost_bound
from proxy.errors import GatewayError, Progress, UpstreamError
from proxy.storage.ledger import Exposure
from proxy.story import Story


def expose_failed(story: Story, error: UpstreamError) -> None:
    """This route failed and another follows: keep what its provider may bill."""
    if story.evidence() is not None:
        _expose(story, f"it failed after it had worked: {error.code}")
    else:
        expose_unanswered(story, error)


def expose_unanswered(story: Story, error: GatewayError | None) -> None:
    """The request ends without a sign of service: keep what may have been served all the same. error: None: the client left."""
    if _may_have_been_served(story, error):
        _expose(story, f"no answer was seen: {'client_gone' if error is None else error.code}")


def expose_uncharged(story: Story) -> None:
    """The route worked, and a plugin's fault keeps the caller from being charged."""
    if story.usage is not None:
        _expose(story, "it could not be charged")


def _may_have_been_served(story: Story, error: GatewayError | None) -> bool:
    if story.taken or not story.works:
        return story.taken
    if isinstance(error, UpstreamError):
        if error.progress in (Progress.NEVER_SENT, Progress.REFUSED):
            return False
        if error.upstream.get("code"):
            return False  # the provider itself said no, in the first event of a 200
    return story.upstream_status is None or story.upstream_status < 300


def _expose(story: Story, reason: str) -> None:
    """Its reported usage or, without, the most that this route may cost."""
    target, chat = story.target, story.ctx.chat
    assert target is not None and chat is not None
    story.works = story.taken = False  # told once, even if a hang-up interrupts what follows and it is done again
    usage = story.evidence()
    if usage is not None and usage.estimated:
        usage = None  # a sign that it worked, and no count of what it did
    if usage is not None:
        amount, how = target.price.bill(usage)
    else:
        amount, how = cost_bound(chat, [target]), "the most it may cost"
    if not amount:
        return
    line = f"{target.label}: {reason}; {how}"
    cost = target.cost.amount_nanousd(usage) if usage is not None and target.cost is not None else None
    story.exposures.append(Exposure(provider=target.provider, amount_nanousd=amount, cost_nanousd=cost, line=line))
