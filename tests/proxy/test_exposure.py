"""What a provider may bill that nobody answered for, by how far the attempt had come."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proxy import exposure
from proxy.chat import Usage
from proxy.errors import BadRequest, GatewayError, Progress, UpstreamFailed, UpstreamTimeout, UpstreamUnreachable
from proxy.storage.ledger import Exposure
from tests.proxy.stories import MILLI_USD, opened, story

MOST = 6 * MILLI_USD
SENT = {"works": True}


def unreachable(progress: Progress) -> UpstreamUnreachable:
    error = UpstreamUnreachable("lost")
    error.progress = progress
    return error


def told_no() -> UpstreamFailed:
    error = UpstreamFailed("oops")
    error.progress, error.upstream = Progress.HEADERS_ONLY, {"code": "oops"}
    return error


@pytest.mark.parametrize(
    ("attempt", "error", "owed"),
    [
        ({}, UpstreamTimeout("late"), 0),
        (SENT, UpstreamTimeout("late"), MOST),
        (SENT, unreachable(Progress.NEVER_SENT), 0),
        (SENT, unreachable(Progress.AMBIGUOUS), MOST),
        (SENT, UpstreamFailed("oops"), 0),
        (SENT | {"upstream_status": 200}, told_no(), 0),
        (SENT | {"upstream_status": 200}, UpstreamTimeout("late"), MOST),
        (SENT | {"upstream_status": 500}, UpstreamTimeout("late"), 0),
        (SENT, None, MOST),
        (SENT | {"upstream_status": 302}, None, 0),
        (SENT, BadRequest("no"), MOST),
        ({"works": False, "taken": True}, UpstreamFailed("oops"), MOST),
        (SENT | {"taken": True}, unreachable(Progress.NEVER_SENT), MOST),
    ],
)
async def test_an_attempt_without_an_answer(
    tmp_path: Path, attempt: dict[str, Any], error: GatewayError | None, owed: int
) -> None:
    async with opened(tmp_path) as gateway:
        told = story(gateway, **attempt)
        for _ in range(2):  # as a hang-up in between would have it
            exposure.expose_unanswered(told, error)
        assert sum(entry.amount_nanousd for entry in told.exposures) == owed
        assert len(told.exposures) == (1 if owed else 0)


async def test_the_most_that_the_route_may_cost(tmp_path: Path) -> None:
    async with opened(tmp_path) as gateway:
        told = story(gateway, works=True)
        exposure.expose_unanswered(told, None)
        line = "relay: no answer was seen: client_gone; the most it may cost"
        assert told.exposures == [Exposure(provider="relay", amount_nanousd=MOST, line=line)]


async def test_a_route_that_failed_after_it_had_worked_is_owed_what_it_counted(tmp_path: Path) -> None:
    async with opened(tmp_path) as gateway:
        told = story(gateway, works=True, usage=Usage(input_tokens=3, output_tokens=2))
        exposure.expose_failed(told, UpstreamFailed("oops"))
        line = "relay: it failed after it had worked: upstream_error; 3 × $0.00/M + 2 × $1000.00/M"
        counted = Exposure(provider="relay", amount_nanousd=2 * MILLI_USD, line=line, cost_nanousd=MILLI_USD)
        assert told.exposures == [counted]


async def test_an_estimate_is_a_sign_that_it_worked_and_no_count(tmp_path: Path) -> None:
    async with opened(tmp_path) as gateway:
        told = story(gateway, works=True, usage=Usage(input_tokens=3, output_tokens=2, estimated=True))
        exposure.expose_failed(told, UpstreamFailed("oops"))
        (entry,) = told.exposures
        assert (entry.amount_nanousd, entry.cost_nanousd) == (MOST, None)


async def test_what_worked_and_could_not_be_charged(tmp_path: Path) -> None:
    async with opened(tmp_path) as gateway:
        told = story(gateway)
        exposure.expose_uncharged(told)
        assert told.exposures == []
        told.usage = Usage(input_tokens=3, output_tokens=0)
        exposure.expose_uncharged(told)
        assert told.exposures == []  # its price is nothing
        told.usage = Usage(input_tokens=3, output_tokens=2)
        exposure.expose_uncharged(told)
        assert [entry.amount_nanousd for entry in told.exposures] == [2 * MILLI_USD]
