"""Running a process that serves, whatever a task in it raises."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

T = TypeVar("T")

log = structlog.get_logger("paifang")


def run(main: Coroutine[Any, Any, T]) -> T:
    """As asyncio.run, but SystemExit or KeyboardInterrupt in some other task, or in a callback, ends that alone.

    Out of any task they stop asyncio's loop and all that runs on it, and plugins may have tasks of their own. Whoever awaits
    such a task gets the error all the same. Ctrl+C is for signal handlers, which `main` adds.
    """
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        task = loop.create_task(main)
        while True:
            try:
                return loop.run_until_complete(task)
            except (SystemExit, KeyboardInterrupt) as error:
                if task.done():
                    raise
                log.error("a task raised what would end the process, and was ended alone", exc_info=error)
