"""Opening the file: what is refused, and in which words."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import make_url

from proxy.storage import migrations
from proxy.storage.migrations import HEAD
from proxy.storage.sqlite import Database, StoreError
from proxy.storage.tables import metadata


def open_database(path: Path, durability: str = "power") -> Database:
    return Database(make_url(f"sqlite:///{path}"), durability)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "paifang.db"


def test_a_new_file_has_the_newest_tables_and_is_the_owners_alone(path: Path) -> None:
    database = open_database(path)
    with database.connection.begin():
        context = MigrationContext.configure(database.connection)
        assert context.get_current_revision() == HEAD
        assert compare_metadata(context, metadata) == []
        pragmas = {
            name: database.connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "locking_mode", "foreign_keys")
        }
        strict = database.connection.exec_driver_sql("SELECT name FROM pragma_table_list WHERE strict").scalars().all()
    database.close()
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "locking_mode": "exclusive", "foreign_keys": 1}
    assert set(strict) == set(metadata.tables)
    assert path.stat().st_mode & 0o777 == 0o600


def test_head_is_the_newest_step() -> None:
    assert ScriptDirectory(str(Path(migrations.__file__).parent)).get_current_head() == HEAD


def test_a_step_that_breaks_off_leaves_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_off(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("alembic.ddl.impl.DefaultImpl.create_index", break_off)
        open_database(path)
    with sqlite3.connect(path) as raw:
        assert raw.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,)
    raw.close()
    open_database(path).close()


def test_a_second_process_is_refused_and_told_who_owns_the_file(path: Path) -> None:
    database = open_database(path)
    script = (
        "import sys\nfrom sqlalchemy.engine import make_url\nfrom proxy.storage.sqlite import Database, OwnerError\n"
        "try:\n    Database(make_url('sqlite:///' + sys.argv[1]), 'power')\nexcept OwnerError as error:\n    print(error)"
    )
    told = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True).stdout
    database.close()
    assert told.startswith(f"the store {path} is in use by ")
    assert "stop it, or give this one a file of its own in store.url" in told
    if sys.platform.startswith("linux"):
        assert f"process {os.getpid()}" in told


def _junk(path: Path) -> None:
    path.write_bytes(b"not a database\n" * 100)


def _foreign(path: Path) -> None:
    raw = sqlite3.connect(path)
    raw.execute("CREATE TABLE theirs (a)")
    raw.commit()
    raw.close()


def _newer(path: Path) -> None:
    open_database(path).close()
    raw = sqlite3.connect(path)
    raw.execute("UPDATE alembic_version SET version_num = '9999'")
    raw.commit()
    raw.close()


def _truncated(path: Path) -> None:
    open_database(path).close()
    os.truncate(path, path.stat().st_size // 2)


def _scrambled(path: Path) -> None:
    open_database(path).close()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 8192)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_junk, "is not a SQLite database; name another file"),
        (_foreign, "is a database of another program; name another file"),
        (_newer, "was written by a newer Paifang"),
        (_truncated, "is damaged"),
        (_scrambled, "is damaged"),
        (Path.mkdir, "is a folder; name a file"),
    ],
)
def test_a_file_that_is_not_ours_or_not_sound_is_refused(path: Path, spoil: object, words: str) -> None:
    assert callable(spoil)
    spoil(path)
    with pytest.raises(StoreError, match=words) as refused:
        open_database(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"doesn't exist; create it \(mkdir -p"):
        open_database(tmp_path / "none" / "paifang.db")


@pytest.mark.parametrize("place", ["folder", "file"])
def test_a_place_that_cannot_be_written_is_refused(path: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the system would say it to anyone but root, whom it lets write anywhere."""
    open_database(path).close()
    closed = path if place == "file" else path.parent
    monkeypatch.setattr(os, "access", lambda asked, mode: Path(asked) != closed)
    with pytest.raises(StoreError, match=f"{closed} can't be written; give this user"):
        open_database(path)
