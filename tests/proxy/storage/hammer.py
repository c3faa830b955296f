"""A process that reserves, streams and settles until it is killed, and says on its standard output what it was promised.

    python -m tests.proxy.storage.hammer PATH [DURABILITY]

Lines: "dispatched ID COST" before a provider would be asked, "done ID COST" once the ledger promised that the charge is kept.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from typing import Literal

from proxy.clock import SystemClock
from proxy.storage.store import Store, open_store
from tests.proxy.storage.parts import SUBJECT, charge, row, window

TASKS = 32
LIMIT = 10**12
HELD = 1000


async def hammer(store: Store, task: int) -> None:
    dice = random.Random(task + os.getpid())
    limits = [window(LIMIT), window(LIMIT, "gateway", param="gateway.daily")]
    for number in range(1_000_000):
        request_id = f"{os.getpid()}-{task}-{number}"
        reservation = await store.ledger.reserve(request_id, HELD, limits, subject=SUBJECT)
        cost = dice.randrange(1, HELD + 1)
        reservation.dispatched()
        say(f"dispatched {request_id} {cost}")
        for part in range(dice.randrange(3)):
            await asyncio.sleep(dice.random() / 50)
            reservation.checkpoint(charge(cost * (part + 1) // 4))
        if dice.random() < 0.1:
            await store.ledger.commit([reservation.void()], row(request_id, 0))
            say(f"done {request_id} 0")
        else:
            await store.ledger.commit([reservation.settle(charge(cost))], row(request_id, cost))
            say(f"done {request_id} {cost}")


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


async def main(path: str, durability: Literal["power", "process"] = "process") -> None:
    store = await asyncio.to_thread(open_store, f"sqlite:///{path}", durability, SystemClock())
    await asyncio.gather(*(hammer(store, task) for task in range(TASKS)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))  # type: ignore[arg-type]
