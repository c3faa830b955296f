"""Circuit: whether a route or a credential may be asked now. health.py says when it opens and closes.

Times come in from outside, in nanoseconds of the monotonic clock; the other clock is for the log alone.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import structlog

from proxy.clock import Clock, SystemClock

SECOND_NS = 10**9
OPEN_S, LONGEST_OPEN_S = 5, 120
REFUSED_S, LONGEST_REFUSED_S = 60, 900
LONGEST_COOL_S = 120
"""Whatever a provider says."""
TRIAL_NS = 10 * SECOND_NS
"""An answer may take minutes: from then on another request may find out, too."""
TRIAL_WAIT_NS = SECOND_NS
"""When to come again where one request is finding out."""

Said = tuple[int, str, int, str, int, int, int]
"""A circuit's state as it goes to another process: (changed_ns, state, until_ns, reason, rounds, trial_until_ns, refusals)."""

log = structlog.get_logger("paifang")


class Circuit:
    """Whether a route or a credential may be asked now and, if not, why and until when."""

    __slots__ = (
        "__weakref__", "_changed_ns", "_clock", "_kind", "_overlooked", "_rounds", "_state", "_tell", "key", "name",
        "reason", "refusals", "trial_until_ns", "until_ns",
    )  # fmt: skip

    def __init__(
        self,
        kind: str = "route",
        name: str = "",
        clock: Clock | None = None,
        *,
        overlooked: int = 0,
        key: str = "",
        tell: Callable[[Circuit], None] | None = None,
    ) -> None:
        """kind: "route" or "credential", for the log. name: the route's label, or the provider.

        overlooked: refusals in a row that mean nothing yet. tell: called after each change that is made here.
        """
        self.name = name
        self.key = key
        """The same in every process that has it."""
        self.reason = ""
        """Why it is not asked; "" while it is."""
        self.until_ns = 0
        """When it may be asked again; 0: all is well."""
        self.trial_until_ns = 0
        """One request is finding out, and no other is sent until then."""
        self.refusals = 0
        """Since it was last taken."""
        self._overlooked = overlooked
        self._kind = kind
        self._clock = clock or SystemClock()
        self._state = "serving"
        self._rounds = 0
        self._tell = tell
        self._changed_ns = 0

    def closed_for_ns(self, now_ns: int) -> int:
        """How long it is not to be asked; 0 if it may be."""
        if now_ns < self.until_ns:
            return self.until_ns - now_ns
        return min(TRIAL_WAIT_NS, max(0, self.trial_until_ns - now_ns))

    def state(self, now_ns: int) -> str:
        if self._state == "serving" or now_ns < self.until_ns:
            return self._state
        return "serving" if self._state == "cooling" else "probing"

    def enter(self, now_ns: int) -> bool:
        """A request is about to be sent, which is allowed now. Returns whether it is the one that finds out."""
        if self._state == "cooling":
            self._well()
            return False
        self.trial_until_ns = now_ns + TRIAL_NS
        self._changed()
        return True

    def leave(self) -> None:
        """The request that was finding out is over and has found out nothing, or has told already."""
        if self.trial_until_ns:
            self.trial_until_ns = 0
            self._changed()

    def cool(self, seconds: float, reason: str, now_ns: int) -> None:
        """Leave it alone for so long, or for longer if it is left alone already."""
        until_ns = now_ns + round(min(seconds, LONGEST_COOL_S) * SECOND_NS)
        if until_ns <= max(now_ns, self.until_ns):
            return
        if self.state(now_ns) == "serving":
            self._close("cooling", until_ns, reason, now_ns)
        else:
            self.until_ns = until_ns
            self._changed()

    def open(self, reason: str, now_ns: int) -> None:
        self._back_off("open", OPEN_S, LONGEST_OPEN_S, reason, now_ns)

    def refuse(self, reason: str, now_ns: int, least_s: float = 0) -> None:
        """least_s: how long the provider says that it will refuse, where it does."""
        self.refusals += 1
        if self.refusals > self._overlooked:
            self._back_off("refused", REFUSED_S, LONGEST_REFUSED_S, reason, now_ns, least_s)

    def recover(self) -> None:
        """The request that was finding out was answered."""
        self.trial_until_ns = self._rounds = 0
        self._well()

    def vouch(self) -> str:
        """Its operator had it asked, and it answered. Returns why it was left alone until now; "": it wasn't.

        A pause that the provider asked for goes on: one small answer says nothing of it.
        """
        self.refusals = 0
        if self.state(self._clock.monotonic_ns()) in ("serving", "cooling"):
            return ""
        reason = self.reason
        self.recover()
        return reason

    def _back_off(self, state: str, first_s: int, longest_s: int, reason: str, now_ns: int, least_s: float = 0) -> None:
        seconds = max(min(first_s << min(self._rounds, 16), longest_s), least_s)
        self._rounds += 1
        self.trial_until_ns = 0
        self._close(state, now_ns + round(seconds * SECOND_NS), reason, now_ns)

    def _close(self, state: str, until_ns: int, reason: str, now_ns: int) -> None:
        self._state, self.until_ns, self.reason = state, until_ns, reason
        self._changed()
        tell = log.error if state == "refused" else log.warning
        tell(f"{self._kind} {state}", **{self._kind: self.name}, reason=reason, next_try=self.next_try(now_ns))

    def _well(self) -> None:
        self._state, self.until_ns, self.reason = "serving", 0, ""
        self._changed()
        log.info(f"{self._kind} serves again", **{self._kind: self.name})

    def next_try(self, now_ns: int) -> str | None:
        """When it may be asked again, as 2026-11-20T08:00:00.250Z; None: now."""
        wait_ns = self.until_ns - now_ns
        if wait_ns <= 0:
            return None
        moment = dt.datetime.fromtimestamp((self._clock.now_ns() + wait_ns) / SECOND_NS, dt.UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def _changed(self) -> None:
        self._changed_ns = self._clock.monotonic_ns()
        if self._tell is not None:
            self._tell(self)

    def said(self) -> Said | None:
        """What it is like, for another process; None: it was never anything but well."""
        if not self._changed_ns:
            return None
        return (
            self._changed_ns, self._state, self.until_ns, self.reason, self._rounds, self.trial_until_ns, self.refusals
        )  # fmt: skip

    def hear(self, said: Said) -> None:
        """Another process has changed it: whichever change is later holds, and of two times to leave it alone the longer."""
        changed_ns, state, until_ns, reason, rounds, trial_until_ns, refusals = said
        if state == self._state == "cooling":
            until_ns = self.until_ns = max(until_ns, self.until_ns)
        if changed_ns > self._changed_ns:
            self._changed_ns, self._state, self.until_ns, self.reason = changed_ns, state, until_ns, reason
            self._rounds, self.trial_until_ns, self.refusals = rounds, trial_until_ns, refusals
