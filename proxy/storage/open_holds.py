"""Which requests of one process have holds that are open, or may have, as seen from the operations that pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from proxy.storage.operations import Commit, Operation, Reserve


class OpenHolds:
    """Request ids. A request may reserve several times, and a refusal of one leaves the others standing."""

    def __init__(self) -> None:
        self._asked: Counter[str] = Counter()

    def __iter__(self) -> Iterator[str]:
        return iter(self._asked)

    def __len__(self) -> int:
        return len(self._asked)

    def __contains__(self, request_id: object) -> bool:
        return request_id in self._asked

    def only(self, operation: Reserve) -> bool:
        """Whether its request has reserved nothing else."""
        return self._asked[operation.request_id] == 1

    def asks(self, operation: Operation) -> None:
        if isinstance(operation, Reserve):
            self._asked[operation.request_id] += 1

    def answered(self, operation: Operation, *, refused: bool) -> None:
        if isinstance(operation, Reserve) and refused:
            self._asked[operation.request_id] -= 1
            if self._asked[operation.request_id] <= 0:
                del self._asked[operation.request_id]
        elif isinstance(operation, Commit) and not refused:
            for posting in operation.postings:
                self._asked.pop(posting.request_id, None)
