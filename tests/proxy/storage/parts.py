"""What tests of the store ask with: windows, charges and rows with the dull parts filled in."""

from __future__ import annotations

from typing import Any

from proxy.chat import Usage
from proxy.context import Charge
from proxy.storage.ledger import Subject, UsageRow, Window

DAY_S = 86_400
START_S = 1_795_305_600
"""2026-11-22T00:00:00Z."""
SUBJECT = Subject(key="ci", user="u", model="doubao-seed", family="doubao")
USAGE = Usage(input_tokens=10, output_tokens=5)


class MovedClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now_s: int = START_S) -> None:
        self.now_s = now_s

    def now_ns(self) -> int:
        return self.now_s * 10**9

    def monotonic_ns(self) -> int:
        return self.now_s * 10**9


def window(limit: int, scope: str = "key:ci", *, day: int = 0, param: str = "key.daily") -> Window:
    start_s = START_S + day * DAY_S
    return Window(scope=scope, period="daily", start_s=start_s, end_s=start_s + DAY_S, limit_nanousd=limit, param=param)


def charge(amount: int, **fields: Any) -> Charge:
    return Charge(amount_nanousd=amount, usage=USAGE, **fields)


def row(request_id: str, debit: int, **fields: Any) -> UsageRow:
    return UsageRow(
        **{
            "request_id": request_id,
            "client_request_id": "",
            "received_ns": START_S * 10**9,
            "key": "ci",
            "wallet": None,
            "user": "u",
            "model": "doubao-seed",
            "family": "doubao",
            "route": "ark",
            "provider": "ark",
            "attempts": 1,
            "input_tokens": 10,
            "cached_input_tokens": 0,
            "output_tokens": 5,
            "reasoning_tokens": 0,
            "estimated": False,
            "debit_nanousd": debit,
            "cost_nanousd": None,
            "price_line": "",
            "latency_ms": 1,
            "first_token_ms": None,
            "overhead_ms": 1,
            "status": 200,
            "code": "",
            "end": "complete",
            "stream": False,
            **fields,
        }
    )
