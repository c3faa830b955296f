"""Forgetting: usage rows older than `store.retention_days` are deleted; ledger entries stay."""

from __future__ import annotations

import asyncio

import structlog

from proxy.errors import LedgerUnavailable
from proxy.gateway import Gateway

EVERY_S = 3600.0
DAY_NS = 86_400 * 10**9

log = structlog.get_logger("paifang")


async def forget_regularly(gateway: Gateway, every_s: float = EVERY_S) -> None:
    """Forget now and every so many seconds. Runs until cancelled."""
    while True:
        try:
            await forget(gateway)
        except LedgerUnavailable as error:
            log.warning("old usage rows could not be deleted now", detail=error.detail)
        await asyncio.sleep(every_s)


async def forget(gateway: Gateway) -> int:
    """Delete the usage rows that are too old by now. Returns how many. Raises: LedgerUnavailable."""
    kept_days = gateway.snapshot.config.store.retention_days
    forgotten = await gateway.store.reports.forget(gateway.app.clock.now_ns() - kept_days * DAY_NS)
    if forgotten:
        log.info("old usage rows were deleted", rows=forgotten, kept_days=kept_days)
    return forgotten
