"""The ledger's port: what may be spent is reserved first, then posted or given back, exactly once.

    reserve → dispatched → checkpoint … → settle | void

Amounts are integer nano-USD. Policy decides amounts (plugins), this room moves them. A request's hold is known by its
request id. Every transition happens once: repeating one changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from proxy.calendar import LIFETIME

if TYPE_CHECKING:
    from proxy.context import Charge
    from proxy.errors import RequestError


class Window(NamedTuple):
    """One limit over one span of time that a hold must fit into."""

    scope: str
    """Whose: "key:ci", "key:ci/family:doubao", "gateway", "wallet:team-a"."""
    period: str
    """"daily", "monthly" or, for a wallet, "lifetime"."""
    start_s: int
    """Unix seconds, inclusive."""
    end_s: int
    """Unix seconds, exclusive."""
    limit_nanousd: int
    """For a wallet, what it may be overdrawn: its credit is the store's."""
    param: str
    """What a refusal names: "key.daily", "family.monthly", "gateway.daily", "wallet"."""


def wallet_window(name: str) -> Window:
    """The window that holds on a wallet stand in; it can't be overdrawn by an admission."""
    return Window(
        scope=f"wallet:{name}",
        period="lifetime",
        start_s=LIFETIME[0],
        end_s=LIFETIME[1],
        limit_nanousd=0,
        param="wallet",
    )


class Subject(NamedTuple):
    """Whom and what a hold is for: who pays if nothing but the hold survives a crash."""

    key: str
    wallet: str | None = None
    user: str = ""
    model: str = ""
    family: str = ""
    key_digest: str = ""
    """The store's key that asks: its end is looked for in the transaction that reserves. "": none of the store's."""


class UsageRow(NamedTuple):
    """One request in the usage log."""

    request_id: str
    client_request_id: str
    received_ns: int
    key: str
    wallet: str | None
    user: str
    model: str
    family: str
    route: str
    provider: str
    attempts: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    reasoning_tokens: int
    estimated: bool
    debit_nanousd: int
    cost_nanousd: int | None
    price_line: str
    latency_ms: int
    first_token_ms: int | None
    overhead_ms: int
    status: int
    code: str
    end: str
    stream: bool
    price: str = ""
    """The price that made the debit, as JSON."""
    also_counted: str = ""
    """What else made it, as JSON of `proxy.money.also_counted`; "" for nothing."""


class Posting(NamedTuple):
    """The end of one hold, to be committed: settled with a charge, or void without one."""

    request_id: str
    charge: Charge | None


class Exposure(NamedTuple):
    """What a provider may bill beyond what the caller pays: the operator's risk, until it is reconciled."""

    provider: str
    amount_nanousd: int
    """At the model's price, as it counts against the gateway's budgets."""
    line: str
    """For people: what happened, and how the amount comes about."""
    cost_nanousd: int | None = None
    """What the provider takes for it, where both usage and cost are known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prospect:
    """What `reserve` would answer now."""

    granted_nanousd: int
    """What would be held: the amount asked for or, with a floor, what could be had."""
    refusal: RequestError | None
    left: tuple[tuple[int, int], ...]
    """(free nano-USD, Unix seconds of its end) of each window that was asked about; below 0 where it is overspent."""


class Reservation(Protocol):
    """A `Hold` that stands in the ledger. settle and void answer with a Posting, which the pipeline commits."""

    amount_nanousd: int
    """What is held: the amount asked for or, with a floor, what could be had."""

    def settle(self, charge: Charge) -> Posting: ...
    def void(self) -> Posting: ...
    def dispatched(self, *, route: str = "", provider: str = "") -> None:
        """The first byte is about to go to a provider. Written with the next commit, not waited for."""

    async def expose(self, exposures: Sequence[Exposure]) -> None:
        """The request is about to be sent once more: enter what providers may bill for it so far, in the gateway's windows
        of this hold, and go on holding as much, in one transaction.

        exposures: all of the request's, to be told to `commit` again. Raises: BudgetExhausted: there is no room for both,
        and nothing has changed; LedgerUnavailable.
        """
        ...

    def checkpoint(self, charge: Charge) -> None:
        """What it has come to so far. Written with the next commit, not waited for."""


class Ledger(Protocol):
    """Durable accounts of what is held and spent."""

    async def reserve(
        self,
        request_id: str,
        amount_nanousd: int,
        windows: Sequence[Window],
        *,
        floor_nanousd: int | None = None,
        subject: Subject | None = None,
    ) -> Reservation:
        """Hold the amount in every window or in none.

        A request has one hold: asking again for it adds these windows, and the larger amount stands in all of them.
        With `floor_nanousd`, what is short is met by the most that fits, if that is at least the floor.
        Raises: BudgetExhausted (param: the window's), WalletEmpty, Unauthenticated (the subject's key is revoked or has
        expired), LedgerUnavailable.
        """
        ...

    async def foresee(self, amount_nanousd: int, windows: Sequence[Window], *, floor_nanousd: int | None = None) -> Prospect:
        """What reserving this for a new request would come to; nothing is held or written. Raises: LedgerUnavailable."""
        ...

    async def commit(self, postings: Sequence[Posting], row: UsageRow | None, exposures: Sequence[Exposure] = ()) -> None:
        """End a request: its postings, its usage row and its exposures in one transaction. Returns when it is durable.

        Exposures are entered for the row's request, else for the postings', unless that has told of them; they count in the
        gateway's windows of its hold.
        Raises: LedgerUnavailable; what must be written is kept and written as soon as the ledger can.
        """
        ...

    @property
    def problem(self) -> str | None:
        """What keeps the ledger from writing, None if nothing does. Answers from memory."""
        ...

    @property
    def unsettled(self) -> int:
        """How many holds are neither settled nor void. Answers from memory."""
        ...
