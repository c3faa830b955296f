"""How routes and credentials fare: what fails is left alone for a while, then one real request finds out.

    serving ──▶ cooling    the provider asked to be left alone until a time; then it serves
    serving ──▶ open       too many requests failed ┐
    serving ──▶ refused    our credential, account  ├─ its time is over ─▶ probing ─ an answer ──▶ serving
                           or model is not taken    ┘      ▲  one request   │
                                                           └── twice as long ── a failure

A route and the credential of its provider have a state each; a route is asked if both let it. States live in the process
and survive a reload of gateway.yaml where neither the route nor its provider has changed. Times come in from outside, in
nanoseconds of the monotonic clock, which all processes of a machine share. Each change is told to whoever serves with this
process (linkedhealth.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import TYPE_CHECKING, Protocol
from weakref import WeakValueDictionary

from proxy.circuit import SECOND_NS, Circuit, Said
from proxy.clock import Clock, SystemClock
from proxy.errors import Remedy, UpstreamError, UpstreamRejectedUs
from proxy.ratewindow import Said as WindowSaid
from proxy.routelimits import RouteLimits, asked_tokens

if TYPE_CHECKING:
    from proxy.chat import ChatRequest, Usage
    from proxy.context import RateLimit
    from proxy.linkedhealth import LinkedLimits

FAILURES_IN_A_ROW = 5
LEAST_COUNTED = 20
"""Requests of which half must have failed, in RATE_NS to twice that."""
RATE_NS = 30 * SECOND_NS
COOL_S = 5
"""Where a provider says that it is busy, but not for how long."""


class Slot(Protocol):
    """What an attempt occupies until its provider has answered."""

    def free(self) -> None: ...


class Counted(Protocol):
    """What an attempt counts for among the limits of its route."""

    def end(self, now_ns: int, used_tokens: int) -> None: ...


class RouteHealth(Circuit):
    """A route's own state, its provider's credential and its limits: whether it can be asked."""

    __slots__ = (
        "_counted", "_counted_before", "_failed", "_failed_before", "_since_ns", "_tell_outcome", "credential", "in_a_row",
        "limits", "linked",
    )  # fmt: skip

    def __init__(
        self,
        name: str = "",
        credential: Circuit | None = None,
        limit: RateLimit | None = None,
        clock: Clock | None = None,
        *,
        linked: LinkedLimits | None = None,
        key: str = "",
        tell: Callable[[Circuit], None] | None = None,
        tell_outcome: Callable[[str, bool], None] | None = None,
    ) -> None:
        """linked: asked instead of `limit`, where another process counts. tell_outcome: (key, whether it failed), where that
        changes `in_a_row`."""
        super().__init__("route", name, clock, key=key, tell=tell)
        self.credential = credential or Circuit("credential", "", clock)
        self.limits = None if limit is None or linked is not None else RouteLimits(limit)
        self.linked = linked
        self.in_a_row = 0
        """Requests that failed since the last one that did not, wherever they were served."""
        self._tell_outcome = tell_outcome
        self._since_ns = 0
        self._counted = self._failed = self._counted_before = self._failed_before = 0

    def wait_ns(self, now_ns: int, chat: ChatRequest | None = None) -> int:
        """How long until this request may be sent; 0: now. chat: None: any, whatever its size."""
        if not self.until_ns and not self.credential.until_ns and self.limits is None:
            return 0
        full_ns = 0 if self.limits is None else self.limits.full_for_ns(now_ns, chat)
        return max(self.closed_for_ns(now_ns), self.credential.closed_for_ns(now_ns), full_ns)

    def standing(self, now_ns: int) -> tuple[str, str, str | None]:
        """(state, reason, time of the next try), for people and metrics."""
        for circuit in (self.credential, self):
            if (state := circuit.state(now_ns)) != "serving":
                return state, circuit.reason, circuit.next_try(now_ns)
        if self.limits is not None and self.limits.full_for_ns(now_ns, None):
            return "full", "at its limits", None
        return "serving", "", None

    def begin(self, now_ns: int, chat: ChatRequest, slot: Slot | None = None, *, again: bool = False) -> Flight:
        """A request goes to the route, whose `wait_ns` is 0. again: it has failed there before."""
        limits = self.limits
        counted = None if limits is None else limits.take(now_ns, asked_tokens(chat, limits.limit))
        return self.begin_counted(now_ns, counted, slot, again=again)

    def begin_counted(self, now_ns: int, counted: Counted | None, slot: Slot | None, *, again: bool) -> Flight:
        """As `begin`, for a request that its limits have counted."""
        trials: tuple[Circuit, ...] = ()
        if self.until_ns or self.credential.until_ns:
            trials = tuple(each for each in (self, self.credential) if each.until_ns and each.enter(now_ns))
        return Flight(self, trials, counted, slot, again)

    def succeeded(self, now_ns: int) -> None:
        if self.in_a_row:
            self.in_a_row = 0
            if self._tell_outcome is not None:
                self._tell_outcome(self.key, False)
        self.credential.refusals = 0
        self._count(now_ns, 0)

    def failed(self, reason: str, now_ns: int) -> None:
        """One more request failed."""
        self.in_a_row += 1
        if self._tell_outcome is not None:
            self._tell_outcome(self.key, True)
        self._count(now_ns, 1)
        if self.state(now_ns) in ("open", "refused", "probing"):
            return
        counted, failed = self._counted + self._counted_before, self._failed + self._failed_before
        if self.in_a_row >= FAILURES_IN_A_ROW:
            self._trip(f"{reason}, {self.in_a_row} in a row", now_ns)
        elif counted >= LEAST_COUNTED and 2 * failed >= counted:
            self._trip(f"{reason}, {failed} of {counted} failed", now_ns)

    def hear(self, said: Said) -> None:
        super().hear(said)
        if self._state == "open":
            self.in_a_row = 0  # they have had their effect

    def _trip(self, reason: str, now_ns: int) -> None:
        self.in_a_row = self._counted = self._failed = self._counted_before = self._failed_before = 0
        self.open(reason, now_ns)

    def _count(self, now_ns: int, failed: int) -> None:
        if now_ns - self._since_ns >= RATE_NS:
            fresh = now_ns - self._since_ns < 2 * RATE_NS
            self._counted_before, self._failed_before = (self._counted, self._failed) if fresh else (0, 0)
            self._counted, self._failed, self._since_ns = 0, 0, now_ns
        self._counted += 1
        self._failed += failed


class Flight:
    """One attempt that is with a route. `end` it once, whatever came of it."""

    __slots__ = ("_again", "_counted", "_route", "_slot", "_trials")

    def __init__(
        self, route: RouteHealth, trials: tuple[Circuit, ...], counted: Counted | None, slot: Slot | None, again: bool
    ) -> None:
        self._route = route
        self._trials = trials
        self._counted = counted
        self._slot = slot
        self._again = again

    def answered(self) -> None:
        """The provider began a valid answer, so it is there."""
        if self._slot is not None:
            self._slot.free()
            self._slot = None
        for circuit in self._trials:
            circuit.recover()
        self._trials = ()

    @property
    def counts(self) -> bool:
        """Whether its tokens count among the limits of its route."""
        return self._counted is not None

    def end(self, now_ns: int, usage: Usage | None, error: UpstreamError | None, *, ok: bool) -> None:
        """usage: what the answer came to. error: the provider's failure. Neither that nor ok: it says nothing of the route."""
        if ok or (error is not None and error.remedy is Remedy.NEVER):
            self.answered()
            self._route.succeeded(now_ns)
        elif error is not None:
            self._blame(error, now_ns)
        for circuit in self._trials:
            circuit.leave()
        if self._slot is not None:
            self._slot.free()
        if self._counted is not None:
            self._counted.end(now_ns, 0 if usage is None else usage.input_tokens + usage.output_tokens)

    def _blame(self, error: UpstreamError, now_ns: int) -> None:
        route, reason = self._route, error.code
        if isinstance(error, UpstreamRejectedUs) or error.remedy is Remedy.BAD_CREDENTIAL:
            circuit = route.credential if error.remedy is Remedy.BAD_CREDENTIAL else route
            if circuit in self._trials or circuit.state(now_ns) in ("serving", "cooling"):
                circuit.refuse(reason, now_ns, error.retry_after_s or 0)
            return
        if error.remedy is Remedy.COOL_DOWN:
            self.answered()  # whoever says that it is busy is there
            route.cool(COOL_S if error.retry_after_s is None else error.retry_after_s, reason, now_ns)
            return
        if route in self._trials:
            route.open(reason, now_ns)
        elif not self._again:  # a second failure of one request is no news
            route.failed(reason, now_ns)
        if error.retry_after_s:
            route.cool(error.retry_after_s, reason, now_ns)


class Health:
    """Finds the state of a route or a credential again after a reload. What no snapshot refers to any more is forgotten."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._circuits: WeakValueDictionary[str, Circuit] = WeakValueDictionary()
        self.tell: Callable[..., None] | None = None
        """Tells those who serve with this process what to `hear`: (name, *values)."""

    def credential(self, provider: str, identity: str, *, renewed: bool = False) -> Circuit:
        """identity: what makes it another credential if it changes. renewed: one that is refused is replaced by itself."""
        key = _key("credential", provider, identity)
        found = self._circuits.get(key)
        if found is None:
            found = self._circuits[key] = Circuit(
                "credential", provider, self._clock, overlooked=int(renewed), key=key, tell=self._tell_change
            )
        return found

    def route(self, label: str, identity: str, credential: Circuit, limit: RateLimit | None) -> RouteHealth:
        """identity: what makes it another route if it changes."""
        key = _key("route", label, identity, credential.key, repr(limit))
        found = self._circuits.get(key)
        if not isinstance(found, RouteHealth):
            found = self._circuits[key] = RouteHealth(
                label,
                credential,
                limit,
                self._clock,
                linked=None if limit is None else self.linked_limits(key, limit),
                key=key,
                tell=self._tell_change,
                tell_outcome=self._tell_outcome,
            )
        return found

    def linked_limits(self, key: str, limit: RateLimit) -> LinkedLimits | None:
        """How to ask who counts for a route; None: this process does."""
        return None

    def limits(self, key: str) -> RouteLimits | None:
        """Those of a route that is known here, if it has any."""
        found = self._circuits.get(key)
        return found.limits if isinstance(found, RouteHealth) else None

    def said(self) -> Iterable[tuple[str, Said]]:
        """(key, state) of all that were ever anything but well."""
        return [(key, said) for key, circuit in self._circuits.items() if (said := circuit.said()) is not None]

    def said_limits(self) -> dict[str, tuple[WindowSaid, WindowSaid]]:
        """{key: what routes that have limits were asked for}, for the process that takes over."""
        routes = (circuit for circuit in self._circuits.values() if isinstance(circuit, RouteHealth))
        return {route.key: route.limits.said() for route in routes if route.limits is not None}

    def hear(self, key: str, said: Said) -> None:
        """Another process has changed a circuit, which this one may not know."""
        if (circuit := self._circuits.get(key)) is not None:
            circuit.hear(said)

    def hear_outcome(self, key: str, failed: bool) -> None:
        """At a route a request has failed in another process, or has not after some that had."""
        route = self._circuits.get(key)
        if isinstance(route, RouteHealth):
            route.in_a_row = route.in_a_row + 1 if failed else 0

    def _tell_change(self, circuit: Circuit) -> None:
        if self.tell is not None:
            self.tell("circuit", circuit.key, circuit.said())

    def _tell_outcome(self, key: str, failed: bool) -> None:
        if self.tell is not None:
            self.tell("outcome", key, failed)


def _key(*parts: str) -> str:
    """The same in every process; it tells nothing of a credential that is one of the parts."""
    return sha256(repr(parts).encode()).hexdigest()
