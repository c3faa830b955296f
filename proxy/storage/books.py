"""The books: what is held and spent, decided in memory, written in batches.

    open ──▶ posted | void | recovered          a hold leaves "open" once; any later word about it changes nothing

A window's room is its limit + credit − posted − pending. `posted` and `pending` are a cache of holds and entries, kept in
the same transaction; limits are not stored, each reservation brings them. After a failed transaction everything in memory is
forgotten and read anew, except what holds were marked with. All of this runs in the writer's thread.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from proxy.context import Charge
from proxy.errors import BadRequest, RequestError
from proxy.storage.keys import KeyRecord
from proxy.storage.ledger import Exposure, Posting, Prospect, Subject, UsageRow, Window
from proxy.storage.marks import Marks
from proxy.storage.records import Held, Spending, bounded_count, bounded_text
from proxy.storage.refusals import refusal
from proxy.storage.sheet import Sheet
from proxy.storage.spendings import GATEWAY, Spendings, key_of
from proxy.storage.statements import Cursor, Statements
from proxy.storage.tables import MAX_BALANCE

if TYPE_CHECKING:
    from proxy.storage.operations import Operation

EPOCH_BITS = 40
"""A hold's id is its owner's epoch, then a count: unique without asking the database."""
LABELS = 6
"""Of a subject."""


class Books:
    """Everything that moves money. `apply` runs inside a transaction that its caller opened."""

    def __init__(self, cursor: Cursor, statements: Statements, epoch: int) -> None:
        self._cursor = cursor
        self._sql = statements
        self._epoch = epoch
        self._made = 0
        self._now_ns = 0
        self._careful = False
        self._open: dict[str, Held] = {}
        self._marks = Marks()
        self.forget()

    def forget(self) -> None:
        """What is in memory may not be what is stored: read it anew before the next operation. What was marked stays so."""
        self._loaded = False
        self._spendings = Spendings(self._cursor, self._sql)
        self._sheet = Sheet(self._cursor, self._sql)
        self._marks.undo()

    @property
    def unsettled(self) -> int:
        """How many holds are open."""
        return len(self._open)

    @property
    def unwritten(self) -> bool:
        """Whether some marks wait to be written."""
        return bool(self._marks)

    def apply(self, operations: Sequence[Operation], now_ns: int, *, careful: bool = False) -> list[Any]:
        """Decide the operations one after another and write what they come to. Returns an answer to each.

        careful: look into the database for holds that are over; one operation at a time.
        """
        self._marks.begin()
        if not self._loaded:
            self._load()
        self._now_ns = self._sheet.now_ns = now_ns
        self._careful = careful
        answers = [operation.apply(self) for operation in operations]
        if not operations:
            self._cursor.execute(self._sql.seen, (now_ns, self._epoch))
        if not operations or self._marks.due(now_ns):
            self._sheet.holds.update(self._marks.take())
        self._sheet.write()
        return answers

    def reserve(
        self,
        request_id: str,
        amount: int,
        windows: Sequence[Window],
        floor: int | None,
        subject: Subject,
        record: KeyRecord | None = None,
    ) -> int | RequestError:
        """Hold the amount, or the most that fits, in all windows or in none. Returns what is held, or the refusal.

        record: the store's key that asks.
        """
        if request_id in self._open:
            return self._join(self._open[request_id], amount, windows)
        if self._careful:
            over = self._cursor.execute(self._sql.hold_amount, (request_id,)).fetchone()
            if over is not None:
                return int(over[0])
        if record is not None and (ended := record.refusal(self._now_ns)):
            return ended
        spendings = [self._spending(window) for window in windows]
        granted = _fit(amount, windows, spendings, floor)
        if isinstance(granted, RequestError):
            return granted
        labels = (subject.key, subject.wallet or "", subject.model, subject.family)
        self._hold(request_id, labels, bounded_text(subject.user), granted, self._now_ns, tuple(dict.fromkeys(spendings)))
        return granted

    def foresee(self, amount: int, windows: Sequence[Window], floor: int | None) -> Prospect:
        """What `reserve` would answer to a new request. Begins no window."""
        spendings = [self._spendings.find(window, self._now_ns) or self._unbegun(window) for window in windows]
        answer = _fit(amount, windows, spendings, floor)
        granted, refused = (0, answer) if isinstance(answer, RequestError) else (answer, None)
        left = [(_left(window, spending), spending.end_s) for window, spending in zip(windows, spendings, strict=True)]
        return Prospect(granted_nanousd=granted, refusal=refused, left=tuple(left))

    def _join(self, held: Held, amount: int, windows: Sequence[Window]) -> int | RequestError:
        """A request that holds already is to hold in these windows too, and the larger of both amounts in all.

        Asking again for the same changes nothing.
        """
        whole = max(held.amount, amount)
        more: dict[Spending, int] = dict.fromkeys(held.spendings, whole - held.amount)
        for window in windows:
            spending = self._spending(window)
            needed = more.setdefault(spending, whole)
            left = _left(window, spending)
            if left < needed:
                return refusal(window, spending.end_s, window.limit_nanousd + spending.credit, left, whole)
        for spending, needed in more.items():
            spending.pending += needed
            if spending not in held.spendings:
                self._sheet.legs[held.id, spending.id] = None
        held.amount, held.spendings = whole, tuple(more)
        self._sheet.holds[held.id] = held
        self._sheet.spendings.update(more)
        return whole

    def expose(self, request_id: str, exposures: Sequence[Exposure], windows: Sequence[Window]) -> RequestError | None:
        """The request is sent once more: enter what its last attempt may be billed for, and hold as much as before beside it,
        or neither, as what is returned says.

        exposures: all of the request's, those that were entered before included. windows: which they count in.
        """
        held = self._open.get(request_id)
        if held is None or len(exposures) <= (entered := self._entered(request_id)):
            return None
        amount = sum(exposure.amount_nanousd for exposure in exposures[entered:])
        for window in windows:
            spending = self._spending(window)
            if (left := _left(window, spending)) < amount:
                return refusal(window, spending.end_s, window.limit_nanousd + spending.credit, left, amount)
        self._close(held, "void", 0, exposure=amount)
        self._sheet.expose_all(request_id, exposures, entered)
        self._hold(request_id, held.subject[:4], held.user, held.amount, held.created_ns, held.spendings)
        return None

    def mark(self, request_id: str, charge: Charge | None, route: str = "", provider: str = "") -> None:
        """The request goes to a provider or, with a charge, has come to so much."""
        held = self._open.get(request_id)
        if held is None:
            return
        held.dispatched = 1
        if provider:
            held.subject = (*held.subject[:4], route, provider)
            held.subject_id = self._sheet.subject_id(*held.subject)
        if charge is not None:
            held.checkpoint = charge.amount_nanousd
            held.checkpoint_input = bounded_count(charge.usage.input_tokens)
            held.checkpoint_output = bounded_count(charge.usage.output_tokens)
        self._marks.add(held, self._now_ns)

    def commit(self, postings: Sequence[Posting], row: UsageRow | None, exposures: Sequence[Exposure] = ()) -> None:
        """Close the holds, enter what was spent and what providers may bill beside it, log the request.

        exposures: all of the request's; those that `expose` has entered are left out.
        """
        entered = exposed = 0
        if exposures:
            request_id = postings[0].request_id if row is None else row.request_id
            entered = self._entered(request_id)
            exposed = sum(exposure.amount_nanousd for exposure in exposures[entered:])
        new = not postings
        for posting in postings:
            held = self._open.pop(posting.request_id, None)
            if held is None:
                continue
            new = True
            charge = posting.charge
            if charge is None:
                self._close(held, "void", 0, exposure=exposed)
                continue
            self._close(held, "posted", charge.amount_nanousd, family=charge.family, exposure=exposed)
            if row is None or row.request_id != posting.request_id:
                self._sheet.charge(posting.request_id, held.payer, "", charge.amount_nanousd, charge.price, charge.price_line)
        if row is not None:
            self._sheet.log(row)
        if exposures and new:
            self._sheet.expose_all(request_id, exposures, entered)

    def credit(
        self, wallet: str, window: Window, amount: int, operation_id: str, kind: str, actor: str, line: str
    ) -> int | RequestError:
        """Add to a wallet (take from it, if negative), once per operation id. Returns its balance, or the refusal."""
        spending = self._spending(window)
        accounts = ("external", f"wallet:{wallet}") if amount > 0 else (f"wallet:{wallet}", "external")
        move = (kind, *accounts, abs(amount))
        known = next((entry[1:5] for entry in self._sheet.entries if entry[0] == operation_id), None)
        known = known or self._cursor.execute(self._sql.move, (operation_id,)).fetchone()
        if known is None:
            if abs(spending.credit + amount) > MAX_BALANCE:
                return BadRequest("The wallet can't hold that much.", param="amount_usd")
            spending.credit += amount
            self._sheet.enter(operation_id, *move, None, actor, line)
            self._sheet.spendings.add(spending)
        elif known != move:
            return BadRequest(f"The operation {operation_id[:64]!r} was another one; take a new id.", param="id")
        return spending.credit - spending.posted

    def recover(self, now_ns: int, keep: Collection[str] = ()) -> int:
        """Close what a gateway that died left open, on the evidence of its last checkpoint. Returns how many.

        keep: requests that this process has taken over. What may have been spent beyond the evidence is entered as exposure:
        the operator's, and so of the gateway's budgets, never the caller's. A flag that was not yet written may have been
        lost: exposure too.
        """
        self._load()
        self._now_ns = self._sheet.now_ns = now_ns
        count = self.abandon([request_id for request_id in self._open if request_id not in keep])
        self._sheet.write()
        return count

    def abandon(self, request_ids: Collection[str]) -> int:
        """Close those of these requests that are open, as `recover` does. Returns how many."""
        abandoned = [self._open.pop(request_id) for request_id in request_ids if request_id in self._open]
        entered = [self._entered(held.request_id) for held in abandoned]
        for held, leg in zip(abandoned, entered, strict=True):
            charged = held.checkpoint if held.dispatched else 0
            exposure = max(0, held.amount - charged)
            self._close(held, "recovered", charged, exposure=exposure)
            self._sheet.recover(held, charged, exposure, leg)
        return len(abandoned)

    def _hold(
        self,
        request_id: str,
        labels: tuple[str, ...],
        user: str,
        amount: int,
        created_ns: int,
        spendings: tuple[Spending, ...],
    ) -> None:
        """A new hold. labels: (key, wallet, model, family)."""
        self._made += 1
        hold_id = self._epoch << EPOCH_BITS | self._made
        labels = (*labels, "", "")
        row = (hold_id, request_id, self._sheet.subject_id(*labels), user, amount, created_ns, "open", 0, 0, 0, 0, 0)
        held = Held(row, labels, spendings)
        self._open[request_id] = self._sheet.holds[hold_id] = held
        for spending in spendings:
            spending.pending += amount
            self._sheet.legs[hold_id, spending.id] = None
        self._sheet.spendings.update(spendings)

    def _close(self, held: Held, state: str, posted: int, *, family: str = "", exposure: int = 0) -> None:
        held.state, held.posted = state, posted
        self._marks.drop(held)
        self._sheet.holds[held.id] = held
        for spending in held.spendings:
            spending.pending -= held.amount
            part = posted
            if family and spending.family and spending.family != family:
                part = 0
            elif exposure and spending.scope == GATEWAY:
                part = posted + exposure
            spending.posted += part
            spending.overrun += max(0, part - held.amount)
            if part != posted:
                self._sheet.legs[held.id, spending.id] = part
        self._sheet.spendings.update(held.spendings)

    def _entered(self, request_id: str) -> int:
        """How many exposures of a request are in the ledger, whatever has become of the hold that they were entered with."""
        self._sheet.write()
        return int(self._cursor.execute(self._sql.exposures_of, (request_id,)).fetchone()[0])

    def _spending(self, window: Window) -> Spending:
        return self._spendings.find(window, self._now_ns) or self._begin_spending(window)

    def _begin_spending(self, window: Window) -> Spending:
        """A new window, which counts what was spent in it before and holds for what runs: a limit may come in its middle."""
        self._sheet.write()
        found = self._spendings.begin(window)
        for held in self._running_in(window):
            held.spendings = (*held.spendings, found)
            found.pending += held.amount
            self._sheet.legs[held.id, found.id] = None
            self._sheet.spendings.add(found)
        return found

    def _unbegun(self, window: Window) -> Spending:
        """What a new window would begin with."""
        self._sheet.write()
        carried, pending = self._spendings.spent_before(window), sum(held.amount for held in self._running_in(window))
        return Spending((0, window.scope, window.period, window.start_s, window.end_s, 0, carried, pending, 0, carried))

    def _running_in(self, window: Window) -> Iterator[Held]:
        """The holds that a new window counts."""
        key = key_of(window.scope)
        for held in self._open.values():
            if held.created_ns >= window.start_s * 10**9 and (window.scope == GATEWAY or (key and held.subject[0] == key)):
                yield held

    def _load(self) -> None:
        """Every open hold, with its windows and what was marked."""
        self._open = {}
        legs: dict[int, list[Spending]] = {}
        for hold_id, *row in self._cursor.execute(self._sql.open_legs).fetchall():
            legs.setdefault(hold_id, []).append(self._spendings.of_row(row))
        for row in self._cursor.execute(self._sql.open_holds).fetchall():
            held = Held(row[:-LABELS], row[-LABELS:], tuple(legs.get(row[0], ())))
            self._open[held.request_id] = held
        for held, told in self._marks.again(self._open):
            held.take(told)
            held.subject_id = self._sheet.subject_id(*held.subject)
        self._loaded = True

def _fit(amount: int, windows: Sequence[Window], spendings: Sequence[Spending], floor: int | None) -> int | RequestError:
    """What can be held in all the windows: the amount or, with a floor, the most that fits. Else the refusal."""
    granted, short = amount, None
    for window, spending in zip(windows, spendings, strict=True):
        left = _left(window, spending)
        if left < granted:
            granted, short = left, (window, spending)
    if short is not None and (floor is None or granted < floor):
        window, spending = short
        return refusal(window, spending.end_s, window.limit_nanousd + spending.credit, granted, amount)
    return granted


def _left(window: Window, spending: Spending) -> int:
    return window.limit_nanousd + spending.credit - spending.posted - spending.pending
