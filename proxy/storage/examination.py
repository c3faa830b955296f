"""A look at the store's own health: its file, its room, its soundness."""

from __future__ import annotations

import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, func, select

from proxy.storage.tables import usage_row
from proxy.storage.writer import Writer

LOOK_BYTES = 32 * 2**20
"""Up to this size (about an eighth of a second) a file is checked whole while others wait for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What was found."""

    path: str
    """"" for a store in memory."""
    file_bytes: int
    free_bytes: int | None
    """Left on its disk; None for a store in memory."""
    sqlite: str
    damage: str | None
    """What SQLite finds wrong with the file, "" if nothing; None: it is too large to look while it is in use."""
    newest_ns: int | None
    """Unix time of the newest request in the usage log."""


async def examine(writer: Writer) -> Examination:
    """Raises: LedgerUnavailable."""
    return await writer.run(_examine)


def _examine(connection: Connection) -> Examination:
    path = connection.exec_driver_sql("SELECT file FROM pragma_database_list WHERE name = 'main'").scalar_one() or ""
    size = Path(path).stat().st_size if path else 0
    finding = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one() if size <= LOOK_BYTES else None
    return Examination(
        path=path,
        file_bytes=size,
        free_bytes=shutil.disk_usage(path).free if path else None,
        sqlite=sqlite3.sqlite_version,
        damage=None if finding is None else "" if finding == "ok" else " ".join(str(finding).split()),
        newest_ns=connection.scalar(select(func.max(usage_row.c.received_ns))),
    )
