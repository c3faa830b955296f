"""The crew: `server.workers` processes that serve, kept up by this one, which owns the store and the listening sockets.

    starting ──▶ serving ──▶ gone ──▶ starting      by itself: counted, and replaced after a while that grows with each failure
                         └─▶ leaving ──▶ gone       told to: the gateway ends

This process takes no requests, so nothing that a request does can end it. A worker works on the store over its link, and is
told over it what a gateway alone is told by signals and files. What it counted and what it held is not lost with it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from proxy.configfile import Source
from proxy.fleet import Alone
from proxy.handover import send
from proxy.leaving import GRACE_S
from proxy.link import Answer, LinkLost
from proxy.peers import Peer
from proxy.rates import KeptRates, RatesDesk

if TYPE_CHECKING:
    from proxy.gateway import Gateway

START_S = 60.0
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 10.0
STEADY_S = 10.0
"""Who has served for so long did not fail to start."""
GATHER_S = 1.0
"""How long a scrape waits for a worker; then it counts with what that said last."""
ASK_EVERY_S = 5.0
"""How much of what a worker counts may be lost if it is killed."""
RELOAD_S = 30.0

log = structlog.get_logger("paifang")


class CrewError(Exception):
    """The workers don't start. The message is one line."""


class Worker:
    """One process, from its start to its end."""

    process: asyncio.subprocess.Process
    peer: Peer

    def __init__(self, number: int, source: Source, rates: KeptRates) -> None:
        self.number = number
        self.source = source
        """Of the configuration it was started with."""
        self.rates = RatesDesk(rates)
        self.said: dict[str, Any] = {}
        """{name: what it had counted when it was last asked}."""


class Crew(Alone):
    """As a Fleet, it is the part of this process, which serves nobody but knows everyone."""

    _gateway: Gateway
    _rates: KeptRates

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__()
        self.workers = 1
        self.restarts = 0
        self._environ = {name: value for name, value in environ.items() if not name.startswith("LISTEN_")}
        self._serving: dict[Worker, None] = {}
        self._keeping: set[asyncio.Task[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._leaving = False

    async def start(self, count: int, gateway: Gateway, rates: KeptRates, control: Path) -> None:
        """Start every worker, and keep them up. Returns when all of them serve. Raises: CrewError."""
        self.workers, self._gateway, self._rates = count, gateway, rates
        gateway.reloaded = self.reload
        gateway.app.events.on_followed = self._follow
        first = [asyncio.Event() for _ in range(self.workers)]
        for number, event in enumerate(first, 1):
            self._keeping.add(asyncio.create_task(self._keep(number, control, event)))
        waiting = [asyncio.create_task(event.wait()) for event in first]
        try:
            async with asyncio.timeout(START_S):
                while not all(event.is_set() for event in first):
                    done, _ = await asyncio.wait((*self._keeping, *waiting), return_when=asyncio.FIRST_COMPLETED)
                    if done & self._keeping:
                        raise CrewError("a worker did not start; what it said above tells why")
                    waiting = [task for task in waiting if not task.done()]
        except TimeoutError:
            raise CrewError(f"the workers did not start within {START_S:g} s") from None
        finally:
            for task in waiting:
                task.cancel()
        self._beside(self._ask_regularly())

    async def leave(self, hurry: asyncio.Event, *, succeeded: bool) -> None:
        """Let every worker leave as a gateway does, and wait for its end."""
        if not self._keeping:
            return
        self._leaving = self._gateway.leaving = True
        for task in self._tasks:
            task.cancel()
        for worker in self._serving:
            worker.peer.link.tell("leave", succeeded)
        hurrying = asyncio.create_task(self._hurry(hurry))
        try:
            server = self._gateway.snapshot.config.server
            patience_s = server.drain_delay_s + server.drain_timeout_s + 3 * GRACE_S
            _, late = await asyncio.wait(self._keeping, timeout=patience_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        finally:
            hurrying.cancel()

    async def reload(self) -> None:
        """Have every worker take the configuration that this process has taken; who can't is replaced."""
        await asyncio.gather(*(self._reload(worker) for worker in [*self._serving]))

    def _follow(self, followed: bool) -> None:
        for worker in self._serving:
            worker.peer.link.tell("follow", followed)

    async def gather(self, name: str) -> Sequence[Any]:
        await asyncio.gather(*(self._ask(worker, name) for worker in [*self._serving]))
        # At once, so that what ends in between is counted once.
        return [self.read(name), *(worker.said[name] for worker in self._serving if name in worker.said)]

    async def _keep(self, number: int, control: Path, first: asyncio.Event) -> None:
        """Keep one place filled. Ends when the crew leaves, or if the first worker never serves."""
        pause_s = FIRST_PAUSE_S
        while not self._leaving:
            worker = Worker(number, self._gateway.source, self._rates)
            started_s = asyncio.get_running_loop().time()
            await self._run(worker, control, first)
            if self._leaving or not first.is_set():
                return
            self.restarts += 1
            status = worker.process.returncode
            log.error("a worker ended by itself and is replaced", worker=number, status=status, restarts=self.restarts)
            if asyncio.get_running_loop().time() - started_s > STEADY_S:
                pause_s = FIRST_PAUSE_S
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _run(self, worker: Worker, control: Path, first: asyncio.Event) -> None:
        gateway = self._gateway
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "proxy.worker", str(theirs.fileno())]
        worker.process = await asyncio.create_subprocess_exec(
            *command, pass_fds=[theirs.fileno()], stdin=asyncio.subprocess.DEVNULL, env=self._environ
        )
        theirs.close()

        def serving() -> None:
            self._serving[worker] = None
            first.set()
            log.info("a worker serves", worker=worker.number, pid=worker.process.pid)
            if gateway.app.events.followed:
                worker.peer.link.tell("follow", True)
            if self._leaving:
                worker.peer.link.tell("leave", False)
            elif worker.source is not gateway.source:
                self._beside(self._reload(worker))

        answers: dict[str, Answer] = {
            "serving": serving,
            "farewell": worker.said.update,
            "gather": self.gather,
            "event": gateway.app.events.tell,
            "rates.take": worker.rates.take,
            "rates.look": worker.rates.look,
            "rates.end": worker.rates.end,
        }
        try:
            send(ours, gateway.main_sockets, ())
            worker.peer = await gateway.peers.add(
                ours,
                f"worker {worker.number}",
                answers,
                lambda: self._gone(worker),
                file=str(gateway.file),
                address=gateway.address,
                text=worker.source.text,
                environment=worker.source.environment,
                control=str(control),
            )
            await worker.process.wait()
            # What it said last may still be on its way.
            await worker.peer.link.closed
        finally:
            _kill(worker.process)

    def _gone(self, worker: Worker) -> None:
        self._serving.pop(worker, None)
        worker.rates.close()
        for name, said in worker.said.items():
            if name in self.offers:
                self.offers[name][1](said)
        worker.said = {}
        if worker.process.returncode is None:
            # Without its link it can do nothing but finish what runs; it knows, and does.
            asyncio.get_running_loop().call_later(GRACE_S, _kill, worker.process)

    async def _ask(self, worker: Worker, name: str) -> None:
        try:
            async with asyncio.timeout(GATHER_S):
                said = await worker.peer.link.call("read", name)
        except (LinkLost, TimeoutError):
            return
        if worker in self._serving:
            worker.said[name] = said

    def _beside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask_regularly(self) -> None:
        while True:
            await asyncio.sleep(ASK_EVERY_S)
            for name in [*self.offers]:
                await asyncio.gather(*(self._ask(worker, name) for worker in [*self._serving]))

    async def _reload(self, worker: Worker) -> None:
        source = self._gateway.source
        try:
            async with asyncio.timeout(RELOAD_S):
                taken = await worker.peer.link.call("reload", source.text, source.environment)
        except LinkLost:
            return
        except TimeoutError:
            taken = False
        if not taken:
            log.error("a worker could not take the configuration and is replaced", worker=worker.number)
            worker.peer.link.tell("leave", True)

    async def _hurry(self, hurry: asyncio.Event) -> None:
        await hurry.wait()
        for worker in self._serving:
            worker.peer.link.tell("hurry")


def worker_count(configured: int) -> int:
    """configured: 0 for one per core that this process may use."""
    if configured:
        return configured
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
