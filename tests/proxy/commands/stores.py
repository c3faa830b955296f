"""What commands find: a store beside ./gateway.yaml with some requests in it."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

from proxy.clock import SystemClock
from proxy.storage.ledger import Exposure, wallet_window
from proxy.storage.store import Store, open_store
from tests.proxy.storage.parts import charge, row, window

STORE = Path("paifang.db")
NOVEMBER_22_S = 1_795_305_600


def fill(*rows: dict[str, Any]) -> None:
    """A request a row: held, settled and logged."""

    async def write() -> None:
        store: Store = await asyncio.to_thread(open_store, f"sqlite:///{STORE}", "process", SystemClock())
        for number, fields in enumerate(rows):
            request_id = f"req_{number}"
            limits = [window(10**9), *([wallet_window(fields["wallet"])] if "wallet" in fields else [])]
            held = await store.ledger.reserve(request_id, 0, limits)
            told = row(request_id, 100, price='{"input": "0.02"}', price_line="5 × $0.02/M", **fields)
            await store.ledger.commit([held.settle(charge(100))], told)
        await store.close()

    asyncio.run(write())


def expose(provider: str, amount: int) -> None:
    """A request that may have been served and was never answered."""

    async def write() -> None:
        store: Store = await asyncio.to_thread(open_store, f"sqlite:///{STORE}", "process", SystemClock())
        exposure = Exposure(provider=provider, amount_nanousd=amount, line="no answer was seen")
        await store.ledger.commit([], row(f"req_of_{provider}", 0, provider=provider), [exposure])
        await store.close()

    asyncio.run(write())


def alter(statement: str) -> None:
    """Change the store behind the gateway's back."""
    with sqlite3.connect(STORE) as db:
        assert db.execute(statement).rowcount > 0, statement
    db.close()
