"""Counts of requests, tokens and requests at once, by name: one for all processes that serve together.

A minute is any sixty seconds, not one by the clock, so a border between minutes admits nothing twice. Whoever takes, ends; what
a process that is gone had taken is ended for it. Counts begin anew with the process that keeps them; one that takes over from
another goes on with what was taken in the last minute, not with what runs.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Mapping
from typing import NamedTuple, Protocol

from proxy.clock import Clock
from proxy.context import RateLimit
from proxy.errors import Draining
from proxy.link import Link, LinkLost
from proxy.ratewindow import SECOND_NS, Entry, Said, Window

SLOT_WAIT_NS = SECOND_NS
"""When to try again where too many run at once: nobody knows when one of them ends."""


Values = tuple[int | None, int | None, int | None]
"""A RateLimit as it goes over a link."""


class Standing(NamedTuple):
    """How a name stands after it asked for more."""

    number: int
    """What to end; 0: it was refused, and nothing was taken."""
    param: str
    """The limit that refused or, of several, takes longest to give way; "": none."""
    wait_ns: int
    """How long until that may have given way."""
    running: int
    requests: int
    """Taken in the last sixty seconds."""
    requests_reset_ns: int
    """How long until all of it has expired."""
    tokens: int
    tokens_reset_ns: int


class Rates(Protocol):
    """What plugins hold names to."""

    def take(self, name: str, limit: RateLimit, requests: int, tokens: int) -> Standing | Awaitable[Standing]:
        """Take so many requests and tokens and one slot, all or nothing. Answers at once where the counts are kept here."""
        ...

    def look(self, name: str, limit: RateLimit, requests: int, tokens: int) -> Standing | Awaitable[Standing]:
        """What `take` would answer, but its number is 0: nothing is taken."""
        ...

    def end(self, number: int, used_tokens: int) -> None:
        """The request is over, and came to so many tokens; its slot is free again."""
        ...


class Account:
    """What one key is doing."""

    __slots__ = ("requests", "running", "tokens")

    def __init__(self) -> None:
        self.requests = Window()
        self.tokens = Window()
        self.running = 0

    def idle(self, now_ns: int) -> bool:
        """Whether there is nothing to remember."""
        self.requests.expire(now_ns)
        self.tokens.expire(now_ns)
        return not (self.running or self.requests or self.tokens)

    def standing(self, number: int, param: str, wait_ns: int, now_ns: int) -> Standing:
        return Standing(
            number,
            param,
            wait_ns,
            self.running,
            self.requests.total,
            self.requests.reset_ns(now_ns),
            self.tokens.total,
            self.tokens.reset_ns(now_ns),
        )


class KeptRates:
    """Rates that this process keeps."""

    def __init__(self, clock: Clock) -> None:
        self._now_ns = clock.monotonic_ns
        self._accounts: OrderedDict[str, Account] = OrderedDict()
        self._number = 0
        self._running: dict[int, tuple[Account, int, Entry]] = {}

    def take(self, name: str, limit: RateLimit, requests: int, tokens: int) -> Standing:
        now_ns = self._now_ns()
        self._forget_idle(now_ns)
        account = self._accounts.get(name)
        if account is None:
            account = self._accounts[name] = Account()
        account.requests.expire(now_ns)
        account.tokens.expire(now_ns)
        wait_ns, param = _longest_wait(account, limit, requests, tokens, now_ns)
        number = 0
        if not param:
            self._number = number = self._number + 1
            account.running += 1
            if requests:
                account.requests.add(requests, now_ns)
            self._running[number] = (account, tokens, account.tokens.add(tokens, now_ns))
        return account.standing(number, param, wait_ns, now_ns)

    def look(self, name: str, limit: RateLimit, requests: int, tokens: int) -> Standing:
        now_ns = self._now_ns()
        account = self._accounts.get(name) or Account()
        account.requests.expire(now_ns)
        account.tokens.expire(now_ns)
        wait_ns, param = _longest_wait(account, limit, requests, tokens, now_ns)
        return account.standing(0, param, wait_ns, now_ns)

    def end(self, number: int, used_tokens: int) -> None:
        account, tokens, entry = self._running.pop(number)
        now_ns = self._now_ns()
        account.running -= 1
        account.tokens.expire(now_ns)
        if used_tokens <= tokens:
            account.tokens.take_back(tokens - used_tokens, entry)
        else:
            account.tokens.add(used_tokens - tokens, now_ns)

    def said(self) -> dict[str, tuple[Said, Said]]:
        """{name: (requests, tokens)} of the last sixty seconds, for the process that takes over."""
        now_ns = self._now_ns()
        for account in self._accounts.values():
            account.requests.expire(now_ns)
            account.tokens.expire(now_ns)
        return {name: (account.requests.said(), account.tokens.said()) for name, account in self._accounts.items()}

    def hear(self, said: Mapping[str, tuple[Said, Said]]) -> None:
        """Go on with what another process has counted."""
        for name, (requests, tokens) in said.items():
            account = self._accounts.setdefault(name, Account())
            account.requests.hear(requests)
            account.tokens.hear(tokens)

    def _forget_idle(self, now_ns: int) -> None:
        """Look at the two names that were not looked at for longest: more than come, so that all idle ones go."""
        for name in [name for name, _ in zip(self._accounts, range(2), strict=False)]:
            if self._accounts[name].idle(now_ns):
                del self._accounts[name]
            else:
                self._accounts.move_to_end(name)


class LinkedRates:
    """Rates that the process at the other end of a link keeps."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def take(self, name: str, limit: RateLimit, requests: int, tokens: int) -> Standing:
        """Raises: Draining: the other process is gone, and this one ends."""
        asking = asyncio.ensure_future(self._link.call("rates.take", name, _values(limit), requests, tokens))
        try:
            return Standing(*await asyncio.shield(asking))
        except LinkLost as error:
            raise _ending() from error
        except asyncio.CancelledError:
            asking.add_done_callback(self._give_back)
            raise

    async def look(self, name: str, limit: RateLimit, requests: int, tokens: int) -> Standing:
        """Raises: Draining: the other process is gone, and this one ends."""
        try:
            return Standing(*await self._link.call("rates.look", name, _values(limit), requests, tokens))
        except LinkLost as error:
            raise _ending() from error

    def _give_back(self, asking: asyncio.Future[tuple[int, ...]]) -> None:
        """Whoever asked is gone, and what was asked for may have been taken."""
        if not asking.cancelled() and asking.exception() is None and (number := asking.result()[0]):
            self.end(number, 0)

    def end(self, number: int, used_tokens: int) -> None:
        self._link.tell("rates.end", number, used_tokens)


class RatesDesk:
    """What one other process may ask of the rates that this one keeps."""

    def __init__(self, rates: KeptRates) -> None:
        self._rates = rates
        self._running: set[int] = set()

    def take(self, name: str, limits: Values, requests: int, tokens: int) -> tuple[int | str, ...]:
        """Returns a Standing, as values."""
        standing = self._rates.take(name, _limit(limits), requests, tokens)
        if standing.number:
            self._running.add(standing.number)
        return tuple(standing)

    def look(self, name: str, limits: Values, requests: int, tokens: int) -> tuple[int | str, ...]:
        """Returns a Standing, as values."""
        return tuple(self._rates.look(name, _limit(limits), requests, tokens))

    def end(self, number: int, used_tokens: int) -> None:
        self._running.discard(number)
        self._rates.end(number, used_tokens)

    def close(self) -> None:
        """The other process is gone."""
        while self._running:
            self._rates.end(self._running.pop(), 0)


def _ending() -> Draining:
    return Draining("The gateway is shutting down.", retry_after_s=1)


def _values(limit: RateLimit) -> Values:
    return limit.requests_per_minute, limit.tokens_per_minute, limit.concurrent


def _limit(values: Values) -> RateLimit:
    requests_per_minute, tokens_per_minute, concurrent = values
    return RateLimit(requests_per_minute=requests_per_minute, tokens_per_minute=tokens_per_minute, concurrent=concurrent)


def _longest_wait(account: Account, limit: RateLimit, requests: int, tokens: int, now_ns: int) -> tuple[int, str]:
    waits = [(0, "")]
    for param, window, asked, most in (
        ("requests_per_minute", account.requests, requests, limit.requests_per_minute),
        ("tokens_per_minute", account.tokens, tokens, limit.tokens_per_minute),
    ):
        if most is not None and asked and window.total + asked > most:
            waits.append((window.wait_ns(window.total + asked - most, now_ns), param))
    if limit.concurrent is not None and account.running >= limit.concurrent:
        waits.append((SLOT_WAIT_NS, "concurrent"))
    return max(waits, key=lambda wait: (bool(wait[1]), wait[0]))
