"""Old usage rows go, hour by hour; the ledger stays, and agrees."""

from __future__ import annotations

import asyncio
from pathlib import Path

from proxy.gateway import Gateway
from proxy.retention import forget, forget_regularly
from tests.proxy.gateways import SIMULATED, write
from tests.proxy.storage.parts import DAY_S, START_S, MovedClock, row


async def test_rows_go_when_they_are_too_old(tmp_path: Path) -> None:
    clock = MovedClock()
    file = write(tmp_path, SIMULATED + "store: {retention_days: 30}\n")
    gateway = await Gateway.open(file, {}, clock)
    try:
        for day in range(3):
            await gateway.store.ledger.commit([], row(f"req-{day}", 100, received_ns=(START_S + day * DAY_S) * 10**9))
        clock.now_s += 30 * DAY_S
        assert await forget(gateway) == 0
        clock.now_s += 1
        assert await forget(gateway) == 1
        clock.now_s += DAY_S
        async with asyncio.TaskGroup() as group:
            forgetting = group.create_task(forget_regularly(gateway, every_s=0.01))
            async with asyncio.timeout(10):
                while len(left := await gateway.store.requests.page(0, 2**62, {}, limit=9)) > 1:
                    await asyncio.sleep(0.01)
            clock.now_s += DAY_S
            async with asyncio.timeout(10):
                while left := await gateway.store.requests.page(0, 2**62, {}, limit=9):
                    await asyncio.sleep(0.01)
            forgetting.cancel()
        assert left == []
        assert len(await gateway.store.entries.page()) == 3
        assert await gateway.store.reports.verify() == []
    finally:
        await gateway.close()


async def test_a_store_that_cannot_write_now_is_asked_again(tmp_path: Path) -> None:
    gateway = await Gateway.open(write(tmp_path, SIMULATED), {}, MovedClock())
    await gateway.close()
    forgetting = asyncio.ensure_future(forget_regularly(gateway, every_s=0.01))
    await asyncio.sleep(0.05)
    assert not forgetting.done()
    forgetting.cancel()
