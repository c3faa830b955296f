"""The other processes that work on the store this one owns: workers, and the gateway that takes over from it.

Each has a link of its own. Over it they are told what they must know from memory: every change of a key, which whoever made it
waits for, and whether the store can write.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from proxy.link import Answer, Link, LinkLost
from proxy.storage import wire
from proxy.storage.desk import Desk
from proxy.storage.keys import KeyRecord
from proxy.storage.store import Store

KEY_TAKEN_S = 2.0
"""How long a change of a key waits for a process that doesn't say it has taken it."""
LOOK_EVERY_S = 0.1

log = structlog.get_logger("paifang")


class Peer:
    """One of them. Connect it before it is used."""

    link: Link

    def __init__(self, store: Store, name: str) -> None:
        self.desk = Desk(store.writer, store.keys)
        self.name = name
        self._told: tuple[str | None, int] | None = None

    def tell_state(self) -> None:
        """How the store is, if that has changed."""
        state = self.desk.state()
        if state != self._told:
            self._told = state
            self.link.tell("store", *state)


class Peers:
    """All of them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._peers: dict[Peer, None] = {}
        self._telling: asyncio.Task[None] | None = None

    async def add(
        self, end: socket.socket, name: str, answers: Mapping[str, Answer], lost: Callable[[], None], **welcome: Any
    ) -> Peer:
        """end: of a connected Unix socket. answers: to what only this one asks. welcome: what else it begins with."""
        peer = Peer(self._store, name)

        def gone() -> None:
            self._peers.pop(peer, None)
            peer.desk.close()
            lost()

        peer.link = await Link.over(end, {**peer.desk.answers(), **answers}, gone)
        self._peers[peer] = None
        self._store.keys.spread = self._spread
        if self._telling is None:
            self._telling = asyncio.create_task(self._tell_states())
        peer.link.tell("welcome", [wire.encode_key(record) for record in self._store.keys.list()], welcome)
        peer.tell_state()
        return peer

    def stop_reading(self) -> None:
        """The store is about to close: what was asked until now is done, the rest is for who owns it next."""
        for peer in self._peers:
            peer.link.stop_reading()

    async def close(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
        closed = [peer.link.closed for peer in self._peers]
        for peer in self._peers:
            peer.link.close()
        if closed:
            await asyncio.wait(closed, timeout=KEY_TAKEN_S)

    async def _spread(self, record: KeyRecord) -> None:
        row = wire.encode_key(record)
        await asyncio.gather(*(self._tell_key(peer, row) for peer in self._peers))

    async def _tell_key(self, peer: Peer, row: Mapping[str, Any]) -> None:
        try:
            async with asyncio.timeout(KEY_TAKEN_S):
                await peer.link.call("key", row)
        except LinkLost:
            pass
        except TimeoutError:
            log.error("a process did not take the change of a key in time", process=peer.name, key=row["name"])

    async def _tell_states(self) -> None:
        while True:
            for peer in self._peers:
                peer.tell_state()
            await asyncio.sleep(LOOK_EVERY_S)
