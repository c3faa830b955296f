"""A process that serves goes on whatever a task in it raises, and ends as its main coroutine does."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from proxy.eventloop import run


async def leave(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_a_task_ends_alone_and_who_awaits_it_gets_its_error(error: BaseException) -> None:
    ran: list[str] = []

    async def main() -> str:
        leaving = asyncio.ensure_future(leave(error))
        asyncio.get_running_loop().call_soon(ran.append, "what came after it in the same turn")
        with pytest.raises(type(error)):
            await leaving
        return "done"

    with capture_logs() as lines:
        assert run(main()) == "done"
    assert ran == ["what came after it in the same turn"]
    assert [line["exc_info"] for line in lines] == [error]


@pytest.mark.parametrize("error", [SystemExit(3), ValueError("no")])
def test_what_main_raises_ends_it(error: BaseException) -> None:
    with capture_logs() as lines, pytest.raises(type(error)):
        run(leave(error))
    assert lines == []
