"""A link: questions both ways, answers in any order, and an end that everybody hears of."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from proxy.errors import BudgetExhausted, GatewayFault
from proxy.link import Answer, Link, LinkLost


class Ends:
    def __init__(self) -> None:
        self.lost: list[str] = []
        self._links: list[Link] = []

    async def open(self, ours: Mapping[str, Answer], theirs: Mapping[str, Answer]) -> tuple[Link, Link]:
        one, other = socket.socketpair()
        self._links.append(await Link.over(one, ours, lambda: self.lost.append("ours")))
        self._links.append(await Link.over(other, theirs, lambda: self.lost.append("theirs")))
        return self._links[0], self._links[1]

    async def close(self) -> None:
        for link in self._links:
            link.close()
            await link.closed


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    made = Ends()
    yield made
    await made.close()


def refuse() -> None:
    raise BudgetExhausted("Too much.", param="key.daily", retry_after_s=2, detail="for the log")


async def test_either_asks_and_either_answers(ends: Ends) -> None:
    told: list[Any] = []
    ours, theirs = await ends.open({"twice": lambda number: 2 * number}, {"note": told.append, "list": lambda: [1, None, "ü"]})
    ours.tell("note", {"a": 1})
    assert await ours.call("list") == [1, None, "ü"]
    assert told == [{"a": 1}]
    assert await theirs.call("twice", 21) == 42
    assert await asyncio.gather(*(theirs.call("twice", number) for number in range(1000))) == [2 * n for n in range(1000)]


async def test_a_slow_answer_holds_up_no_other(ends: Ends) -> None:
    opened = asyncio.Event()
    ours, _ = await ends.open({}, {"slow": opened.wait, "quick": lambda: "now"})
    slow = asyncio.create_task(ours.call("slow"))
    assert await ours.call("quick") == "now"
    assert not slow.done()
    opened.set()
    assert await slow is True


async def test_a_refusal_comes_as_it_was_and_a_fault_without_its_inside(ends: Ends) -> None:
    ours, _ = await ends.open({}, {"refuse": refuse, "fail": lambda: 1 / 0, "odd": lambda: object(), "fine": lambda: 1})
    with pytest.raises(BudgetExhausted) as refused:
        await ours.call("refuse")
    error = refused.value
    assert (error.message, error.param, error.retry_after_s, error.detail) == ("Too much.", "key.daily", 2, "for the log")
    with capture_logs() as logged:
        for question in ("fail", "odd", "unknown"):
            with pytest.raises(GatewayFault, match="its log says more"):
                await ours.call(question)
    assert [line["question"] for line in logged] == ["fail", "odd", "unknown"]
    assert await ours.call("fine") == 1


async def test_who_waits_for_an_answer_hears_of_the_end(ends: Ends) -> None:
    ours, theirs = await ends.open({}, {"never": asyncio.Event().wait})
    waiting = asyncio.create_task(ours.call("never"))
    await asyncio.sleep(0.01)
    theirs.close()
    for call in (waiting, ours.call("never")):
        with pytest.raises(LinkLost):
            await call
    await asyncio.sleep(0.01)
    assert sorted(ends.lost) == ["ours", "theirs"]


async def test_what_was_said_before_the_end_arrives(ends: Ends) -> None:
    told: list[int] = []
    ours, theirs = await ends.open({}, {"note": told.append})
    for number in range(100):
        ours.tell("note", number)
    ours.close()
    await theirs.closed
    assert told == list(range(100))
