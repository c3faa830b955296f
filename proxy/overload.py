"""How much one process takes on: bounds on requests, connections, the loop's lag and memory. Beyond one, new work gets 503
`overloaded`; what runs goes on.

Requests are compared as they come. Lag and memory are looked at four times and once a second, and found wanting twice in a row
before they count: one long step, or a peak, is no overload.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import resource
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

import structlog

from proxy.configsections import ServerConfig
from proxy.errors import Overloaded

TICK_S = 0.25
TICKS_A_LOOK_AT_MEMORY = 4
SHARE_OF_MEMORY = 0.85
"""Of what the machine or its container has, where no limit is given."""
LEAST_MEMORY_BYTES = 256 * 2**20
"""Taken for that share where it is less: with what a process needs to begin with, it would refuse everything."""
RESERVED_CONNECTIONS = 64
"""Beyond the bound, for whoever asks how the gateway is."""
RESERVED_FILES = 128
"""Descriptors that are no connections: listeners, the store, threads."""
MOST_FILES = 65_536
MEMORY = "memory"
RETRY_AFTER_S = (1.0, 5.0)
"""Between these, at random: those who were refused together should not come back together."""
_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))

log = structlog.get_logger("paifang")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """The most that a process takes on."""

    requests: int
    connections: int
    connections_per_client: int | None
    lag_s: float
    memory_bytes: int | None
    """None: it is not known how much there is."""


def bounds_of(server: ServerConfig) -> Bounds:
    """What `server.limits` says, within what the system grants. Raises the process's limit of open files as far as it may."""
    limits = server.limits
    files = raise_file_limit()
    memory_bytes = None if limits.memory_mb is None else limits.memory_mb * 1024 * 1024
    if memory_bytes is None and (all_bytes := memory_of_machine()) is not None:
        share_bytes = int(all_bytes * SHARE_OF_MEMORY) // (server.workers or os.cpu_count() or 1)
        memory_bytes = max(share_bytes, LEAST_MEMORY_BYTES)
    return Bounds(
        requests=limits.requests,
        # A request that is served needs a connection on either side.
        connections=max(1, min(limits.connections, (files - RESERVED_FILES) // 2)),
        connections_per_client=limits.connections_per_client,
        lag_s=limits.loop_lag_ms / 1000,
        memory_bytes=memory_bytes,
    )


def raise_file_limit() -> int:
    """Ask for as many open files as this user may have, up to MOST_FILES. Returns how many it may open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_FILES if soft == resource.RLIM_INFINITY else soft


def memory_of_machine() -> int | None:
    """Bytes that the container or, without a limit there, the machine has; None where neither says."""
    known = []
    for file in _CGROUP_LIMITS:
        with suppress(OSError, ValueError):  # "max": no limit
            known.append(int(file.read_text()))
    with suppress(OSError, ValueError):
        known.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return min(known, default=None)


def return_freed_memory() -> None:
    """Give the system what was freed. glibc keeps much of it, so that a peak would look like a need for ever after."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's own: other systems have none
    if trim is not None:
        trim(0)


class Load:
    """What a process bears, and whether it may take more."""

    def __init__(self, bounds: Bounds, random: Random | None = None) -> None:
        self.bounds = bounds
        self.connections = 0
        self._of_client: Counter[str] = Counter()
        self._random = random or Random()
        self._trouble = ""
        """Why no new work is taken, beside the number of requests."""
        self._late = self._large = 0
        """How many looks in a row found too much of it."""
        self._ticks = 0
        self._statm = -1
        self._timer: asyncio.TimerHandle | None = None

    def admit(self, requests: int) -> None:
        """requests: those in progress, the new one among them. Raises: Overloaded."""
        # Where nothing else runs, nothing will be freed: to refuse for want of memory would be to refuse for good.
        if requests > self.bounds.requests or (self._trouble and (requests > 1 or self._trouble != MEMORY)):
            raise self.refusal()

    def refusal(self) -> Overloaded:
        detail = self._trouble or "too many requests or connections"
        return Overloaded(
            "The gateway has too much to do now. Try again soon.",
            retry_after_s=self._random.uniform(*RETRY_AFTER_S),
            detail=detail,
        )

    def arrived(self, client: str) -> bool:
        """Count a connection. Returns whether it may bring work."""
        self.connections += 1
        most = self.bounds.connections_per_client
        if most is not None:
            self._of_client[client] += 1
            if self._of_client[client] > most:
                return False
        return self.connections <= self.bounds.connections

    def left(self, client: str) -> None:
        self.connections -= 1
        if self.bounds.connections_per_client is not None:
            self._of_client[client] -= 1
            if not self._of_client[client]:
                del self._of_client[client]

    @property
    def full(self) -> bool:
        """No further connection is worth its descriptor."""
        return self.connections > self.bounds.connections + RESERVED_CONNECTIONS

    def watch(self) -> None:
        """Begin to look at lag and memory."""
        if self._timer is not None:
            return
        loop = asyncio.get_running_loop()
        with suppress(OSError):  # no Linux: memory is not watched
            self._statm = os.open("/proc/self/statm", os.O_RDONLY)
        self._timer = loop.call_later(TICK_S, self._look, loop, loop.time() + TICK_S)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._statm >= 0:
            os.close(self._statm)
            self._statm = -1

    def _look(self, loop: asyncio.AbstractEventLoop, due_s: float) -> None:
        now_s = loop.time()
        self._late = self._late + 1 if now_s - due_s > self.bounds.lag_s else 0
        self._ticks += 1
        if self._statm >= 0 and self.bounds.memory_bytes is not None and self._ticks % TICKS_A_LOOK_AT_MEMORY == 0:
            self._large = self._large + 1 if self._resident_bytes() > self.bounds.memory_bytes else 0
            if self._large:
                loop.run_in_executor(None, return_freed_memory)
        self._judge("lag" if self._late > 1 else MEMORY if self._large > 1 else "")
        self._timer = loop.call_later(TICK_S, self._look, loop, now_s + TICK_S)

    def _judge(self, trouble: str) -> None:
        if trouble and not self._trouble:
            log.warning("overloaded: new requests are refused", reason=trouble)
        elif self._trouble and not trouble:
            log.info("no longer overloaded")
        self._trouble = trouble

    def _resident_bytes(self) -> int:
        return int(os.pread(self._statm, 128, 0).split()[1]) * resource.getpagesize()
