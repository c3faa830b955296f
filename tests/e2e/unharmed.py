"""What must hold after every fault: nothing is left running, held, open or borrowed, and the next request is fine."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.e2e.conftest import Served
from tests.fakes import eventually

_OPEN_FILES = Path("/proc/self/fd")
_TESTS = Path(__file__).parents[1]


async def unharmed(served: Served, *, holds: int = 0) -> None:
    """holds: that are kept, as what they cover may have been served. The gateway has a model `simulated`."""
    gateway = served.gateway
    await eventually(lambda: not gateway.pipeline.running and not len(gateway.tail))
    busy = [pool.busy for pool in gateway.transport._pools.values()]
    assert not any(busy), "a connection to a provider is still lent out"
    await eventually(lambda: gateway.app.ledger.unsettled <= holds)
    await nothing_of(lambda: tasks_left(served))
    await nothing_of(lambda: connections_left(served))
    assert (await served.chat("simulated")).status == 200
    assert (await served.ask("GET", "/readyz")).status == 200


async def nothing_of(leaks: Callable[[], Sequence[str]]) -> None:
    """Wait until there are no leaks. Raises: AssertionError: it names those that stay."""
    try:
        await eventually(lambda: not leaks())
    except AssertionError:
        raise AssertionError(f"left behind: {leaks()}") from None


def tasks_left(served: Served) -> list[str]:
    """Tasks that neither ran when the gateway had started, nor are a test's, nor serve a connection."""
    return [repr(task) for task in asyncio.all_tasks() - served.tasks if not _expected(task.get_coro())]


def _expected(work: Any) -> bool:
    if work.__qualname__ == "RequestHandler.start":
        return True
    return _TESTS in Path(work.cr_code.co_filename).parents


def connections_left(served: Served) -> list[str]:
    """Sockets to providers that no pool keeps, and sockets of clients that have closed their end; where the system tells."""
    open_now = set(_connections())
    pools = served.gateway.transport._pools.values()
    providers = {pool._address.url.port for pool in pools}
    to_providers = [ends for ends in open_now if ends[1][1] in providers]
    kept = sum(len(pool._idle) for pool in pools)
    lost = [str(ends) for ends in to_providers] if len(to_providers) > kept else []
    port = int(served.url.rpartition(":")[2])
    return lost + [str((own, other)) for own, other in open_now if own[1] == port and (other, own) not in open_now]


def _connections() -> Iterator[tuple[Any, Any]]:
    """(own address, the other end's) of each TCP connection of this process."""
    if not _OPEN_FILES.is_dir():
        return
    for file in _OPEN_FILES.iterdir():
        try:
            if not str(file.readlink()).startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(file.name))) as each:
                if each.family == socket.AF_INET:
                    yield each.getsockname(), each.getpeername()
        except OSError:
            continue  # closed meanwhile, or one that listens
