"""Books with a bug in them: the state machine must find each, or it proves nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from proxy.storage.books import Books
from proxy.storage.ledger import Exposure, Posting, UsageRow
from proxy.storage.records import Held
from tests.proxy.storage.test_books_machine import BooksMachine


class IgnoresWhatIsHeld(Books):
    def reserve(self, request_id: str, amount: int, windows: Any, *more: Any) -> Any:
        spendings = {self._spending(window) for window in windows}
        held = {spending: spending.pending for spending in spendings}
        for spending in spendings:
            spending.pending = 0
        answer = super().reserve(request_id, amount, windows, *more)
        for spending in spendings:
            spending.pending += held[spending]
        return answer


class ChecksTheFirstWindowOnly(Books):
    def reserve(self, request_id: str, amount: int, windows: Any, *more: Any) -> Any:
        return super().reserve(request_id, amount, windows[:1], *more)


class SettlesTwice(Books):
    def commit(self, postings: Sequence[Posting], row: UsageRow | None, exposures: Sequence[Exposure] = ()) -> None:
        before = dict(self._open)
        super().commit(postings, row, exposures)
        self._open.update(before)


class NeverGivesBack(Books):
    def _close(self, held: Held, state: str, posted: int, **how: Any) -> None:
        super()._close(held, state, posted, **how)
        if state == "void":
            for spending in held.spendings:
                spending.pending += held.amount


class RefusesOneTooEarly(Books):
    def reserve(self, request_id: str, amount: int, windows: Any, *more: Any) -> Any:
        for window in windows:
            self._spending(window).credit -= 1
        answer = super().reserve(request_id, amount, windows, *more)
        for window in windows:
            self._spending(window).credit += 1
        return answer


class ForgetsTheOverrun(Books):
    def _close(self, held: Held, state: str, posted: int, **how: Any) -> None:
        super()._close(held, state, min(posted, held.amount), **how)


class ExposesToTheKey(Books):
    def _close(self, held: Held, state: str, posted: int, **how: Any) -> None:
        super()._close(held, state, posted + how.pop("exposure", 0), **how)


class CountsExposuresOfAnEarlierHold(Books):
    def _entered(self, request_id: str) -> int:
        return 0


@pytest.mark.long
@pytest.mark.parametrize(
    "bug",
    [
        IgnoresWhatIsHeld,
        ChecksTheFirstWindowOnly,
        SettlesTwice,
        NeverGivesBack,
        RefusesOneTooEarly,
        ForgetsTheOverrun,
        ExposesToTheKey,
        CountsExposuresOfAnEarlierHold,
    ],
)
def test_the_state_machine_finds_it(bug: type[Books]) -> None:
    class Machine(BooksMachine):
        books_type = bug

    found = settings(
        max_examples=300,
        stateful_step_count=30,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    with pytest.raises((AssertionError, RuntimeError, sqlite3.IntegrityError)):
        run_state_machine_as_test(Machine, settings=found)
