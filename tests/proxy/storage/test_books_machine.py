"""The books under any sequence of operations, held against a model that a reader can check by eye.

After every step the whole ledger is verified, so that posted = Σ entries and pending = Σ open holds at all times.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy.engine import make_url

from proxy.context import Charge
from proxy.errors import BudgetExhausted
from proxy.storage.books import Books
from proxy.storage.ledger import Exposure, Posting, Prospect
from proxy.storage.operations import Commit, Expose, Foresee, Mark, Operation, Reserve
from proxy.storage.owner import begin_epoch
from proxy.storage.sqlite import Database
from proxy.storage.statements import Statements
from proxy.storage.verification import problems
from tests.proxy.storage.parts import START_S, SUBJECT, charge, row, window

SCOPES = ("gateway", "key:ci", "key:ci/family:doubao", "key:ci/family:kimi")
REQUESTS = st.sampled_from([f"req-{number}" for number in range(8)])
AMOUNTS = st.integers(0, 60)
EXPOSED = st.one_of(st.just([]), st.lists(st.integers(1, 80), max_size=2))


@dataclass
class Wanted:
    """A hold as it should be."""

    amount: int
    scopes: frozenset[str]
    state: str = "open"
    checkpoint: int | None = None
    exposed: tuple[int, ...] = ()
    """What was entered for it before its end, whatever hold it had by then."""


class BooksMachine(RuleBasedStateMachine):
    """Reserve, mark, settle, void, repeat and crash, in any order."""

    books_type: ClassVar[type[Books]] = Books

    @initialize()
    def start(self) -> None:
        self.database = Database(make_url("sqlite://"), "process")
        self.statements = Statements(self.database.engine.dialect)
        self.holds: dict[str, Wanted] = {}
        self.posted = dict.fromkeys(SCOPES, 0)
        self.now_ns = START_S * 10**9
        self.crash()
        # So that none begins in the middle of what is tried.
        self.do(Reserve(None, "first", 0, [window(0, scope) for scope in SCOPES], None, SUBJECT))
        self.do(Commit(None, [Posting(request_id="first", charge=None)], None))

    def teardown(self) -> None:
        if hasattr(self, "database"):
            self.database.close()

    def do(self, operation: Operation) -> object:
        self.database.begin()
        try:
            (answer,) = self.books.apply([operation], self.now_ns, careful=True)
        finally:
            self.database.commit()
        return answer

    def pending(self, scope: str) -> int:
        return sum(hold.amount for hold in self.holds.values() if hold.state == "open" and scope in hold.scopes)

    def room(self, scope: str, limit: int) -> int:
        return limit - self.posted[scope] - self.pending(scope)

    @rule(
        request=REQUESTS,
        amount=AMOUNTS,
        limits=st.dictionaries(st.sampled_from(SCOPES), st.integers(0, 200), min_size=1),
        floor=st.one_of(st.none(), st.integers(0, 20)),
    )
    def reserve(self, request: str, amount: int, limits: dict[str, int], floor: int | None) -> None:
        windows = [window(limit, scope) for scope, limit in limits.items()]
        rooms = [self.room(scope, limit) for scope, limit in limits.items()]
        foreseen = self.do(Foresee(None, amount, windows, floor))
        assert isinstance(foreseen, Prospect)
        assert [left for left, _ in foreseen.left] == rooms
        answer = self.do(Reserve(None, request, amount, windows, floor, SUBJECT))
        known = self.holds.get(request)
        if known is not None and known.state == "over":
            assert answer == known.amount
            return
        if known is not None and known.state == "open":
            whole = max(known.amount, amount)
            needed = {scope: whole - (known.amount if scope in known.scopes else 0) for scope in limits}
            if all(self.room(scope, limit) >= needed[scope] for scope, limit in limits.items()):
                assert answer == whole
                known.amount, known.scopes = whole, known.scopes | frozenset(limits)
            else:
                assert isinstance(answer, BudgetExhausted)
            return
        granted = min(amount, *rooms)
        if granted == amount or (floor is not None and granted >= floor):
            assert answer == foreseen.granted_nanousd == granted
            assert foreseen.refusal is None
            self.holds[request] = Wanted(granted, frozenset(limits), exposed=() if known is None else known.exposed)
        else:
            assert isinstance(answer, BudgetExhausted)
            assert str(foreseen.refusal) == str(answer)

    @rule(request=REQUESTS, amount=AMOUNTS)
    def checkpoint(self, request: str, amount: int) -> None:
        self.do(Mark(request, charge(amount)))
        if request in self.holds and self.holds[request].state == "open":
            self.holds[request].checkpoint = amount

    @rule(request=REQUESTS)
    def dispatched(self, request: str) -> None:
        self.do(Mark(request, None))
        if request in self.holds and self.holds[request].state == "open":
            self.holds[request].checkpoint = self.holds[request].checkpoint or 0

    @rule(
        request=REQUESTS,
        amount=AMOUNTS,
        family=st.sampled_from(["", "doubao", "kimi"]),
        logged=st.booleans(),
        exposed=EXPOSED,
    )
    def settle(self, request: str, amount: int, family: str, logged: bool, exposed: list[int]) -> None:
        hold = self.holds.get(request)
        if hold is None or hold.state == "void":
            return
        told = charge(amount, family=family)
        self.commit(request, told, [*hold.exposed, *exposed], logged=logged)
        if hold.state == "open":
            hold.state = "over"
            for scope in hold.scopes:
                _, _, of_family = scope.partition("/family:")
                if not family or of_family in ("", family):
                    self.posted[scope] += amount
                if scope == "gateway":
                    self.posted[scope] += sum(exposed)

    @rule(request=REQUESTS, exposed=EXPOSED)
    def void(self, request: str, exposed: list[int]) -> None:
        hold = self.holds.get(request)
        if hold is None or hold.state != "open":
            self.commit(request, None, [], logged=False)
            return
        self.commit(request, None, [*hold.exposed, *exposed], logged=False)
        hold.state, hold.exposed = "void", (*hold.exposed, *exposed)
        if "gateway" in hold.scopes:
            self.posted["gateway"] += sum(exposed)

    def commit(self, request: str, told: Charge | None, exposed: list[int], *, logged: bool) -> None:
        posting = Posting(request_id=request, charge=told)
        first = self.holds.get(request) is not None and self.holds[request].state == "open"
        line = row(request, told.amount_nanousd) if logged and told is not None and first else None
        self.do(Commit(None, [posting], line, _exposures(exposed)))

    @rule(request=REQUESTS, more=st.lists(st.integers(1, 80), max_size=2), limit=st.integers(0, 300))
    def expose(self, request: str, more: list[int], limit: int) -> None:
        hold = self.holds.get(request)
        if hold is None or hold.state != "open":
            assert self.do(Expose(None, request, _exposures(more), [])) is None
            return
        windows = [window(limit, "gateway")] if "gateway" in hold.scopes else []
        room = self.room("gateway", limit)
        answer = self.do(Expose(None, request, _exposures([*hold.exposed, *more]), windows))
        if more and windows and room < sum(more):
            assert isinstance(answer, BudgetExhausted)
            return
        assert answer is None
        if more:
            hold.exposed, hold.checkpoint = (*hold.exposed, *more), None
            self.posted["gateway"] += sum(more) if windows else 0

    @rule(request=REQUESTS, told=st.booleans())
    def fail(self, request: str, told: bool) -> None:
        """A transaction comes to nothing; but a mark is known from then on."""
        self.database.begin()
        charged = charge(7)
        failing = Mark(request, charged) if told else Commit(None, [Posting(request_id=request, charge=charged)], None)
        self.books.apply([failing], self.now_ns, careful=True)
        self.books.forget()
        self.database.rollback()
        if told and request in self.holds and self.holds[request].state == "open":
            self.holds[request].checkpoint = 7

    @precondition(lambda self: any(hold.state == "open" for hold in self.holds.values()))
    @rule()
    def crash(self) -> None:
        if hasattr(self, "books"):
            self.database.begin()
            self.books.apply([], self.now_ns)  # a moment later
            self.database.commit()
        epoch = begin_epoch(self.database, self.now_ns)
        self.books = self.books_type(self.database.cursor, self.statements, epoch)
        self.database.begin()
        self.books.recover(self.now_ns)
        self.database.commit()
        for hold in self.holds.values():
            if hold.state == "open":
                charged = hold.checkpoint or 0
                hold.state = "over"
                for scope in hold.scopes:
                    self.posted[scope] += max(charged, hold.amount) if scope == "gateway" else charged

    @invariant()
    def the_ledger_agrees_with_itself_and_with_the_model(self) -> None:
        if not hasattr(self, "books"):
            return
        with self.database.connection.begin():
            assert list(problems(self.database.connection)) == []
            stored = {
                scope: (posted, pending)
                for scope, posted, pending in self.database.connection.exec_driver_sql(
                    "SELECT scope, posted, pending FROM spending"
                )
            }
        for scope, sums in stored.items():
            assert sums == (self.posted[scope], self.pending(scope))


def _exposures(amounts: Iterable[int]) -> list[Exposure]:
    return [Exposure(provider="ark", amount_nanousd=amount, line="") for amount in amounts]


TestBooks = BooksMachine.TestCase
TestBooks.settings = settings(max_examples=8, stateful_step_count=25, deadline=None)


@pytest.mark.long
@pytest.mark.timeout(900)
class TestBooksLong(BooksMachine.TestCase):
    settings = settings(max_examples=500, stateful_step_count=40, deadline=None)
