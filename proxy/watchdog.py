"""Noticing that the event loop stands still, and who holds it up: a plugin that blocks holds up every request at once.

A thread looks; the loop only ticks. The hook that runs is read off the stack of the loop's thread, which costs
requests nothing.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
import traceback
from types import FrameType

import structlog

from proxy.chain import running_call
from proxy.conversation import running_exchange
from proxy.faults import Faults

LOOKS = 4
"""In the time that the loop may stand still."""
MOST_FRAMES = 30

log = structlog.get_logger("paifang")


class Watchdog:
    """Watches the running loop from `start` to `stop`."""

    def __init__(self, limit_s: float, faults: Faults) -> None:
        """limit_s: how long the loop may stand still."""
        self._limit_s = limit_s
        self._every_s = limit_s / LOOKS
        self._faults = faults
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._timer: asyncio.TimerHandle | None = None
        self._stalled_since_s = 0.0
        """When the loop last ticked before the stall that has been told of; 0: it hasn't stalled."""

    def start(self) -> None:
        """Call it in the loop that is to be watched."""
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._tick()
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self) -> None:
        now_s = time.monotonic()
        if self._stalled_since_s:
            log.warning("the event loop goes on", stood_still_s=round(now_s - self._stalled_since_s, 2))
            self._stalled_since_s = 0.0
        self._ticked_s = now_s
        self._timer = self._loop.call_later(self._every_s, self._tick)

    def _watch(self) -> None:
        while not self._over.wait(self._every_s):
            ticked_s = self._ticked_s
            # The next tick was due a while after the last one; only from then on is it late.
            late_s = time.monotonic() - ticked_s - self._every_s
            if late_s > self._limit_s and self._stalled_since_s != ticked_s:
                self._stalled_since_s = ticked_s
                self._tell(late_s, sys._current_frames().get(self._loop_thread))

    def _tell(self, late_s: float, frame: FrameType | None) -> None:
        chain, plugin, hook = running_call(frame)
        if chain is None and (adapter := running_exchange(frame)):
            plugin, hook = adapter, "exchange"
        self._faults.stalls[plugin, hook] += 1
        if chain is not None:
            # The chain belongs to the loop, which hears of this when it goes on.
            self._loop.call_soon_threadsafe(chain.strike, plugin, hook, "held up the event loop")
        stack = traceback.extract_stack(frame, limit=MOST_FRAMES) if frame is not None else []
        log.error(
            "the event loop is held up: nothing else runs until this returns",
            plugin=plugin or None,
            hook=hook or None,
            for_s=round(late_s, 2),
            pid=os.getpid(),
            stack="".join(traceback.format_list(stack)),
        )
