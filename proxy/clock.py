"""Time as a part that is handed in, so that tests move it."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where the gateway gets the time from."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds from an arbitrary start; never runs backwards."""
        ...


class SystemClock:
    """The machine's clock."""

    now_ns = staticmethod(time.time_ns)
    monotonic_ns = staticmethod(time.perf_counter_ns)
