"""Lives of the gateway on a store. Each has an epoch of its own, and its holds carry it.

The lock on the file proves that no other owner lives, so whoever opens it takes over at once.
"""

from __future__ import annotations

from sqlalchemy import func, insert, select, update

from proxy.storage.sqlite import Database
from proxy.storage.tables import owner


def begin_epoch(database: Database, now_ns: int) -> int:
    """Declare every earlier owner dead. Returns the new epoch."""
    with database.connection.begin():
        database.connection.execute(update(owner).where(owner.c.state == "live").values(state="dead"))
        epoch = (database.connection.scalar(select(func.max(owner.c.epoch))) or 0) + 1
        database.connection.execute(insert(owner).values(epoch=epoch, started_ns=now_ns, seen_ns=now_ns, state="live"))
    return epoch


def end_epoch(database: Database, epoch: int, now_ns: int) -> None:
    """The owner closes the store of its own will."""
    with database.connection.begin():
        database.connection.execute(update(owner).where(owner.c.epoch == epoch).values(state="closed", seen_ns=now_ns))
