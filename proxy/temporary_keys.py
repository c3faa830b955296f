"""API keys that are made from an AK/SK: kept while they last, and renewed before they expire.

    no key              whoever comes waits for the one call that is under way
    key                 used at once
    key, renewal due    used at once, while one call beside its requests gets the next; should that fail, it serves on
    a call failed       the next one waits for PAUSE_S; who has no key until then is told of the failure at once
    refused as a key    forgotten, so that the next request gets another
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from copy import copy

import structlog

from proxy.adapter import Send
from proxy.clock import Clock
from proxy.context import Target
from proxy.credentials import AccessKey
from proxy.errors import Progress, UpstreamError, UpstreamTimeout
from proxy.secret import Secret
from proxy.snapshot import Provider
from proxy.tail import Tail
from proxy.volcengine_keys import key_request, read_key

RENEW_BEFORE_S = 30 * 60
"""Of a key that lasts shorter than four times as long, its last quarter."""
SPARE_S = 30
"""A key is not used in its last seconds: clocks differ, and requests travel."""
PAUSE_S = 10
_S = 10**9

Ask = Callable[[Provider, Target, Send], Awaitable[tuple[int, bytes]]]
"""Send to the provider's control plane: → status and body. Raises: UpstreamError."""

log = structlog.get_logger("paifang")


class _Entry:
    __slots__ = ("call", "expires_ns", "failure", "key", "made_ns", "paused_ns", "renew_ns")

    def __init__(self) -> None:
        self.key = Secret("")
        self.made_ns = self.renew_ns = self.expires_ns = self.paused_ns = 0
        self.call: asyncio.Task[None] | None = None
        self.failure: UpstreamError | None = None


class TemporaryKeys:
    """The keys of every AK/SK, one per model, endpoint or bot. A reload leaves them be."""

    def __init__(self, ask: Ask, clock: Clock) -> None:
        self._ask = ask
        self._clock = clock
        self._tail = Tail()
        self._entries: dict[tuple[AccessKey | None, str], _Entry] = {}

    def at_hand(self, provider: Provider, target: Target) -> Secret | None:
        """A key that can be used now; None: `wait` for one."""
        entry = self._entries.get((provider.access, target.upstream_model))
        now_ns = self._clock.now_ns()
        if entry is None or now_ns >= entry.expires_ns:
            return None
        if now_ns >= max(entry.renew_ns, entry.paused_ns) and entry.call is None:
            self._call(entry, provider, target)
        return entry.key

    async def wait(self, provider: Provider, target: Target, deadline_s: float) -> Secret:
        """The key that comes of the one call. deadline_s: loop time. Raises: UpstreamError: nothing is sent to the model."""
        entry = self._entries.setdefault((provider.access, target.upstream_model), _Entry())
        if entry.call is None and (entry.failure is None or self._clock.now_ns() >= entry.paused_ns):
            self._call(entry, provider, target)
        if entry.call is not None:
            try:
                async with asyncio.timeout_at(deadline_s):
                    await asyncio.shield(entry.call)
            except TimeoutError as error:
                raise UpstreamTimeout("The provider made no API key in time.", progress=Progress.NEVER_SENT) from error
        if entry.failure is not None:
            raise copy(entry.failure)  # each request adds to its own
        return entry.key

    def refused(self, provider: Provider, target: Target) -> None:
        """The provider doesn't take the key; one that is new may just not be known everywhere yet."""
        entry = self._entries.get((provider.access, target.upstream_model))
        if entry is not None and self._clock.now_ns() - entry.made_ns >= PAUSE_S * _S:
            entry.expires_ns = 0

    def secrets(self) -> list[Secret]:
        """Every key there is, for redaction."""
        return [entry.key for entry in self._entries.values()]

    def keep(self, providers: Iterable[Provider]) -> None:
        """Forget the keys of an AK/SK that no provider has any more."""
        wanted = {provider.access for provider in providers}
        self._entries = {of: entry for of, entry in self._entries.items() if of[0] in wanted}

    async def close(self) -> None:
        await self._tail.cancel()

    def _call(self, entry: _Entry, provider: Provider, target: Target) -> None:
        entry.call = self._tail.spawn(self._renew(entry, provider, target))

    async def _renew(self, entry: _Entry, provider: Provider, target: Target) -> None:
        assert provider.access is not None
        try:
            request = key_request(provider.access, target.upstream_model, self._clock.now_ns())
            made = read_key(*await self._ask(provider, target, request))
        except UpstreamError as error:
            error.progress = Progress.NEVER_SENT
            entry.failure = error
            entry.paused_ns = self._clock.now_ns() + PAUSE_S * _S
            log.warning(
                "no API key was made", provider=provider.name, code=error.code, upstream=error.upstream, detail=error.detail
            )
        else:
            now_ns = self._clock.now_ns()
            lasts_ns = max(0, made.expires_s * _S - now_ns)
            entry.key, entry.failure, entry.made_ns = made.key, None, now_ns
            entry.renew_ns = now_ns + lasts_ns - min(RENEW_BEFORE_S * _S, lasts_ns // 4)
            entry.expires_ns = now_ns + lasts_ns - SPARE_S * _S
        finally:
            entry.call = None
