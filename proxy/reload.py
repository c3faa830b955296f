"""Following gateway.yaml: what it is made of is looked at twice a second, and taken once it has settled.

Looking beats being notified here: it works on network and container mounts, through symlinks that are swapped, with editors
that replace the file, and beside a database that is written all the time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import structlog

from proxy.errors import ConfigError
from proxy.faults import is_own_cancellation
from proxy.gateway import Gateway
from proxy.registry import Stamp, stamp_of

LOOK_EVERY_S = 0.5
Stamps = Mapping[Path, Stamp]

log = structlog.get_logger("paifang")


async def follow(gateway: Gateway, nudged: asyncio.Event, read: Stamps) -> None:
    """Reload whenever gateway.yaml, .env or a plugin's file has changed, or `nudged` is set. Runs until cancelled.

    read: what `stamps_of` said before the gateway read its files, so that no change since then is missed.
    """
    # What was loaded was read then, and may have changed since.
    taken = seen = await _of_now(gateway, {**read, **gateway.tried})
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_EVERY_S):
                await nudged.wait()
        now = await _of_now(gateway)
        settled, seen = now == seen, now
        if nudged.is_set() or (settled and now != taken):
            nudged.clear()
            await _reload(gateway)
            taken = seen = await _of_now(gateway, {**now, **gateway.tried})


def stamps_of(file: Path) -> Stamps:
    """Of gateway.yaml and of the .env beside it."""
    return {path: stamp_of(path) for path in _files(file)}


async def _of_now(gateway: Gateway, earlier: Stamps | None = None) -> Stamps:
    """Of every file that the configuration is made of, or the one that was refused last; those of `earlier` as they were."""
    files = {*_files(gateway.file), *gateway.registry.stamps, *gateway.tried}

    def look() -> Stamps:
        known = earlier or {}
        return {path: known[path] if path in known else stamp_of(path) for path in files}

    return await asyncio.to_thread(look)


async def _reload(gateway: Gateway) -> None:
    try:
        await gateway.reload()
    except ConfigError:
        return  # the gateway has logged and counted it
    except BaseException as error:
        if is_own_cancellation(error):
            raise
        log.exception("reloading failed")


def _files(file: Path) -> tuple[Path, Path]:
    return file, file.parent / ".env"
