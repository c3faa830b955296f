"""The guard in conftest.py: a blocking call under our own code fails an asyncio test."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from blockbuster import BlockingError

import proxy

IN_PROXY = str(Path(proxy.__file__).parent / "sleeper.py")


def sleeper(filename: str) -> Any:
    """A function that blocks, as if it stood in that file."""
    names: dict[str, Any] = {"time": time}
    exec(compile("def sleep(): time.sleep(0)", filename, "exec"), names)
    return names["sleep"]


async def test_a_blocking_call_in_our_code_is_an_error() -> None:
    with pytest.raises(BlockingError):
        sleeper(IN_PROXY)()


async def test_a_blocking_call_elsewhere_is_not() -> None:
    sleeper(__file__)()


def test_nor_is_one_outside_an_event_loop() -> None:
    sleeper(IN_PROXY)()
