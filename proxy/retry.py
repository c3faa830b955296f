"""What follows a failed attempt: another route, the same one a moment later, or nothing.

    never sent, refused, headers only   another route that may be asked; after a failure of the provider's (5xx) else the same
    ambiguous: it may have been served  nothing, unless the route says `retry_ambiguous`: then another, else the same

Nobody asks here once the client has a piece of the answer. Retries are bounded by `defaults.retry.attempts`, by the request's
deadline and, for a whole pool, by a budget: when all fails, trying everything twice would make it worse.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from proxy.chat import ChatRequest
from proxy.context import Target
from proxy.errors import Progress, Remedy, UpstreamError

SECOND_NS = 10**9
BASE_S, LONGEST_S = 0.25, 4.0
"""Of the backoff: it doubles from the one to the other, and a random part of it is waited."""
LONGEST_ASKED_S = 10.0
"""A provider that asks for more has the client told instead."""
LEAST_RETRIES = 3
ACTIVE_PER_RETRY = 5

Jitter = Callable[[], float]
"""A random number from 0 to 1."""


class RetryBudget:
    """How many requests of one pool may be on a further attempt at once: a fifth of those that run, and at least three."""

    __slots__ = ("_least", "active", "retrying")

    def __init__(self, workers: int = 1) -> None:
        """workers: processes that serve together; each has its part of the three, and one at least."""
        self._least = -(-LEAST_RETRIES // workers)
        self.active = 0
        self.retrying = 0

    def take(self) -> bool:
        if self.retrying >= max(self._least, self.active // ACTIVE_PER_RETRY):
            return False
        self.retrying += 1
        return True

    def free(self) -> None:
        self.retrying -= 1


def first(targets: Sequence[Target], chat: ChatRequest, now_ns: int) -> Target | None:
    """The first that may be asked now; it was so when they were put in order, but others were asked since."""
    for target in targets:
        if not target.health.wait_ns(now_ns, chat):
            return target
    return None


def following(
    error: UpstreamError,
    failed: Target,
    untried: Sequence[Target],
    chat: ChatRequest,
    now_ns: int,
    number: int,
    jitter: Jitter,
) -> tuple[Target, float] | None:
    """(the route of the next attempt, seconds to wait before it), None if there is to be none.

    untried: in the order to try. number: attempts so far.
    """
    if not _may_follow(error, failed):
        return None
    if (another := first(untried, chat, now_ns)) is not None:
        return another, 0.0
    if error.remedy is not Remedy.RETRY and error.progress is not Progress.AMBIGUOUS:
        return None
    asked_s = error.retry_after_s or 0.0
    pause_s = asked_s + backoff_s(number, jitter)
    if asked_s > LONGEST_ASKED_S or failed.health.wait_ns(now_ns, chat) > pause_s * SECOND_NS:
        return None
    return failed, pause_s


def backoff_s(number: int, jitter: Jitter) -> float:
    """Full jitter: anything from nothing to the whole. number: attempts so far."""
    whole: float = min(LONGEST_S, BASE_S * 2 ** (number - 1))
    return whole * jitter()


def _may_follow(error: UpstreamError, failed: Target) -> bool:
    if error.remedy is Remedy.NEVER:
        return False
    return error.progress is not Progress.AMBIGUOUS or failed.retry_ambiguous
