"""The SQLite file: opened, owned by this process alone, brought to the newest tables.

One connection in one thread owns the file (`locking_mode=EXCLUSIVE`): SQLite before 3.51.3 may lose commits in WAL mode with
two, and the lock is what proves that no other gateway lives on this store.
"""

from __future__ import annotations

import os
import sqlite3
import struct
import sys
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.pool import StaticPool

from proxy.storage.migrations import HEAD

APPLICATION_ID = 0x50464C47
"""Marks the file as Paifang's ("PFLG")."""
OLDEST = (3, 37, 0)
"""The first SQLite with STRICT tables."""
LOCK_WAIT_S = 1.0
"""For a gateway that is just closing the file."""
QUICK_CHECK_BYTES = 256 * 2**20
"""Up to this size (about a second) a file is checked whole at each start; above, `paifang ledger verify` does it."""


class StoreError(Exception):
    """The store can't be opened. The message is one line: what, where, and the remedy."""


class OwnerError(StoreError):
    """Another process owns the store."""


class Database:
    """The one connection. Made, used and closed in the writer's thread."""

    def __init__(self, url: URL, durability: str) -> None:
        """durability: "power" survives power loss, "process" SIGKILL. Raises: StoreError, OwnerError."""
        if sqlite3.sqlite_version_info < OLDEST:
            raise StoreError(
                f"this Python has SQLite {sqlite3.sqlite_version}, the store needs {'.'.join(map(str, OLDEST))} or newer; "
                "use a newer Python"
            )
        self.path = Path(url.database) if url.database and url.database != ":memory:" else None
        if self.path is not None:
            _check_place(self.path)
        try:
            self._raw = sqlite3.connect(
                self.path or ":memory:", timeout=LOCK_WAIT_S, isolation_level=None, cached_statements=256
            )
        except sqlite3.Error as error:
            raise StoreError(f"the store {self.path} can't be opened: {error}") from error
        try:
            self._own(durability)
        except BaseException:
            self._raw.close()
            raise
        self.engine = _engine(self._raw)
        self.connection: Connection = self.engine.connect()
        self.cursor = self._raw.cursor()
        try:
            self._migrate()
        except BaseException:
            self.close()
            raise

    def begin(self) -> None:
        self._raw.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        self._raw.execute("COMMIT")

    def rollback(self) -> None:
        if self._raw.in_transaction:
            self._raw.execute("ROLLBACK")

    def close(self) -> None:
        self.connection.close()
        self.engine.dispose()
        self._raw.close()

    def _own(self, durability: str) -> None:
        """Lock the file for this process and see that it is one of ours, and sound."""
        raw, path = self._raw, self.path
        try:
            raw.execute("PRAGMA locking_mode = EXCLUSIVE")
            raw.execute("PRAGMA journal_mode = WAL")
            raw.execute(f"PRAGMA synchronous = {'FULL' if durability == 'power' else 'NORMAL'}")
            raw.execute(f"PRAGMA fullfsync = {int(durability == 'power')}")
            raw.execute("PRAGMA foreign_keys = ON")
            raw.execute("BEGIN IMMEDIATE")
            (application_id,) = raw.execute("PRAGMA application_id").fetchone()
            (tables,) = raw.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            if application_id != APPLICATION_ID and tables:
                raise StoreError(f"the store {path} is a database of another program; name another file in store.url")
            if application_id != APPLICATION_ID:
                raw.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            raw.execute("COMMIT")
            damage = self._damage()
        except sqlite3.Error as error:
            raise _refusal(error, path) from error
        if damage:
            raise StoreError(f"the store {path} is damaged ({damage}); put a backup in its place")

    def _damage(self) -> str:
        """What SQLite finds wrong with the file, "" if nothing."""
        if self.path is None or self.path.stat().st_size > QUICK_CHECK_BYTES:
            return ""
        (finding,) = self._raw.execute("PRAGMA quick_check(1)").fetchone()
        return "" if finding == "ok" else " ".join(str(finding).split())

    def _migrate(self) -> None:
        """Bring the tables to HEAD, all steps in one transaction."""
        known = self._raw.execute("SELECT 1 FROM sqlite_schema WHERE name = 'alembic_version'").fetchone()
        if known and self._raw.execute("SELECT version_num FROM alembic_version").fetchone() == (HEAD,):
            return
        # Alembic is slow to import, and most starts don't need it.
        from alembic import command
        from alembic.config import Config
        from alembic.util import CommandError

        config = Config()
        folder = str(Path(__file__).with_name("migrations"))
        config.set_main_option("script_location", folder.replace("%", "%%"))
        config.attributes["connection"] = self.connection
        try:
            with self.connection.begin():
                command.upgrade(config, "head")
        except CommandError as error:
            raise StoreError(
                f"the store {self.path} was written by a newer Paifang; install that, or name another file in store.url"
            ) from error


def cannot_write(error: Exception) -> bool:
    """Whether the store is at fault (disk full, I/O error, read-only, damage), not what was to be written."""
    return isinstance(error, sqlite3.OperationalError) or type(error) is sqlite3.DatabaseError


def _engine(raw: sqlite3.Connection) -> Engine:
    engine = create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _check_place(path: Path) -> None:
    """Say plainly what is wrong with the folder or the file, and make a new file readable for its owner alone."""
    folder = path.absolute().parent
    if not folder.is_dir():
        raise StoreError(f"the store's folder {folder} doesn't exist; create it (mkdir -p {folder})")
    if path.is_dir():
        raise StoreError(f"the store {path} is a folder; name a file in store.url")
    if not os.access(folder, os.W_OK):
        raise StoreError(f"the store's folder {folder} can't be written; give this user write access to it")
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        raise StoreError(f"the store {path} can't be written; give this user read and write access to it")
    if not path.exists():
        try:
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        except OSError as error:
            raise StoreError(f"the store {path} can't be created: {error.strerror}") from error


def _refusal(error: sqlite3.Error, path: Path | None) -> StoreError:
    match error.sqlite_errorcode & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return OwnerError(
                f"the store {path} is in use by {_owner(path)}, most likely a gateway that still runs; stop it, or give "
                "this one a file of its own in store.url"
            )
        case sqlite3.SQLITE_NOTADB:
            return StoreError(f"the store {path} is not a SQLite database; name another file in store.url")
        case sqlite3.SQLITE_CORRUPT:
            return StoreError(f"the store {path} is damaged ({error}); put a backup in its place")
        case sqlite3.SQLITE_FULL:
            return StoreError(f"the disk of the store {path} is full; make room")
        case _:
            return StoreError(f"the store {path} can't be opened: {error}")


def _owner(path: Path | None) -> str:
    """The process that holds SQLite's lock, as far as the system tells."""
    if path is None or not sys.platform.startswith("linux"):
        return "another process"
    import fcntl

    # struct flock of 64-bit Linux; SQLite's shared locks are the 510 bytes after the first gigabyte and its two lock bytes.
    asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0x40000002, 510, 0)
    with path.open("r+b") as file:
        pid = struct.unpack("hhqqi4x", fcntl.fcntl(file, fcntl.F_GETLK, asked))[4]
    return f"process {pid}" if pid > 0 else "another process"
