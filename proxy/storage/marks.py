"""Marks: which open holds were told of since they were last written. Most are over before, and need not be written for it.

    waiting ──▶ leaving       the batch that runs writes it, or ends its hold
    leaving ──▶ gone          the next batch begins, so that one is in the store
            └─▶ waiting       it failed: the hold is as it was before
"""

from __future__ import annotations

from collections.abc import Iterator

from proxy.storage.records import Held

LINGER_NS = 100_000_000
"""How long a mark may stay unwritten."""


class Marks:
    """Holds with what they were told. Used in the writer's thread."""

    def __init__(self) -> None:
        self._waiting: dict[int, Held] = {}
        self._leaving: dict[int, Held] = {}
        self._since_ns = 0

    def __bool__(self) -> bool:
        """Whether something is to be written."""
        return bool(self._waiting)

    def add(self, held: Held, now_ns: int) -> None:
        if not self._waiting:
            self._since_ns = now_ns
        self._waiting[held.id] = held

    def drop(self, held: Held) -> None:
        """Its hold is over."""
        known = self._waiting.pop(held.id, None)
        if known is not None:
            self._leaving[held.id] = known

    def begin(self) -> None:
        """Another batch begins: what left with the last one is in the store."""
        self._leaving.clear()

    def due(self, now_ns: int) -> bool:
        """Whether they waited long enough."""
        return not 0 <= now_ns - self._since_ns < LINGER_NS

    def take(self) -> dict[int, Held]:
        """{id: hold} of all, to be written now."""
        taken, self._waiting = self._waiting, {}
        self._leaving.update(taken)
        return taken

    def undo(self) -> None:
        """The batch failed."""
        self._waiting = {**self._leaving, **self._waiting}
        self._leaving = {}

    def again(self, open_holds: dict[str, Held]) -> Iterator[tuple[Held, Held]]:
        """(hold, what it was told) of those that are open as they are read anew, which wait instead. {request id: hold}"""
        told, self._waiting = self._waiting, {}
        for held in told.values():
            found = open_holds.get(held.request_id)
            if found is not None and found.id == held.id:
                self._waiting[found.id] = found
                yield found, held
