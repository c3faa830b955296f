"""What the books keep in memory: windows and open holds, with the row each is stored as."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from proxy.money import MAX_NANOUSD

TEXT_LENGTH = 256
"""Characters kept of what a client calls itself."""
COUNT_LIMIT = 2**53


class Spending:
    """One window of a budget, or a wallet."""

    __slots__ = (
        "__weakref__", "carried", "credit", "end_s", "family", "id", "overrun", "pending", "period", "posted", "scope",
        "start_s",
    )  # fmt: skip

    id: int
    credit: int
    posted: int
    pending: int
    overrun: int
    carried: int

    def __init__(self, row: Sequence[Any]) -> None:
        """row: the columns of `spending`."""
        self.id, self.scope, self.period, self.start_s, self.end_s = row[:5]
        self.credit, self.posted, self.pending, self.overrun, self.carried = row[5:]
        self.family: str = self.scope.partition("/family:")[2]

    def row(self) -> tuple[Any, ...]:
        return (self.id, self.scope, self.period, self.start_s, self.end_s,
                self.credit, self.posted, self.pending, self.overrun, self.carried)  # fmt: skip


class Held:
    """One hold."""

    __slots__ = (
        "amount", "checkpoint", "checkpoint_input", "checkpoint_output", "created_ns", "dispatched", "id",
        "payer", "posted", "request_id", "spendings", "state", "subject", "subject_id", "user",
    )  # fmt: skip

    id: int
    request_id: str
    amount: int

    def __init__(self, row: Sequence[Any], subject: tuple[str, ...], spendings: tuple[Spending, ...]) -> None:
        """row: the columns of `hold`. subject: (key, wallet, model, family, route, provider), the last two once it is sent."""
        self.id, self.request_id, self.subject_id, self.user, self.amount, self.created_ns = row[:6]
        (
            self.state,
            self.dispatched,
            self.checkpoint,
            self.checkpoint_input,
            self.checkpoint_output,
            self.posted,
        ) = row[6:]
        self.subject = subject
        self.payer = payer(subject[0], subject[1])
        self.spendings = spendings

    @property
    def provider(self) -> str:
        """Where it was sent, "" if nowhere."""
        return self.subject[5]

    def take(self, told: Held) -> None:
        """What the same hold was told, as far as it is no id of the store's."""
        self.dispatched, self.subject = told.dispatched, told.subject
        self.checkpoint = told.checkpoint
        self.checkpoint_input, self.checkpoint_output = told.checkpoint_input, told.checkpoint_output

    def row(self) -> tuple[Any, ...]:
        return (self.id, self.request_id, self.subject_id, self.user, self.amount, self.created_ns, self.state,
                self.dispatched, self.checkpoint, self.checkpoint_input, self.checkpoint_output, self.posted)  # fmt: skip


def payer(key: str, wallet: str | None) -> str:
    """The account that a request is debited to."""
    return f"wallet:{wallet}" if wallet else f"key:{key}"


def checked_amount(amount: int) -> int:
    """Raises: ValueError: not a whole number of nano-USD from 0 to MAX_NANOUSD."""
    if type(amount) is not int or not 0 <= amount <= MAX_NANOUSD:
        raise ValueError(f"an amount is an integer of nano-USD from 0 to {MAX_NANOUSD}, not {amount!r}")
    return amount


def bounded_text(text: str) -> str:
    """What a client wrote, so that every database takes it."""
    text = text[:TEXT_LENGTH]
    return text if text.isascii() and "\0" not in text else text.encode("utf-8", "replace").decode().replace("\0", "�")


def bounded_count(tokens: int) -> int:
    """What a provider counted, so that 64 bits hold it."""
    return max(0, min(tokens, COUNT_LIMIT))
