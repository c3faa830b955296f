"""Where the output goes nowhere: a pipe that nobody reads any more, a disk that is full."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.proxy.gateways import SIMULATED, write

COMMANDS = ["models", "models --json", "usage --csv", "--help"]
UNBUFFERED = ["", "1"]
"""Values of PYTHONUNBUFFERED: what isn't written at once is written in the end."""


def into(output: int, folder: Path, command: str, unbuffered: str) -> tuple[int, str]:
    write(folder, SIMULATED)
    done = subprocess.run(
        [sys.executable, "-m", "proxy", *command.split()],
        cwd=folder,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("unbuffered", UNBUFFERED)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_closed_pipe_is_no_news(tmp_path: Path, command: str, unbuffered: str) -> None:
    read, written = os.pipe()
    os.close(read)
    try:
        assert into(written, tmp_path, command, unbuffered) == (141, "")
    finally:
        os.close(written)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("unbuffered", UNBUFFERED)
@pytest.mark.parametrize("command", [*COMMANDS, "keys list --json --bogus"])
def test_a_full_disk_is_told_in_a_line(tmp_path: Path, command: str, unbuffered: str) -> None:
    with Path("/dev/full").open("wb") as full:
        status, told = into(full.fileno(), tmp_path, command, unbuffered)
    assert (status, told.splitlines()[-1]) == (2, "standard output can't be written: No space left on device")
    assert "Traceback" not in told and ("--bogus" in command or told.count("\n") == 1)
