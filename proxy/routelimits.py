"""Limits of a route: requests and tokens in a minute, and requests at once, over all who use it. Of several processes that
serve together the one that owns the store counts for all (linkedhealth.py).

Tokens count when an attempt begins, by the request's bytes and by the answer it asks for or else a usual one; what the
provider reports corrects it at the end. One request never counts for more than the whole limit, so that none waits for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.estimate import expected_tokens
from proxy.ratewindow import SECOND_NS, Entry, Said, Window

if TYPE_CHECKING:
    from proxy.chat import ChatRequest
    from proxy.context import RateLimit

FULL_WAIT_NS = SECOND_NS
"""When to come again where too many run at once: nobody knows when one of them ends."""


class RouteLimits:
    """What a route is carrying, and whether one more request fits."""

    __slots__ = ("_requests", "_running", "_tokens", "limit")

    def __init__(self, limit: RateLimit) -> None:
        self.limit = limit
        self._requests = Window()
        self._tokens = Window()
        self._running = 0

    def full_for_ns(self, now_ns: int, chat: ChatRequest | None) -> int:
        """How long until the request fits; 0: it does now. chat: None: the smallest there is. Changes nothing that counts."""
        return self.wait_ns(now_ns, 1 if chat is None else asked_tokens(chat, self.limit))

    def wait_ns(self, now_ns: int, tokens: int) -> int:
        """How long until a request for so many tokens fits; 0: it does now. Changes nothing that counts."""
        limit = self.limit
        wait_ns = 0 if limit.concurrent is None or self._running < limit.concurrent else FULL_WAIT_NS
        if (most := limit.requests_per_minute) is not None:
            self._requests.expire(now_ns)
            wait_ns = max(wait_ns, self._requests.wait_ns(self._requests.total + 1 - most, now_ns))
        if (most := limit.tokens_per_minute) is not None:
            self._tokens.expire(now_ns)
            wait_ns = max(wait_ns, self._tokens.wait_ns(self._tokens.total + tokens - most, now_ns))
        return wait_ns

    def take(self, now_ns: int, tokens: int) -> Taken:
        """Count a request for so many tokens, which fits."""
        self._running += 1
        self._requests.expire(now_ns)
        self._requests.add(1, now_ns)
        if self.limit.tokens_per_minute is None:
            return Taken(self, 0, None)
        self._tokens.expire(now_ns)
        return Taken(self, tokens, self._tokens.add(tokens, now_ns))

    def said(self) -> tuple[Said, Said]:
        """(requests, tokens) of about the last sixty seconds, for the process that takes over."""
        return self._requests.said(), self._tokens.said()

    def hear(self, requests: Said, tokens: Said) -> None:
        """Go on with what another process has counted."""
        self._requests.hear(requests)
        self._tokens.hear(tokens)

    def end(self, now_ns: int, asked: int, entry: Entry | None, used: int) -> None:
        """What `take` counted is over, and came to so many tokens."""
        self._running -= 1
        if entry is None:
            return
        self._tokens.expire(now_ns)
        if used <= asked:
            self._tokens.take_back(asked - used, entry)
        else:
            self._tokens.add(used - asked, now_ns)


class Taken:
    """One request's part of a route's limits."""

    __slots__ = ("_asked", "_entry", "_limits")

    def __init__(self, limits: RouteLimits, asked: int, entry: Entry | None) -> None:
        self._limits = limits
        self._asked = asked
        self._entry = entry

    def end(self, now_ns: int, used_tokens: int) -> None:
        self._limits.end(now_ns, self._asked, self._entry, used_tokens)


def asked_tokens(chat: ChatRequest, limit: RateLimit) -> int:
    """What the request counts for until its provider has reported; 0 where no limit asks for it."""
    most = limit.tokens_per_minute
    return 0 if most is None else min(most, expected_tokens(chat))
