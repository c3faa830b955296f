"""What plugins did that they may not: told to the log, and counted for the metrics."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import structlog

from proxy.fleet import Fleet

log = structlog.get_logger("paifang")


class Faults:
    """Counts of one process. Labels are names of gateway.yaml, never anything that a client sends."""

    def __init__(self) -> None:
        self.failures: Counter[tuple[str, str]] = Counter()
        """{(plugin, hook): how often it raised, waited too long or answered junk}."""
        self.stalls: Counter[tuple[str, str]] = Counter()
        """{(plugin, hook): how often it held up the event loop}; ("", "") where no hook ran."""

    def state(self) -> dict[str, Any]:
        """All of it, as `absorb` takes it."""
        return {"failures": list(self.failures.items()), "stalls": list(self.stalls.items())}

    def absorb(self, state: dict[str, Any]) -> None:
        """Add what another process has counted."""
        for counts, its_counts in ((self.failures, state["failures"]), (self.stalls, state["stalls"])):
            for (plugin, hook), count in its_counts:
                counts[plugin, hook] += count

    def report(self, plugin: str, hook: str, error: BaseException, request_id: str = "") -> None:
        """A hook has failed, in a request where there is an id."""
        self.failures[plugin, hook] += 1
        log_fault(plugin, hook, error, request_id)


async def switched_off(fleet: Fleet) -> dict[str, list[str]]:
    """{plugin: its hooks that some process calls no more, as they took too long too often}."""
    found: dict[str, set[str]] = {}
    for off in await fleet.gather("off"):
        for plugin, hook in off:
            found.setdefault(plugin, set()).add(hook)
    return {plugin: sorted(hooks) for plugin, hooks in found.items()}


def is_own_cancellation(error: BaseException) -> bool:
    """Whether somebody cancels the task that runs. Else it is a fault like any other: what was awaited had been cancelled."""
    if not isinstance(error, asyncio.CancelledError):
        return False
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def described(error: BaseException) -> str:
    """On one line, for who runs the gateway: "OSError: no such thing"."""
    return " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")


def place_of(error: BaseException) -> str:
    """Where it was raised: "mine.py:6"."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"


def line_in(error: BaseException, file: str) -> int | None:
    """The line of this file that led to it; None: none did."""
    trace, line = error.__traceback__, None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def log_fault(plugin: str, hook: str, error: BaseException, request_id: str = "") -> None:
    of_request = {"request_id": request_id} if request_id else {}
    log.error("plugin failed", plugin=plugin, hook=hook, **of_request, exc_info=error)
