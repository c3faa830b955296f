"""The crew: `server.workers` processes that serve, kept up by this one, which owns the store and the listening sockets.

    starting ──▶ serving ──▶ gone ──▶ starting      by itself: counted, and replaced after a while that grows with each failure
                    │    └─▶ leaving ──▶ gone       told to: the gateway ends, or it can't take a new configuration
                    └─▶ hung ──▶ gone               it answers nothing for server.hang_s: killed, and then as by itself

This process takes no requests, so nothing that a request does can end it. A worker works on the store over its link, and is
told over it what a gateway alone is told by signals and files. What it counted and what it held is not lost with it, and what
it learns of routes the others know.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from proxy.fleet import Alone
from proxy.hand import START_S, Hand
from proxy.leaving import GRACE_S
from proxy.link import Answer
from proxy.rates import KeptRates

if TYPE_CHECKING:
    from proxy.gateway import Gateway

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 10.0
STEADY_S = 10.0
"""Who has served for so long did not fail to start."""
ASK_EVERY_S = 5.0
"""How much of what a worker counts may be lost if it is killed."""
LOOK_EVERY_S = 0.1

log = structlog.get_logger("paifang")


class CrewError(Exception):
    """The workers don't start. The message is one line."""


class Crew(Alone):
    """As a Fleet, it is the part of this process, which serves nobody but knows everyone."""

    _gateway: Gateway
    _rates: KeptRates

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__()
        self.workers = 1
        self.restarts = 0
        self._environ = {name: value for name, value in environ.items() if not name.startswith("LISTEN_")}
        self._serving: dict[Hand, None] = {}
        self._drained: set[Hand] = set()
        """Those that leave and have nothing left to do."""
        self._keeping: set[asyncio.Task[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._leaving = False
        self._replacing = asyncio.Lock()

    async def start(self, count: int, gateway: Gateway, rates: KeptRates, control: Path) -> None:
        """Start every worker, and keep them up. Returns when all of them serve. Raises: CrewError."""
        self.workers, self._gateway, self._rates = count, gateway, rates
        gateway.reloaded = self.reload
        gateway.health.tell = self._spread
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
        for hand in self._serving:
            hand.tell("leave", succeeded)
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
        """Have every worker take the configuration that this process has taken. Who can't goes on with the old one until it is
        replaced: one at a time, so that the others go on serving if nobody can start with the new one."""
        await asyncio.gather(*(self._reload(hand) for hand in [*self._serving]))

    def _spread(self, name: str, *values: Any, but: Hand | None = None) -> None:
        """Tell all workers, except for the one that has told it."""
        for hand in self._serving:
            if hand is not but:
                hand.tell(name, *values)

    def _follow(self, followed: bool) -> None:
        for hand in self._serving:
            hand.tell("follow", followed)

    async def gather(self, name: str) -> Sequence[Any]:
        await asyncio.gather(*(self._ask(hand, name) for hand in [*self._serving]))
        # At once, so that what ends in between is counted once.
        return [self.read(name), *(hand.said[name] for hand in self._serving if name in hand.said)]

    async def _keep(self, number: int, control: Path, first: asyncio.Event) -> None:
        """Keep one place filled. Ends when the crew leaves, or if the first worker never serves."""
        pause_s = FIRST_PAUSE_S
        while not self._leaving:
            hand = self._hand(number)
            try:
                await self._run(hand, control, first)
            except OSError as error:
                log.error("a worker can't be started", worker=number, error=str(error))
            if self._leaving or not first.is_set():
                return
            self.restarts += 1
            status = None if hand.process is None else hand.process.returncode
            log.error("a worker ended by itself and is replaced", worker=number, status=status, restarts=self.restarts)
            since_s = hand.serving_since_s
            if since_s is not None and asyncio.get_running_loop().time() - since_s > STEADY_S:
                pause_s = FIRST_PAUSE_S
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _hand(self, number: int) -> Hand:
        def spread(name: str, *values: Any) -> None:
            self._spread(name, *values, but=hand)

        hand = Hand(number, self._gateway, self._rates, spread)
        return hand

    async def _run(self, hand: Hand, control: Path, first: asyncio.Event) -> None:
        gateway = self._gateway

        def serving() -> None:
            self._serving[hand] = None
            first.set()
            hand.serves()
            if gateway.app.events.followed:
                hand.tell("follow", True)
            if self._leaving:
                hand.tell("leave", False)
            elif hand.source is not gateway.source:
                self._beside(self._reload(hand))

        def drained() -> None:
            self._drained.add(hand)
            self._tell_drained()

        answers: dict[str, Answer] = {
            "serving": serving,
            "gather": self.gather,
            "event": gateway.app.events.tell,
            "drained": drained,
        }
        await hand.work(self._environ, answers, lambda: self._gone(hand), control=str(control), workers=self.workers)

    def _gone(self, hand: Hand) -> None:
        self._serving.pop(hand, None)
        self._drained.discard(hand)
        self._tell_drained()
        for name, said in hand.said.items():
            if name in self.offers:
                self.offers[name][1](said)
        hand.said = {}

    def _tell_drained(self) -> None:
        """Let them end once nobody has anything left to do."""
        if self._leaving and self._drained == self._serving.keys():
            self._spread("drained")

    async def _ask(self, hand: Hand, name: str) -> None:
        said = await hand.ask(name)
        if said is not None and hand in self._serving:
            hand.said[name] = said

    def _beside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask_regularly(self) -> None:
        while True:
            await asyncio.sleep(ASK_EVERY_S)
            for name in [*self.offers]:
                await asyncio.gather(*(self._ask(hand, name) for hand in [*self._serving]))

    async def _reload(self, hand: Hand) -> None:
        if not await hand.reload():
            log.error("a worker could not take the configuration and is replaced", worker=hand.number)
            self._beside(self._replace(hand))

    async def _replace(self, hand: Hand) -> None:
        """Let a worker leave that has an old configuration, and wait until another serves in its place."""
        async with self._replacing:
            if hand not in self._serving or hand.source is self._gateway.source:
                return
            hand.tell("leave", True)
            # Who comes in its place may take many starts.
            while hand in self._serving or all(other.number != hand.number for other in self._serving):  # noqa: ASYNC110
                await asyncio.sleep(LOOK_EVERY_S)

    async def _hurry(self, hurry: asyncio.Event) -> None:
        await hurry.wait()
        for hand in self._serving:
            hand.tell("hurry")


def worker_count(configured: int) -> int:
    """configured: 0 for one per core that this process may use."""
    if configured:
        return configured
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
