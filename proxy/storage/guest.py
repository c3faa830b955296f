"""A store that another process owns, as this one uses it over a link."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy.engine import URL

from proxy.clock import Clock
from proxy.link import Answer, Link, LinkLost
from proxy.storage import wire
from proxy.storage.linkedwriter import LinkedWriter
from proxy.storage.remotekeys import RemoteKeys
from proxy.storage.sqlkeys import SqlKeys, read_keys
from proxy.storage.store import Store, store_over


class Guest:
    """This process's end: `connect` it, then use `store`."""

    store: Store
    link: Link

    def __init__(self, url: URL | None, durability: str, clock: Clock) -> None:
        """url: where the store is, if it is to be this process's own once its owner lets go of it; else None."""
        self.writer = LinkedWriter(url, durability, clock)
        self._clock = clock
        self._heir = url is not None
        self._welcome: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()

    async def connect(
        self, end: socket.socket, answers: Mapping[str, Answer], lost: Callable[[], None]
    ) -> Mapping[str, Any]:
        """end: a connected Unix socket. answers: to what else the owner asks. Returns what the owner welcomes this one with.

        Raises: LinkLost: the owner went away at once.
        """
        own: dict[str, Answer] = {"welcome": self._begin, "key": self._remember, "store": self.writer.state}
        self.link = await Link.over(end, {**own, **answers}, lost)
        self.writer.use(self.link)
        await asyncio.wait((self._welcome, self.link.closed), return_when=asyncio.FIRST_COMPLETED)
        if not self._welcome.done():
            raise LinkLost
        return self._welcome.result()

    async def inherit(self) -> None:
        """Own the store from now on. Raises: StoreError: it can be tried again."""
        for record in await self.writer.inherit(read_keys):
            self.store.keys.remember(record)

    def _begin(self, rows: Sequence[Mapping[str, Any]], welcome: Mapping[str, Any]) -> None:
        records = [wire.decode_key(row) for row in rows]
        if self._heir:
            keys = SqlKeys(self.writer, self._clock, records)
        else:
            keys = RemoteKeys(self.writer, self._clock, records, self.link)
        self.store = store_over(self.writer, keys)
        self._welcome.set_result(welcome)

    async def _remember(self, row: Mapping[str, Any]) -> None:
        record = wire.decode_key(row)
        self.store.keys.remember(record)
        if self.store.keys.spread is not None:
            await self.store.keys.spread(record)
