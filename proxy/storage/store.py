"""The store: ledger, keys, wallets and what can be read of them, over one writer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from proxy.clock import Clock
from proxy.storage.entries import Entries
from proxy.storage.exposures import Exposures
from proxy.storage.reports import Reports
from proxy.storage.requestlog import RequestLog
from proxy.storage.sqlite import StoreError
from proxy.storage.sqlkeys import SqlKeys, read_keys
from proxy.storage.sqlledger import SqlLedger
from proxy.storage.wallets import Wallets
from proxy.storage.writer import Writer


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """An open store."""

    ledger: SqlLedger
    keys: SqlKeys
    wallets: Wallets
    reports: Reports
    requests: RequestLog
    entries: Entries
    exposures: Exposures
    writer: Writer

    @property
    def problem(self) -> str | None:
        """What keeps it from writing, None if nothing does: readiness depends on it."""
        return self.writer.problem

    async def close(self) -> None:
        """Write what is queued, and let go of the file."""
        await self.writer.close()


def open_store(url: str, durability: Literal["power", "process"], clock: Clock) -> Store:
    """Open a store, make it or bring it to the newest tables, and settle what a crash left.

    It waits for the disk: on an event loop, call it through asyncio.to_thread.
    url: "sqlite:///relative.db", "sqlite:////absolute.db"; "sqlite://" is a store in memory.
    Raises: StoreError: the message is one line with the remedy.
    """
    writer = Writer(parsed_url(url), durability, clock)
    return store_over(writer, SqlKeys(writer, clock, writer.start(read_keys)))


def store_over(writer: Writer, keys: SqlKeys) -> Store:
    """Every part of a store, over one writer."""
    return Store(
        ledger=SqlLedger(writer, keys.find),
        keys=keys,
        wallets=Wallets(writer),
        reports=Reports(writer),
        requests=RequestLog(writer),
        entries=Entries(writer),
        exposures=Exposures(writer),
        writer=writer,
    )


def parsed_url(url: str) -> URL:
    """Raises: StoreError: it names no store that this version knows."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise StoreError("store.url is not a database URL; write sqlite:///paifang.db") from error
    if parsed.get_backend_name() != "sqlite":
        raise StoreError(f"store.url names {parsed.get_backend_name()!r}, this version has sqlite:///paifang.db")
    return parsed
