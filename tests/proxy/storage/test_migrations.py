"""SIGKILL at each statement of the steps that make a store: the next start makes it whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

KILLED_AT_EACH = """
import os, signal, sqlite3, sys
from sqlalchemy import event
from sqlalchemy.engine import Engine, make_url
from proxy.storage.migrations import HEAD
from proxy.storage.sqlite import Database

path = sys.argv[1]
killed = True
number = 0
while killed:
    number += 1
    if not (child := os.fork()):
        left = number

        def die_in_time(*_):
            global left
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

        for moment in ("before_cursor_execute", "after_cursor_execute", "commit"):
            event.listen(Engine, moment, die_in_time)
        Database(make_url(f"sqlite:///{path}"), "power").close()
        os._exit(0)
    killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
    Database(make_url(f"sqlite:///{path}"), "power").close()
    with sqlite3.connect(path) as raw:
        assert raw.execute("SELECT version_num FROM alembic_version").fetchall() == [(HEAD,)]
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        print(sorted(raw.execute("SELECT name, coalesce(sql, '') FROM sqlite_schema")))
    raw.close()
    for name in (path, path + "-wal", path + "-shm"):
        if os.path.exists(name):
            os.unlink(name)
"""


def test_killed_at_each_statement(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED_AT_EACH, str(tmp_path / "paifang.db")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[3])
    assert done.returncode == 0, done.stderr
    schemas = done.stdout.splitlines()
    assert len(schemas) > 40 and len(set(schemas)) == 1
