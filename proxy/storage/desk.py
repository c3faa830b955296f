"""What another process may have done by the store that this one owns: the same operations, in the same batches.

Its questions go into the writer's queue in the order they come, so a commit is shared by all processes. Should it be gone
without a word, what it left open is settled as after a crash.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

from proxy.link import Answer
from proxy.storage import wire
from proxy.storage.open_holds import OpenHolds
from proxy.storage.operations import Abandon, Operation
from proxy.storage.sqlkeys import SqlKeys
from proxy.storage.writer import Writer


class Desk:
    """Answers one other process."""

    def __init__(self, writer: Writer, keys: SqlKeys) -> None:
        self._writer = writer
        self._keys = keys
        self._open = OpenHolds()
        self._loop = asyncio.get_running_loop()

    def answers(self) -> Mapping[str, Answer]:
        return {
            "reserve": lambda *values: self._do(wire.reserve(self._future(), self._keys.find, *values)),
            "commit": lambda *values: self._do(wire.commit(self._future(), *values)),
            "expose": lambda *values: self._do(wire.expose(self._future(), *values)),
            "mark": lambda *values: self._writer.note(wire.mark(*values)),
            "abandon": lambda request_ids: self._do(Abandon(self._future(), request_ids)),
            "create_key": self._create_key,
            "update_key": self._update_key,
            "revoke_key": self._revoke_key,
        }

    def state(self) -> tuple[str | None, int]:
        """(what keeps the store from writing, how many holds are open)."""
        return self._writer.problem, self._writer.unsettled

    def close(self) -> None:
        """The other process is gone."""
        if self._open:
            self._writer.put(Abandon(None, tuple(self._open)))

    def _future(self) -> asyncio.Future[Any]:
        return self._loop.create_future()

    def _do(self, operation: Operation) -> asyncio.Future[Any]:
        future = operation.future
        assert future is not None
        self._open.asks(operation)
        future.add_done_callback(partial(self._done, operation))
        self._writer.put(operation)
        return future

    def _done(self, operation: Operation, future: asyncio.Future[Any]) -> None:
        self._open.answered(operation, refused=future.exception() is not None)

    async def _create_key(self, row: Mapping[str, Any]) -> None:
        await self._keys.create(wire.decode_key(row))

    async def _update_key(self, name: str, row: Mapping[str, Any], fields: list[str]) -> Any:
        changed = wire.decode_key(row)
        return wire.encode_key(await self._keys.update(name, {field: getattr(changed, field) for field in fields}))

    async def _revoke_key(self, name: str) -> Any:
        return wire.encode_key(await self._keys.revoke(name))


