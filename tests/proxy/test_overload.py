"""When new work is refused, and when it is again taken."""

from __future__ import annotations

import asyncio
import resource
import time
from pathlib import Path
from random import Random

import pytest

from proxy import overload
from proxy.configsections import ServerConfig
from proxy.errors import Overloaded
from proxy.overload import Bounds, Load, bounds_of
from tests.fakes import eventually


def load(**bounds: object) -> Load:
    most = {"requests": 2, "connections": 2, "connections_per_client": None, "lag_s": 1.0, "memory_bytes": None}
    return Load(Bounds(**{**most, **bounds}), Random(7))  # type: ignore[arg-type]


def refused(of: Load, requests: int = 1) -> str:
    try:
        of.admit(requests)
    except Overloaded as error:
        assert error.status == 503 and error.code == "overloaded"
        return error.detail
    return ""


def test_requests_are_bounded() -> None:
    assert [bool(refused(load(), requests)) for requests in (1, 2, 3)] == [False, False, True]


def test_those_who_are_refused_together_do_not_come_back_together() -> None:
    full = load()
    waits = {full.refusal().headers()["retry-after"] for _ in range(50)}
    assert waits == {"2", "3", "4", "5"}


def test_connections_are_bounded_and_some_are_kept_for_questions() -> None:
    full = load(connections=2)
    assert [full.arrived("a") for _ in range(3)] == [True, True, False]
    assert not full.full
    for _ in range(overload.RESERVED_CONNECTIONS):
        full.arrived("a")
    assert full.full
    for _ in range(full.connections):
        full.left("a")
    assert (full.connections, full.full) == (0, False)


def test_connections_of_one_client_are_bounded_where_asked_for() -> None:
    some = load(connections=10, connections_per_client=1)
    assert [some.arrived("a"), some.arrived("b"), some.arrived("a")] == [True, True, False]
    some.left("a")
    some.left("a")
    assert some.arrived("a")


async def test_a_loop_that_lags_again_and_again() -> None:
    lagging = load(lag_s=0.05)
    lagging.watch()
    try:
        await asyncio.sleep(0.3)
        time.sleep(0.4)
        await asyncio.sleep(0.05)
        assert refused(lagging) == ""
        for _ in range(4):
            time.sleep(0.4)
            await asyncio.sleep(0)
        assert refused(lagging) == "lag"
        await eventually(lambda: refused(lagging) == "")
    finally:
        lagging.close()


async def test_memory_that_is_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overload, "TICK_S", 0.01)
    for memory_bytes, trouble in ((1, "memory"), (2**50, "")):
        heavy = load(memory_bytes=memory_bytes, lag_s=10.0)
        heavy.watch()
        await asyncio.sleep(0.3)
        assert refused(heavy, 2) == trouble
        assert refused(heavy, 1) == "", "nothing else runs that could free any"
        heavy.close()


def test_what_the_system_grants() -> None:
    bounds = bounds_of(ServerConfig.model_validate({"limits": {"connections": 10**9}, "workers": 4}))
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert bounds.connections == (min(files, overload.MOST_FILES) - overload.RESERVED_FILES) // 2
    assert bounds.memory_bytes is not None and 0 < bounds.memory_bytes * 4 < (overload.memory_of_machine() or 0)
    assert bounds_of(ServerConfig.model_validate({"limits": {"memory_mb": 3}})).memory_bytes == 3 * 2**20


def test_the_limit_of_a_container(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("1048576\n")
    (tmp_path / "none").write_text("max\n")
    monkeypatch.setattr(overload, "_CGROUP_LIMITS", (tmp_path / "none", tmp_path / "missing"))
    machine = overload.memory_of_machine()
    monkeypatch.setattr(overload, "_CGROUP_LIMITS", (tmp_path / "none", tmp_path / "memory.max"))
    assert overload.memory_of_machine() == 2**20 != machine
    assert bounds_of(ServerConfig()).memory_bytes == overload.LEAST_MEMORY_BYTES
