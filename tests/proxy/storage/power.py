"""A disk that forgets what was not synced: what a process wrote is recorded, and laid down as a power loss would leave it.

strace tells each write, sync and promise in the order in which the kernel saw them. At any of these moments the power may go:
what was synced is there, and of what was only written any 512-byte sector may be, or not.
"""

from __future__ import annotations

import random
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

SECTOR = 512
CALLS = "openat,pwrite64,write,fsync,fdatasync,ftruncate,unlink"
_LINE = re.compile(r"(?P<pid>\d+) +(?:<\.\.\. \w+ resumed>|(?P<call>\w+)\()(?P<rest>.*)")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


@dataclass
class Disk:
    """One file: what is safe, and what was written since."""

    safe: bytearray = field(default_factory=bytearray)
    written: list[tuple[int, bytes | None]] = field(default_factory=list)
    """(offset, bytes); None: the file ends there."""

    def sync(self) -> None:
        for offset, data in self.written:
            self._put(offset, data)
        self.written = []

    def lose_power(self, dice: random.Random) -> None:
        """Of each sector that was not synced it is left to chance whether it is there."""
        for offset, data in self.written:
            if data is None:
                self._put(offset, None)
                continue
            for place in range(offset - offset % SECTOR, offset + len(data), SECTOR):
                begin, end = max(place, offset), min(place + SECTOR, offset + len(data))
                if dice.random() < 0.5:
                    self._put(begin, data[begin - offset : end - offset])

    def _put(self, offset: int, data: bytes | None) -> None:
        if data is None:
            del self.safe[offset:]
        self.safe.extend(bytes(max(0, offset - len(self.safe))))
        if data is not None:
            self.safe[offset : offset + len(data)] = data


@dataclass(frozen=True)
class Step:
    """A system call: what it was called with and, once it has returned, with what."""

    call: str
    file: int
    """The descriptor it was called with; -1: with none."""
    text: bytes
    """The path, or what was written."""
    last: int
    """Its last argument, an offset or a length; -1: it is none."""
    answer: int | None


def recorded(path: Path, durability: str, seconds: float) -> list[Step]:
    """What a hammering process asked of the system, until it and strace were killed."""
    trace = path.with_name("trace")
    hammer = [sys.executable, "-m", "tests.proxy.storage.hammer", str(path), durability]
    command = ["strace", "-f", "-qq", "-xx", "-s", "9000", "-e", f"trace={CALLS}", "-o", str(trace), *hammer]
    # timeout ends them both, whatever becomes of this process: nothing is left that fills the disk.
    limited = ["timeout", "-s", "KILL", str(seconds), *command]
    subprocess.run(limited, stdout=subprocess.DEVNULL, cwd=Path(__file__).parents[3], check=False, start_new_session=True)
    lines = trace.read_text().splitlines()
    trace.unlink()
    return list(_steps(lines))


def _steps(lines: Sequence[str]) -> list[Step]:
    """A call that another thread's interrupted is there twice: when it began, without an answer, and when it returned."""
    steps, begun = [], dict[str, tuple[str, str]]()
    for line in lines:
        found = _LINE.match(line)
        if found is None:
            continue
        rest, _, answer = found["rest"].rpartition(") ")
        if found["call"] is not None and line.endswith("<unfinished ...>"):
            begun[found["pid"]] = found["call"], found["rest"]
            steps.append(_step(found["call"], found["rest"], None))
        elif found["call"] is not None:
            steps.append(_step(found["call"], rest, answer))
        elif found["pid"] in begun:
            call, arguments = begun.pop(found["pid"])
            steps.append(_step(f"{call} returned", arguments, answer))
    return steps


def _step(call: str, arguments: str, answer: str | None) -> Step:
    text = _TEXT.search(arguments)
    file, last = re.match(r"\d+", arguments), re.search(r"(\d+)(?: <unfinished \.\.\.>)?$", arguments)
    returned = None if answer is None else re.match(r" *= (\d+)", answer)
    return Step(
        call,
        -1 if file is None else int(file[0]),
        b"" if text is None else bytes.fromhex(text[1].replace("\\x", "")),
        -1 if last is None else int(last[1]),
        None if answer is None else -1 if returned is None else int(returned[1]),
    )


def power_loss(steps: Sequence[Step], path: Path, into: Path, dice: random.Random) -> list[list[str]]:
    """Lay down beside `into` what is left of the store at `path` if the power goes after these steps.

    Returns the words of each line that the process had said.
    """
    disks: dict[str, Disk] = {}
    names: dict[int, str] = {}
    told = bytearray()
    for step in steps:
        call = step.call.removesuffix(" returned")
        if call == "openat" and step.answer is not None:
            names.pop(step.answer, None)
            name = step.text.decode()
            if name.startswith(str(path)):
                names[step.answer] = name
                disks.setdefault(name, Disk())
        elif call == "unlink" and step.answer == 0:
            disks.pop(step.text.decode(), None)
        elif step.call == "write" and step.file == 1:
            told += step.text
        elif step.file in names:
            disk = disks.setdefault(names[step.file], Disk())
            if step.call == "pwrite64":
                disk.written.append((step.last, step.text))
            elif step.call == "ftruncate":
                disk.written.append((step.last, None))
            elif call in ("fsync", "fdatasync") and step.answer == 0:
                disk.sync()
    for name, disk in disks.items():
        if not name.endswith(".emergency"):
            disk.lose_power(dice)
            Path(name.replace(str(path), str(into))).write_bytes(disk.safe)
    return [line.split() for line in told.decode().splitlines()]
