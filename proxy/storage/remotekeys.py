"""The KeyStore of a process that doesn't own the store: memory that the owner keeps up to date, changes asked of the owner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from proxy.clock import Clock
from proxy.link import Link
from proxy.storage import wire
from proxy.storage.keys import KeyRecord
from proxy.storage.sqlkeys import SqlKeys, check_changeable
from proxy.storage.writer import Writer


class RemoteKeys(SqlKeys):
    """What the owner tells goes through `remember`."""

    def __init__(self, writer: Writer, clock: Clock, records: Sequence[KeyRecord], link: Link) -> None:
        super().__init__(writer, clock, records)
        self._link = link

    async def create(self, record: KeyRecord) -> None:
        await self._link.call("create_key", wire.encode_key(record))

    async def update(self, name: str, changes: Mapping[str, Any]) -> KeyRecord:
        check_changeable(changes)
        row = wire.encode_key(replace(KeyRecord(name=name, digest=""), **changes))
        return wire.decode_key(await self._link.call("update_key", name, row, list(changes)))

    async def revoke(self, name: str) -> KeyRecord:
        return wire.decode_key(await self._link.call("revoke_key", name))
