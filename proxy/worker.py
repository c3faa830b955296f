"""A worker: one of several processes that serve. Started by a crew, which it is linked to by the descriptor it is given.

It serves on the crew's listening sockets, works on the crew's store, takes the configuration that the crew has taken, and
leaves when it is told to. SIGTERM makes it leave, too, to be replaced; SIGINT and SIGHUP, which a terminal sends to every
process, are the crew's to answer. Without its crew nothing can be written, so it accepts nothing more, breaks off what runs and
ends; if it hangs just then and can't, a thread ends it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog

from proxy.adminforward import forwarded
from proxy.adminoff import absent
from proxy.clock import Clock, SystemClock
from proxy.configfile import Source
from proxy.configsections import StoreConfig
from proxy.errors import ConfigError
from proxy.eventloop import run
from proxy.fleet import Member
from proxy.gateway import Company, Gateway
from proxy.handover import receive
from proxy.link import Answer, LinkLost
from proxy.linkedhealth import LinkedHealth
from proxy.logs import log_to
from proxy.rates import LinkedRates
from proxy.serve import prepare_memory
from proxy.storage.guest import Guest
from proxy.storage.store import Store

LOST = "the process that owns the ledger is gone"
LOOK_EVERY_S = 1.0

log = structlog.get_logger("paifang")


class Worker:
    """One process's work, from `run` to its end."""

    _gateway: Gateway
    _fleet: Member
    _health: LinkedHealth

    def __init__(self) -> None:
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._all_drained = asyncio.Event()
        self._succeeded = False
        self._orphaned = False
        self._guest = Guest(None, "process", SystemClock())
        loop = asyncio.get_running_loop()
        # The others go on, so nothing need be refused.
        loop.add_signal_handler(signal.SIGTERM, self._leave, True)
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)

    async def run(self, end: socket.socket) -> int:
        """end: of the link to the crew. Returns the exit status."""
        taken = await asyncio.to_thread(receive, end)
        answers: dict[str, Answer] = {
            "read": self._read,
            "reload": self._reload,
            "leave": self._leave,
            "hurry": self._go_now,
            "drained": self._all_drained.set,
            "follow": self._follow,
            "circuit": lambda *said: self._health.hear(*said),
            "beat": lambda: None,
            "outcome": lambda *said: self._health.hear_outcome(*said),
        }
        welcome = await self._guest.connect(taken.end, answers, self._lost)
        link = self._guest.link
        self._fleet = Member(link, welcome["workers"])
        self._health = LinkedHealth(link, SystemClock())
        company = Company(
            open_store=self._store,
            source=Source(welcome["text"], welcome["environment"]),
            rates=LinkedRates(link),
            health=self._health,
            fleet=self._fleet,
        )
        try:
            self._gateway = gateway = await Gateway.open(Path(welcome["file"]), os.environ, company=company)
        except ConfigError:
            self._stop.set()  # the link ends with the store, which says nothing of the crew
            raise
        log_to(secrets=lambda: [*gateway.snapshot.secrets, *gateway.transport.secrets()])
        hang_s = gateway.snapshot.config.server.hang_s
        threading.Thread(target=_end_without, args=(os.getppid(), hang_s), name="orphan", daemon=True).start()
        try:
            gateway.address = welcome["address"]
            gateway.drained = self._drained
            token = gateway.snapshot.config.admin.token
            await gateway.serve_on(taken.main, forwarded(Path(welcome["control"]), token) if token else absent())
            prepare_memory()
            link.tell("serving")
            await self._stop.wait()
        finally:
            await gateway.close(self._hurry, succeeded=self._succeeded, farewell=self._say_farewell)
        return 1 if self._orphaned else 0

    async def _store(self, section: StoreConfig, file: Path, clock: Clock) -> Store:
        return self._guest.store

    def _read(self, name: str) -> Any:
        return self._fleet.read(name)

    async def _reload(self, text: str, environment: Mapping[str, str]) -> bool:
        try:
            await self._gateway.reload(Source(text, environment))
        except ConfigError:
            return False  # the gateway has logged it
        return True

    def _follow(self, followed: bool) -> None:
        """Tell the crew of requests that are over, or no longer."""
        tell = self._guest.link.tell
        self._gateway.app.events.forward = (lambda event: tell("event", event)) if followed else None

    def _leave(self, succeeded: bool) -> None:
        self._succeeded = succeeded
        self._stop.set()

    async def _drained(self) -> None:
        self._guest.link.tell("drained")
        await self._all_drained.wait()

    def _go_now(self) -> None:
        self._hurry.set()
        self._all_drained.set()

    def _lost(self) -> None:
        if not self._stop.is_set():
            self._orphaned = True
            log.critical("this worker ends: " + LOST)
            # Whoever comes next may have the same listening socket, or want the same port.
            self._succeeded = True
        self._guest.writer.lost(LOST)
        self._go_now()
        self._stop.set()

    def _say_farewell(self) -> None:
        self._guest.link.tell("farewell", {name: self._fleet.read(name) for name in self._fleet.offers})


def _end_without(parent: int, hang_s: float) -> None:
    """End this process a while after its parent, whatever its event loop does: it would keep the listening socket."""
    while os.getppid() == parent:
        time.sleep(LOOK_EVERY_S)
    time.sleep(hang_s)
    os._exit(1)


async def _work(descriptor: int) -> int:
    try:
        end = socket.socket(fileno=descriptor)
        end.set_inheritable(False)
        return await Worker().run(end)
    except LinkLost:
        return 1
    except ConfigError as error:
        log.critical("a worker can't take the configuration", problems=str(error))
        return 2


if __name__ == "__main__":
    log_to()
    sys.exit(run(_work(int(sys.argv[1]))))
