"""App: the parts of the running gateway, as plugins get them in `startup`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from proxy.clock import Clock
from proxy.events import Events
from proxy.faults import Faults
from proxy.fleet import Fleet
from proxy.rates import Rates
from proxy.spanquery import iso
from proxy.storage.keys import KeyStore
from proxy.storage.ledger import Ledger

if TYPE_CHECKING:
    from proxy.snapshot import Snapshot


@dataclass(slots=True)
class Reloads:
    """How reloading gateway.yaml has gone."""

    outcomes: dict[str, int] = field(default_factory=lambda: {"ok": 0, "failed": 0})
    last_success_s: float = 0.0
    """Unix seconds of the last time a configuration was taken; the start counts."""
    refused: str = ""
    """What is wrong with the file that was looked at last, a problem a line; "": it was taken."""

    def took(self, now_s: float) -> None:
        """A configuration was taken."""
        self.outcomes["ok"] += 1
        self.last_success_s, self.refused = now_s, ""

    def problem(self) -> str | None:
        """Why the gateway doesn't go by its gateway.yaml, on one line; None: it does."""
        if not self.refused:
            return None
        taken = iso(int(self.last_success_s))
        problems = "; ".join(self.refused.splitlines())
        return f"the running gateway refused it, and goes on with the one it read at {taken}: {problems}"


@dataclass(slots=True, kw_only=True)
class App:
    """What a plugin may use between startup and shutdown."""

    clock: Clock
    ledger: Ledger
    keys: KeyStore
    rates: Rates
    fleet: Fleet
    version: str
    current: Callable[[], Snapshot]
    """The snapshot that new requests get; a reload swaps it."""
    in_flight: Callable[[], Mapping[str, int]]
    """{route label: requests that are with it now}."""
    reloads: Reloads = field(default_factory=Reloads)
    """How reloading gateway.yaml has gone."""
    faults: Faults = field(default_factory=Faults)
    """What plugins and adapters did that they may not, counted in this process."""
    events: Events = field(default_factory=Events)
    """Tells those who follow, through the admin API, of requests that are over. A plugin has `observe` for that."""
