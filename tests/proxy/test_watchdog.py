"""The watchdog: who holds up the event loop, told while it does."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from proxy import hookimpl
from proxy.faults import Faults
from proxy.watchdog import Watchdog
from tests.plugins.targets import context
from tests.proxy.test_chain import chain

LIMIT_S = 0.1


@contextmanager
def watched() -> Iterator[Faults]:
    faults = Faults()
    watchdog = Watchdog(LIMIT_S, faults)
    watchdog.start()
    try:
        yield faults
    finally:
        watchdog.stop()


def compute_for(seconds: float) -> None:
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        pass


class Blocks:
    @hookimpl
    def authorize(self, ctx: Any) -> None:
        compute_for(4 * LIMIT_S)


class BlocksOnceItHasWaited:
    @hookimpl
    async def authorize(self, ctx: Any) -> None:
        await asyncio.sleep(0.01)
        compute_for(4 * LIMIT_S)


class MatchesForever:
    @hookimpl
    def authorize(self, ctx: Any) -> None:
        re.match(r"(a+)+$", "a" * 24 + "!")
        compute_for(2 * LIMIT_S)


@pytest.mark.parametrize("plugin", [Blocks(), BlocksOnceItHasWaited(), MatchesForever()], ids=lambda p: type(p).__name__)
async def test_the_plugin_and_the_hook_are_named_with_the_stack_and_counted_once(plugin: Any) -> None:
    calls, _ = chain(plugin)
    with capture_logs() as lines, watched() as faults:
        await calls.every("authorize", context())
        await asyncio.sleep(LIMIT_S)
    assert faults.stalls == {("p0", "authorize"): 1}
    held_up, goes_on = lines
    assert (held_up["plugin"], held_up["hook"], held_up["log_level"]) == ("p0", "authorize", "error")
    assert held_up["for_s"] >= LIMIT_S
    assert "in authorize" in held_up["stack"]
    assert goes_on["event"] == "the event loop goes on" and goes_on["stood_still_s"] >= 2 * LIMIT_S


async def test_what_is_no_hook_is_told_by_its_stack() -> None:
    with capture_logs() as lines, watched() as faults:
        compute_for(4 * LIMIT_S)
        await asyncio.sleep(LIMIT_S)
    assert faults.stalls == {("", ""): 1}
    assert lines[0]["plugin"] is None and "in compute_for" in lines[0]["stack"]


async def test_a_loop_that_only_waits_is_not_held_up() -> None:
    with capture_logs() as lines, watched() as faults:
        await asyncio.sleep(4 * LIMIT_S)
    assert (faults.stalls, lines) == ({}, [])
