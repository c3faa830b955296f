"""The writer: one thread that owns the connection and commits everything that is waiting at once.

Under little load a commit holds one operation and takes one fsync; under much it holds many and still takes one. Admissions
fail while the store can't write. What has happened already (settlements, flags) is kept and written as soon as it can be, and
settlements are durable in the emergency journal until then, so that running answers end. If
the thread itself fails, it writes no more but that journal and says so: nothing is spent unrecorded.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from proxy.clock import Clock
from proxy.errors import LedgerUnavailable
from proxy.storage.books import Books
from proxy.storage.emergency import Emergency
from proxy.storage.marks import LINGER_NS
from proxy.storage.operations import Call, Commit, Operation, Stop
from proxy.storage.owner import begin_epoch, end_epoch
from proxy.storage.sqlite import Database, StoreError, cannot_write
from proxy.storage.statements import Statements

T = TypeVar("T")
BATCH = 512
QUEUE_LIMIT = 10_000
LINGER_S = LINGER_NS / 1e9
"""How often what nobody waits for is looked after, while requests run."""
RETRY_S = 1.0
QUIET_TURNS = 2
"""So often the event loop turns without anything new before what has arrived is committed: whatever it has at hand shares the
commit, which has a price of its own, and nobody waits for what may not come."""
ENOUGH = 64
"""More in one commit would save nothing worth waiting for."""
GATHER_S = 0.02
"""How long more may go on arriving."""

log = logging.getLogger("paifang.ledger")


class Writer:
    """Takes operations from an event loop, writes them in its own thread, answers on the loop."""

    def __init__(self, url: URL, durability: str, clock: Clock) -> None:
        self._url = url
        self._durability = durability
        self._clock = clock
        self._arrived: list[Operation] = []
        """Not yet in the queue."""
        self._queue: SimpleQueue[Operation] = SimpleQueue()
        self._notes: deque[Operation] = deque()
        self._batch: list[Operation] = []
        self._kept: list[Operation] = []
        self._problem: str | None = None
        self._over = ""
        self._closed = False
        self.dead = False
        """Its thread has failed: nothing is written any more until another process opens the store."""
        self._books: Books | None = None
        self._emergency: Emergency | None = None
        self._taken_over: Collection[str] = ()
        """Requests whose holds this process goes on with; others that are open when it starts were left by a crash."""

    @property
    def problem(self) -> str | None:
        """What keeps the store from writing, None if nothing does."""
        return self._over or self._problem

    @property
    def unsettled(self) -> int:
        """How many holds are open."""
        return self._books.unsettled if self._books is not None else 0

    @property
    def overloaded(self) -> bool:
        """Whether so much is waiting that nothing new should be begun."""
        return self._queue.qsize() > QUEUE_LIMIT

    def start(self, first: Callable[[Connection], T]) -> T:
        """Open the store and settle what a crash left. Returns what `first` finds in it; waits for it.

        Raises: StoreError.
        """
        opened: Future[T] = Future()
        threading.Thread(target=self._work, args=(opened, first), name="ledger", daemon=True).start()
        return opened.result()

    def put(self, operation: Operation) -> None:
        """Queue an operation; its future gets the answer."""
        self._arrived.append(operation)
        if len(self._arrived) == 1:
            loop = asyncio.get_running_loop()
            loop.call_soon(self._hand_over, loop, 1, QUIET_TURNS, loop.time() + GATHER_S)

    def note(self, operation: Operation) -> None:
        """Leave an operation to be taken along with the next batch, or in a moment: nobody waits for it."""
        self._notes.append(operation)

    async def ask(self, make: Callable[[asyncio.Future[Any]], Operation]) -> Any:
        """Queue the operation that `make` makes of a future, and wait for its answer.

        Raises: LedgerUnavailable: it can't be written now.
        """
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.put(make(future))
        return await future

    async def run(self, function: Callable[[Connection], T], committed: Callable[[T], None] | None = None) -> T:
        """Call a function with the connection, in the thread and in a transaction of its own; keep it short.

        committed: called in the thread with the answer once it is durable, before anything else is written.
        """
        answer: T = await self.ask(lambda future: Call(future, function, committed))
        return answer

    async def close(self) -> None:
        """Write what is queued and close the store."""
        if not self._closed:
            await self.ask(Stop)

    def _hand_over(self, loop: asyncio.AbstractEventLoop, known: int, turns: int, latest_s: float) -> None:
        """Give the thread what has arrived, once the loop has turned so often without more."""
        arrived = len(self._arrived)
        turns = turns - 1 if arrived == known else QUIET_TURNS
        if turns and arrived < ENOUGH and loop.time() < latest_s:
            loop.call_soon(self._hand_over, loop, arrived, turns, latest_s)
            return
        for operation in self._arrived:
            self._queue.put(operation)
        self._arrived.clear()
        if self._closed:
            self._refuse_queued()

    def _work(self, opened: Future[T], first: Callable[[Connection], T]) -> None:
        try:
            database = Database(self._url, self._durability)
        except BaseException as error:
            self._end("the store could not be opened")
            opened.set_exception(error)
            return
        try:
            epoch = begin_epoch(database, self._clock.now_ns())
            books = Books(database.cursor, Statements(database.engine.dialect), epoch)
            emergency = self._emergency = _emergency(database)
            database.begin()
            if emergency is not None:
                books.apply(emergency.read(), self._clock.now_ns(), careful=True)
            recovered = books.recover(self._clock.now_ns(), self._taken_over)
            database.commit()
            if emergency is not None:
                emergency.clear()
            if recovered:
                log.warning("%d requests that a crash had cut off were settled on their last checkpoint", recovered)
            with database.connection.begin():
                found = first(database.connection)
        except BaseException as error:
            self._end("the store could not be opened")
            database.close()
            opened.set_exception(error)
            return
        self._books = books
        opened.set_result(found)
        stop: Stop | None = None
        try:
            while stop is None:
                stop = self._turn(database, books)
            end_epoch(database, epoch, self._clock.now_ns())
        except BaseException as error:
            self._over, self.dead = f"the ledger's writer failed: {error!r}", True
            log.critical("%s", self._over, exc_info=error)
            stop = stop or self._write_no_more()
        database.close()
        self._end(self._over or "the store is closed")
        _answer([(stop, None)])

    def _write_no_more(self) -> Stop:
        """After a fault of its own: keep what is settled in the emergency journal for the next start, until told to stop."""
        batch = self._batch
        while True:
            stop = next((operation for operation in batch if isinstance(operation, Stop)), None)
            durable = self._keep(batch)
            _answer(
                (operation, None if operation in durable else unavailable(self._over))
                for operation in batch
                if operation is not stop
            )
            if stop is not None:
                return stop
            batch = [self._queue.get()]

    def _keep(self, batch: list[Operation]) -> list[Commit]:
        """Make the settlements that somebody waits for durable in the emergency journal. Returns them, none if it can't be."""
        settled = [operation for operation in batch if type(operation) is Commit and operation.future is not None]
        return settled if settled and self._emergency is not None and self._emergency.keep(settled) else []

    def _end(self, why: str) -> None:
        """Take nothing any more."""
        self._over, self._closed = why, True
        if self._emergency is not None:
            self._emergency.close()
        self._refuse_queued()

    def _turn(self, database: Database, books: Books) -> Stop | None:
        """One batch. Returns the order to stop, if there was one."""
        gathered = self._batch = self._gather(books)
        calls = [operation for operation in gathered if type(operation) is Call]
        stop = next((operation for operation in gathered if type(operation) is Stop), None)
        special = (Call, Stop)
        batch = self._kept + [operation for operation in gathered if type(operation) not in special]
        if batch or self._problem or books.unwritten:
            self._write(database, books, batch)
        if stop is not None and books.unwritten:
            self._write(database, books, self._kept)
        for call in calls:
            _answer([(call, _call(database, call))])
        if stop is not None and self._kept:
            log.critical("%d operations could not be written before the store was closed", len(self._kept))
        return stop

    def _gather(self, books: Books) -> list[Operation]:
        """Everything that waits. While requests run it takes no longer than a moment, as they may have left notes."""
        queue, notes = self._queue, self._notes
        batch: list[Operation] = []
        timeout_s = LINGER_S if books.unsettled or books.unwritten else None
        if self._kept or self._problem:
            timeout_s = RETRY_S
        try:
            batch.append(queue.get(timeout=timeout_s))
            while len(batch) < BATCH:
                batch.append(queue.get_nowait())
        except Empty:
            pass
        # A note is about a hold that was answered before it was left, so it may go first.
        return [notes.popleft() for _ in range(len(notes))] + batch

    def _write(self, database: Database, books: Books, batch: list[Operation]) -> None:
        self._kept = []
        try:
            answers = _transact(database, books, batch, self._clock.now_ns())
        except Exception as error:
            _undo(database, books)
            if cannot_write(error):
                self._put_off(batch, error)
            else:
                self._write_singly(database, books, batch)
        else:
            self._recovered()
            _answer(zip(batch, answers, strict=True))

    def _write_singly(self, database: Database, books: Books, batch: list[Operation]) -> None:
        """One of them can't be written at all: the others must not fail with it.

        A hold that it was to close stays open, and counts, until the next start settles it.
        """
        for position, operation in enumerate(batch):
            try:
                answers = _transact(database, books, [operation], self._clock.now_ns(), careful=True)
            except Exception as error:
                _undo(database, books)
                if cannot_write(error):
                    self._put_off(batch[position:], error)
                    return
                log.error("the store refused an operation of the ledger: %r", error, exc_info=error)
                _answer([(operation, unavailable(repr(error)))])
            else:
                _answer([(operation, answers[0])])

    def _put_off(self, batch: list[Operation], error: Exception) -> None:
        """The store can't write now. Refuse what is new, keep what has happened."""
        if self._problem is None:
            log.error("the ledger can't write: %s", error)
        self._problem = f"the ledger can't write: {error}"
        durable = self._keep(batch)
        _answer([(operation, None if operation in durable else unavailable(str(error))) for operation in batch])
        self._kept = [operation for operation in batch if operation.lasting]
        for operation in self._kept:
            operation.future = None

    def _recovered(self) -> None:
        """Everything that was kept is written."""
        if self._problem is not None:
            log.warning("the ledger can write again")
            self._problem = None
            if self._emergency is not None:
                self._emergency.clear()

    def _refuse_queued(self) -> None:
        try:
            while True:
                _answer([(self._queue.get_nowait(), unavailable(self._over))])
        except Empty:
            pass


def unavailable(detail: str) -> LedgerUnavailable:
    """detail: for the log."""
    return LedgerUnavailable(
        "The ledger can't write now, so nothing new may be spent. Try again soon.",
        retry_after_s=RETRY_S,
        detail=detail,
    )


def _emergency(database: Database) -> Emergency | None:
    """Raises: StoreError."""
    if database.path is None:
        return None
    path = database.path.with_name(f"{database.path.name}.emergency")
    try:
        return Emergency(path)
    except OSError as error:
        raise StoreError(f"the emergency journal {path} can't be made: {error.strerror}; make room for 1 MiB there") from error


def _transact(database: Database, books: Books, batch: list[Operation], now_ns: int, *, careful: bool = False) -> list[Any]:
    database.begin()
    answers = books.apply(batch, now_ns, careful=careful)
    database.commit()
    return answers


def _undo(database: Database, books: Books) -> None:
    books.forget()
    database.rollback()


def _call(database: Database, call: Call) -> Any:
    try:
        with database.connection.begin():
            answer = call.function(database.connection)
        if call.committed is not None:
            call.committed(answer)
        return answer
    except DBAPIError as error:
        return unavailable(str(error.orig))
    except Exception as error:
        return error


def _answer(answers: Iterable[tuple[Operation, Any]]) -> None:
    """Hand the answers over, all of a loop's at once. Nobody waits on a loop that is closed."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = {}
    for operation, answer in answers:
        if operation.future is not None:
            by_loop.setdefault(operation.future.get_loop(), []).append((operation.future, answer))
    for loop, pairs in by_loop.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_resolve, pairs)


def _resolve(pairs: list[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, answer in pairs:
        if future.done():
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
