"""Operations of the ledger as values that go over a link, and back: with all that the books need, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from proxy.chat import Usage
from proxy.context import Charge
from proxy.storage.keys import KeyRecord
from proxy.storage.ledger import Exposure, Posting, Subject, UsageRow, Window
from proxy.storage.operations import Abandon, Commit, Expose, Mark, Operation, Reserve
from proxy.storage.records import bounded_count, bounded_text
from proxy.storage.sqlkeys import record_of_row, row_of

FindKey = Callable[[str], KeyRecord | None]


def encode(operation: Operation) -> tuple[Any, ...] | None:
    """(name, *arguments) for a link; None: only the process that owns the store can do it."""
    match operation:
        case Reserve():
            subject = operation.subject._replace(user=bounded_text(operation.subject.user))
            windows = [tuple(window) for window in operation.windows]
            return "reserve", operation.request_id, operation.amount, windows, operation.floor, tuple(subject)
        case Commit():
            postings = [(posting.request_id, _charge(posting.charge)) for posting in operation.postings]
            exposures = [tuple(exposure) for exposure in operation.exposures]
            return "commit", postings, None if operation.row is None else tuple(_bounded(operation.row)), exposures
        case Expose():
            exposures = [tuple(exposure) for exposure in operation.exposures]
            return "expose", operation.request_id, exposures, [tuple(window) for window in operation.windows]
        case Mark():
            return "mark", operation.request_id, _charge(operation.charge), operation.route, operation.provider
        case Abandon():
            return "abandon", list(operation.request_ids)
        case _:
            return None


def reserve(future: Any, find_key: FindKey, request_id: str, amount: int, windows: Any, floor: Any, subject: Any) -> Reserve:
    made = [Window._make(window) for window in windows]
    return Reserve(future, request_id, amount, made, floor, Subject._make(subject), find_key)


def commit(future: Any, postings: Any, row: Any, exposures: Any) -> Commit:
    made = [Posting(request_id=request_id, charge=_charged(charge)) for request_id, charge in postings]
    entered = [Exposure._make(exposure) for exposure in exposures]
    return Commit(future, made, None if row is None else UsageRow._make(row), entered)


def expose(future: Any, request_id: str, exposures: Any, windows: Any) -> Expose:
    entered = [Exposure._make(exposure) for exposure in exposures]
    return Expose(future, request_id, entered, [Window._make(window) for window in windows])


def mark(request_id: str, charge: Any, route: str, provider: str) -> Mark:
    return Mark(request_id, _charged(charge), route, provider)


def encode_key(record: KeyRecord) -> dict[str, Any]:
    return row_of(record)


def decode_key(row: Mapping[str, Any]) -> KeyRecord:
    return record_of_row(SimpleNamespace(**row))


def _charge(charge: Charge | None) -> tuple[Any, ...] | None:
    if charge is None:
        return None
    counts = (bounded_count(charge.usage.input_tokens), bounded_count(charge.usage.output_tokens))
    return charge.amount_nanousd, *counts, charge.price_line, charge.price, charge.family


def _charged(values: Any) -> Charge | None:
    if values is None:
        return None
    amount, input_tokens, output_tokens, price_line, price, family = values
    usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens)
    return Charge(amount_nanousd=amount, usage=usage, price_line=price_line, price=price, family=family)


def _bounded(row: UsageRow) -> UsageRow:
    counts = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens")
    bounded: dict[str, Any] = {name: bounded_count(getattr(row, name)) for name in counts}
    return row._replace(user=bounded_text(row.user), **bounded)
