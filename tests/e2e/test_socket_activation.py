"""A listening socket that outlives the process: as systemd holds it, so that a restart refuses no connection."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import files
from tests.e2e.load import load
from tests.e2e.processes import clean_environ
from tests.e2e.test_crash import books
from tests.e2e.test_drain import sections
from tests.fakes import FakeOpenAI

AS_SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.executable, [sys.executable, "-m", "proxy", "serve"])
"""


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        made.listen(1024)
        yield made


def activate(folder: Path, descriptor: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", AS_SYSTEMD, str(descriptor)]
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(command, cwd=folder, env=clean_environ(), pass_fds=[descriptor], stdout=log, stderr=log)


async def test_a_restart_under_load_fails_no_request(
    listener: socket.socket, fake_openai: FakeOpenAI, tmp_path: Path
) -> None:
    files.write(tmp_path, **sections(fake_openai))
    port = listener.getsockname()[1]
    process = activate(tmp_path, listener.fileno())
    try:
        async with load(f"http://127.0.0.1:{port}", 32) as outcomes:
            for _ in range(2):
                before = outcomes["200"]
                while outcomes["200"] < before + 200:
                    await asyncio.sleep(0.05)
                process.terminate()
                assert await asyncio.to_thread(process.wait, 10) == 0
                process = activate(tmp_path, listener.fileno())
        assert set(outcomes) == {"200"}
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 10)
    assert await books(tmp_path) == {"ci": outcomes["200"] * 6_000_000}


def test_what_is_no_listening_socket_is_named(tmp_path: Path, fake_openai: FakeOpenAI) -> None:
    files.write(tmp_path, **sections(fake_openai))
    with (tmp_path / "gateway.yaml").open() as no_socket:
        process = activate(tmp_path, no_socket.fileno())
        assert process.wait(10) == 2
    assert "descriptor 3 of LISTEN_FDS is no socket" in (tmp_path / "log").read_text()
