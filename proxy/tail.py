"""Tasks that must outlive their request: settling, draining. Kept until done, waited for at shutdown."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Tail:
    """The only place that makes tasks, so that none is lost to the garbage collector or forgotten at shutdown."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run `work` beside its caller."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def drain(self, timeout_s: float) -> bool:
        """Wait for every task. Returns False if some are left after `timeout_s` seconds."""
        if not self._tasks:
            return True
        _, pending = await asyncio.wait(tuple(self._tasks), timeout=timeout_s)
        return not pending

    async def cancel(self) -> None:
        """Break every task off."""
        await asyncio.sleep(0)  # one that has not begun could not clean up
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
