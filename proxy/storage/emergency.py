"""The emergency journal: where settlements are kept while the store can't write, so that running answers can end.

A file of its own beside the store, with its room taken beforehand: a full disk doesn't stop it. It has a line of JSON for
each settlement, then zeros. It is read at the next start, before anything is taken for cut off, and emptied once the store
has it all; what is settled twice counts once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from proxy.context import Charge
from proxy.money import usage_of
from proxy.storage.ledger import Exposure, Posting, UsageRow
from proxy.storage.operations import Commit

ROOM_BYTES = 1 << 20
"""About a thousand settlements."""


class Emergency:
    """Used in the writer's thread."""

    def __init__(self, path: Path) -> None:
        """Raises: OSError: there is no room for it, or it can't be opened."""
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            size = os.fstat(self._file).st_size
            if size < ROOM_BYTES:
                os.pwrite(self._file, bytes(ROOM_BYTES - size), size)
                os.fsync(self._file)
        except OSError:
            os.close(self._file)
            raise
        self._used = len(self._kept())

    def read(self) -> list[Commit]:
        """What was kept, oldest first."""
        return [_commit(json.loads(line)) for line in self._kept().splitlines()]

    def keep(self, commits: Sequence[Commit]) -> bool:
        """Make them durable here. Returns False if that can't be done."""
        data = b"".join(json.dumps(_plain(commit)).encode() + b"\n" for commit in commits)
        if self._used + len(data) > ROOM_BYTES:
            return False
        try:
            os.pwrite(self._file, data, self._used)
            os.fsync(self._file)
        except OSError:
            return False
        self._used += len(data)
        return True

    def clear(self) -> None:
        """The store has it all."""
        if self._used:
            os.pwrite(self._file, bytes(self._used), 0)
            os.fsync(self._file)
            self._used = 0

    def close(self) -> None:
        os.close(self._file)

    def _kept(self) -> bytes:
        """Whole lines; one that a crash tore was promised to nobody."""
        written = os.pread(self._file, ROOM_BYTES, 0).split(b"\0", 1)[0]
        return written[: written.rfind(b"\n") + 1]


def _plain(commit: Commit) -> dict[str, Any]:
    return {
        "postings": [
            {"request_id": posting.request_id, "charge": None if posting.charge is None else _plain_charge(posting.charge)}
            for posting in commit.postings
        ],
        "row": None if commit.row is None else commit.row._asdict(),
        "exposures": [exposure._asdict() for exposure in commit.exposures],
    }


def _plain_charge(charge: Charge) -> dict[str, Any]:
    usage = charge.usage._replace(tool_calls=dict(charge.usage.tool_calls), reported=None)
    return charge._asdict() | {"usage": usage._asdict()}


def _commit(plain: dict[str, Any]) -> Commit:
    postings = [
        Posting(
            request_id=posting["request_id"],
            charge=posting["charge"] and Charge(**{**posting["charge"], "usage": usage_of(posting["charge"]["usage"])}),
        )
        for posting in plain["postings"]
    ]
    exposures = [Exposure(**exposure) for exposure in plain["exposures"]]
    return Commit(None, postings, plain["row"] and UsageRow(**plain["row"]), exposures)
