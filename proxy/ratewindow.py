"""An amount over any sixty seconds, not a minute by the clock, so that a border between minutes admits nothing twice."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from operator import attrgetter

SECOND_NS = 10**9
WINDOW_NS = 60 * SECOND_NS
GRAIN_NS = WINDOW_NS // 600
"""What comes within a tenth of a second is kept as one, as of its last moment: a window has some 600 entries at most."""


Said = list[tuple[int, int]]
"""[(amount, when in ns)]: a window as it goes to another process, whose clock is the same."""


class Entry:
    """What was counted at about one moment."""

    __slots__ = ("amount", "at_ns", "since_ns")

    def __init__(self, now_ns: int) -> None:
        self.since_ns = self.at_ns = now_ns
        self.amount = 0


class Window:
    """An amount over the last sixty seconds."""

    __slots__ = ("_entries", "total")

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque()
        self.total = 0

    def __bool__(self) -> bool:
        return bool(self._entries)

    def expire(self, now_ns: int) -> None:
        """Forget what is sixty seconds old. Comes before every other question."""
        while self._entries and self._entries[0].at_ns + WINDOW_NS <= now_ns:
            gone = self._entries.popleft()
            self.total -= gone.amount
            gone.amount = 0

    def add(self, amount: int, now_ns: int) -> Entry:
        """Returns the entry that it is part of."""
        if not self._entries or self._entries[-1].since_ns + GRAIN_NS <= now_ns:
            self._entries.append(Entry(now_ns))
        entry = self._entries[-1]
        entry.at_ns = now_ns
        entry.amount += amount
        self.total += amount
        return entry

    def take_back(self, amount: int, entry: Entry) -> None:
        """What has expired stays expired."""
        amount = min(amount, entry.amount)
        entry.amount -= amount
        self.total -= amount

    def wait_ns(self, excess: int, now_ns: int) -> int:
        """How long until so much of it has expired; 0 for none."""
        for entry in self._entries:
            if excess <= 0:
                break
            excess -= entry.amount
            if excess <= 0:
                return entry.at_ns + WINDOW_NS - now_ns
        return 0

    def reset_ns(self, now_ns: int) -> int:
        """How long until all of it has expired."""
        return self._entries[-1].at_ns + WINDOW_NS - now_ns if self._entries else 0

    def said(self) -> Said:
        """All of it, for another process: what came within a second as one, as of its last moment."""
        seconds: dict[int, tuple[int, int]] = {}
        for entry in self._entries:
            second = entry.at_ns // SECOND_NS
            seconds[second] = seconds.get(second, (0, 0))[0] + entry.amount, entry.at_ns
        return list(seconds.values())

    def hear(self, said: Iterable[tuple[int, int]]) -> None:
        """Count what another process has counted, too."""
        for amount, at_ns in said:
            entry = Entry(at_ns)
            entry.amount = amount
            self.total += amount
            self._entries.append(entry)
        self._entries = deque(sorted(self._entries, key=attrgetter("at_ns")))
