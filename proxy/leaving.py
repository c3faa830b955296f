"""How a gateway ends: first it says that it isn't ready, then running answers finish, then what is left is broken off.

    delay    /readyz says no, everything is served as before (server.drain_delay_s)
    drain    running answers get server.drain_timeout_s; new requests are refused with `draining`, by workers that have nothing
             left to do as long as others have
             or, where another process has the listening socket, are left to it: this one accepts nothing more, and connections
             that stand get an answer to their next request and are asked to connect anew
    break    what still runs gets an error and a settled charge
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from proxy.gateway import Gateway
    from proxy.storage.store import Store

GRACE_S = 5
"""For answers that had to be broken off: time to settle and to say so."""
LOOK_EVERY_S = 0.05
LOOK_AT_LEDGER_EVERY_S = 0.5

log = structlog.get_logger("paifang")


async def leave_with_the_ledger(store: Store, stop: asyncio.Event) -> None:
    """Set `stop` once the ledger's writer is dead: only a new process can open the store again."""
    # That hardly ever happens, so it looks rather than be told.
    while not store.writer.dead:  # noqa: ASYNC110
        await asyncio.sleep(LOOK_AT_LEDGER_EVERY_S)
    log.critical("nothing can be recorded any more: this gateway ends, running answers may finish")
    stop.set()


async def leave(gateway: Gateway, hurry: asyncio.Event, *, succeeded: bool) -> None:
    """Returns when no request runs any more.

    hurry: set, it cuts every waiting short. succeeded: another process accepts connections on the same listening socket, or
    will: none of them may be refused here.
    """
    server = gateway.snapshot.config.server
    gateway.leaving = True
    if succeeded:
        # Who follows over a connection that is to be seen off would keep it open; the other process tells on.
        gateway.app.events.close()
        await _see_off(gateway, server.drain_timeout_s, hurry)
        drained = await gateway.pipeline.drain(0)
    else:
        with suppress(TimeoutError):
            async with asyncio.timeout(server.drain_delay_s):
                await hurry.wait()
        for runner in gateway.runners:
            runner.ask_to_reconnect()
        deadline_s = asyncio.get_running_loop().time() + server.drain_timeout_s
        drained = await gateway.pipeline.drain(server.drain_timeout_s, hurry)
        if drained and gateway.drained is not None:
            # Who asks over a connection that stands is told, as where one process serves, and not cut off.
            with suppress(TimeoutError):
                async with asyncio.timeout_at(deadline_s):
                    await gateway.drained()
    if not drained:
        gateway.pipeline.shut_down()
        await gateway.pipeline.drain(GRACE_S)


async def _see_off(gateway: Gateway, timeout_s: float, hurry: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + timeout_s
    for runner in gateway.runners:
        await runner.stop_listening()
        runner.ask_to_reconnect()
    while sum(runner.close_idle() for runner in gateway.runners) or gateway.pipeline.running:
        if hurry.is_set() or loop.time() > deadline_s:
            return
        await asyncio.sleep(LOOK_EVERY_S)
