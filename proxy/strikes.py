"""Strikes: an observer that takes too long again and again is called no more. It fails open, so nothing depends on it.

A guard is never switched off, however slow it is: without it nobody would be refused.
"""

from __future__ import annotations

from collections import defaultdict, deque

import structlog

from proxy.hookspecs import FAIL_OPEN

MOST = 5
WITHIN_S = 60

log = structlog.get_logger("paifang")


class Strikes:
    """How often the hooks of one chain lately took too long. A reload makes another chain, and so forgives."""

    def __init__(self) -> None:
        self.off: set[tuple[str, str]] = set()
        """{(plugin, hook)} that are called no more."""
        self._lately: defaultdict[tuple[str, str], deque[float]] = defaultdict(lambda: deque(maxlen=MOST))

    def add(self, plugin: str, hook: str, did: str, now_s: float) -> bool:
        """Count one. Returns whether it was one too many. did: "waited too long". now_s: monotonic."""
        who = (plugin, hook)
        if hook not in FAIL_OPEN or who in self.off:
            return False
        lately = self._lately[who]
        lately.append(now_s)
        if len(lately) < MOST or now_s - lately[0] > WITHIN_S:
            return False
        self.off.add(who)
        log.error(
            "plugin switched off",
            plugin=plugin,
            hook=hook,
            reason=f"it {did}, as {MOST} times within {WITHIN_S} s",
            remedy="mend it, or take it off plugins:, then reload (SIGHUP); a reload switches it on again",
        )
        return True
