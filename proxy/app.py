"""App: the parts of the running gateway, as plugins get them in `startup`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from proxy.clock import Clock
from proxy.storage.keys import KeyStore
from proxy.storage.ledger import Ledger

if TYPE_CHECKING:
    from proxy.snapshot import Snapshot


@dataclass(slots=True, kw_only=True)
class App:
    """What a plugin may use between startup and shutdown."""

    clock: Clock
    random: Random
    ledger: Ledger
    keys: KeyStore
    version: str
    current: Callable[[], Snapshot]
    """The snapshot new requests get; it is swapped at reload."""
