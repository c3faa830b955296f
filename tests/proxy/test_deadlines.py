"""One timer for all deadlines."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from proxy.deadlines import NEVER, Deadlines, Overdue


class Broken:
    """A deadline that can't be told of."""

    when_s = 0.0

    def expire(self) -> None:
        raise ZeroDivisionError


async def test_a_body_that_waits_too_long_is_overdue_and_another_is_not() -> None:
    deadlines, loop = Deadlines(), asyncio.get_running_loop()
    with deadlines.until(NEVER), pytest.raises(Overdue), deadlines.until(loop.time()):
        await asyncio.sleep(5)
    with deadlines.until(loop.time() + 5):
        await asyncio.sleep(0)


async def test_one_that_raises_leaves_the_others_watched() -> None:
    deadlines, loop = Deadlines(), asyncio.get_running_loop()
    told: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: told.append(context))
    deadlines.add(Broken())
    with pytest.raises(Overdue), deadlines.until(loop.time()):
        await asyncio.sleep(5)
    with pytest.raises(Overdue), deadlines.until(loop.time()):
        await asyncio.sleep(5)
    assert [type(context["exception"]) for context in told] == [ZeroDivisionError]
