"""Following gateway.yaml: what it is made of is looked at twice a second, and taken once it has settled.

Looking beats being notified here: it works on network and container mounts, through symlinks that are swapped, with editors
that replace the file, and beside a database that is written all the time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import structlog

from proxy.errors import ConfigError
from proxy.gateway import Gateway

LOOK_EVERY_S = 0.5
Stamp = tuple[int, int, int] | None
"""Modification time, size and inode of a file; None: there is none."""

log = structlog.get_logger("paifang")


async def follow(gateway: Gateway, nudged: asyncio.Event) -> None:
    """Reload whenever gateway.yaml, .env or a plugin's file has changed, or `nudged` is set. Runs until cancelled."""
    seen = taken = await asyncio.to_thread(_stamps, _files(gateway))
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_EVERY_S):
                await nudged.wait()
        now = await asyncio.to_thread(_stamps, _files(gateway))
        settled, seen = now == seen, now
        if nudged.is_set() or (settled and now != taken):
            nudged.clear()
            taken = now
            await _reload(gateway)
            # Files that this very reload brought in were read by it.
            taken = {**await asyncio.to_thread(_stamps, _files(gateway)), **taken}
            seen = taken


async def _reload(gateway: Gateway) -> None:
    try:
        await gateway.reload()
    except ConfigError:
        return  # the gateway has logged and counted it
    except Exception:
        log.exception("reloading failed, the old configuration goes on")


def _files(gateway: Gateway) -> list[Path]:
    folder = gateway.file.parent
    plugins = [folder / name for name in gateway.registry.names if name.endswith(".py")]
    return [gateway.file, folder / ".env", *plugins]


def _stamps(files: Iterable[Path]) -> Mapping[Path, Stamp]:
    return {file: _stamp(file) for file in files}


def _stamp(file: Path) -> Stamp:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
