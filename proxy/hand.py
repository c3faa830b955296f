"""A hand of the crew: one worker process, as the process sees it that has started it, from its start to its end."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import structlog

from proxy.errors import GatewayError
from proxy.handover import send
from proxy.heartbeat import silence
from proxy.leaving import GRACE_S
from proxy.link import Answer, LinkLost
from proxy.linkedhealth import HealthDesk
from proxy.peers import Peer
from proxy.rates import KeptRates, RatesDesk

if TYPE_CHECKING:
    from proxy.gateway import Gateway

START_S = 60.0
"""How long it may take until it serves."""
GATHER_S = 1.0
"""How long a scrape waits for it; then it counts with what it said last."""
RELOAD_S = 30.0

log = structlog.get_logger("paifang")


class Hand:
    """One worker."""

    peer: Peer

    def __init__(self, number: int, gateway: Gateway, rates: KeptRates, spread: Callable[..., None]) -> None:
        """spread: tells the other workers something: (name, *values)."""
        self.number = number
        self.source = gateway.source
        """Of the configuration that it has."""
        self.process: asyncio.subprocess.Process | None = None
        self.said: dict[str, Any] = {}
        """{name: what it had counted when it was last asked}."""
        self.serving_since_s: float | None = None
        """By the event loop's clock; None: it doesn't serve yet."""
        self._gateway = gateway
        self._serves = asyncio.Event()
        self._rates = RatesDesk(rates)
        self._health = HealthDesk(gateway.health, gateway.app.clock, spread)

    async def work(
        self, environ: Mapping[str, str], answers: Mapping[str, Answer], gone: Callable[[], None], **welcome: Any
    ) -> None:
        """Start it, and wait for its end, which is certain when this is over or cancelled.

        answers: to what it asks the crew. gone: called once, when its link is lost. Raises: OSError: it can't be started.
        """
        gateway = self._gateway
        ours, theirs = socket.socketpair()
        watching: asyncio.Task[None] | None = None
        try:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "proxy.worker", str(theirs.fileno()),
                pass_fds=[theirs.fileno()], stdin=asyncio.subprocess.DEVNULL, env=environ,
            )  # fmt: skip
            theirs.close()
            send(ours, gateway.main_sockets, ())
            self.peer = await gateway.peers.add(
                ours,
                f"worker {self.number}",
                {**self._answers(), **answers},
                lambda: self._lost(gone),
                file=str(gateway.file),
                address=gateway.address,
                text=self.source.text,
                environment=self.source.environment,
                **welcome,
            )
            watching = asyncio.create_task(self._watch())
            await self.process.wait()
            # What it said last may still be on its way. A child of its own may have kept its end of the link.
            await asyncio.wait((self.peer.link.closed,), timeout=GRACE_S)
            self.peer.link.close()
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
            if watching is not None:
                watching.cancel()
            self._kill()

    def tell(self, name: str, *values: Any) -> None:
        self.peer.link.tell(name, *values)

    def serves(self) -> None:
        """It has said so. Let it know what is known of the routes."""
        self.serving_since_s = asyncio.get_running_loop().time()
        self._serves.set()
        self._tell_health()
        log.info("a worker serves", worker=self.number, pid=self._pid)

    async def ask(self, name: str) -> Any:
        """What it has counted; None if it doesn't say so in time."""
        try:
            async with asyncio.timeout(GATHER_S):
                return await self.peer.link.call("read", name)
        except (LinkLost, TimeoutError):
            return None

    async def reload(self) -> bool:
        """Have it take the configuration that is in use here. Returns whether it has, or is gone."""
        source = self._gateway.source
        try:
            async with asyncio.timeout(RELOAD_S):
                taken: bool = await self.peer.link.call("reload", source.text, source.environment)
        except LinkLost:
            return True
        except (TimeoutError, GatewayError):
            return False
        if taken:
            self.source = source
            self._tell_health()
        return taken

    @property
    def _pid(self) -> int | None:
        return None if self.process is None else self.process.pid

    def _answers(self) -> dict[str, Answer]:
        rates = self._rates
        mine: dict[str, Answer] = {
            "farewell": self.said.update,
            "rates.take": rates.take,
            "rates.look": rates.look,
            "rates.end": rates.end,
        }
        return {**mine, **self._health.answers()}

    def _tell_health(self) -> None:
        for key, said in self._gateway.health.said():
            self.tell("circuit", key, said)

    async def _watch(self) -> None:
        """End it if it hangs. Nothing less than SIGKILL ends a process that is stopped, or stands still in its loop."""
        hang_s = self._gateway.snapshot.config.server.hang_s
        try:
            async with asyncio.timeout(START_S):
                await self._serves.wait()
        except TimeoutError:
            log.error("a worker does not come to serve and is killed", worker=self.number, pid=self._pid, for_s=START_S)
        else:
            await silence(self.peer.link, hang_s)
            told = "a worker answers nothing and is killed; what held it up, if it could tell, stands above with its pid"
            log.error(told, worker=self.number, pid=self._pid, for_s=hang_s)
        self._kill()

    def _lost(self, gone: Callable[[], None]) -> None:
        self._rates.close()
        self._health.close()
        gone()
        # Without its link it can do nothing but finish what runs; it knows, and does.
        asyncio.get_running_loop().call_later(GRACE_S, self._kill)

    def _kill(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
