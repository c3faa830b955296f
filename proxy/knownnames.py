"""The names that a report may be narrowed to: those of gateway.yaml and the store, and those of requests of the past."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from proxy.configtypes import did_you_mean
from proxy.errors import NotFound

if TYPE_CHECKING:
    from proxy.gateway import Gateway

MOST_LISTED = 20


async def check_known(gateway: Gateway, where: Mapping[str, str]) -> None:
    """A report of what never was would be empty, and look like one of what did nothing.

    where: {what a report is narrowed to: its name}; users and requests have the names that clients give them, and any pass.
    Raises: NotFound: with the nearest name; LedgerUnavailable.
    """
    for what, name in where.items():
        if not name or what in ("user", "request"):
            continue
        known = set(_current(gateway, what))
        if name not in known:
            known |= await _stored(gateway, what)
        if name not in known:
            raise NotFound(no_such(what, name, known), param=what)


def no_such(what: str, name: str, known: Iterable[str]) -> str:
    """The message about a name that is none: with the nearest known one, or some of them."""
    names = sorted(filter(None, known))
    listed = f", …, {len(names)} in all" if len(names) > MOST_LISTED else ""
    told = f"; those there are: {', '.join(names[:MOST_LISTED])}{listed}." if names else "; there is none at all."
    return f"There is no {what} {name[:64]!r}{did_you_mean(name, names) or told}"


async def _stored(gateway: Gateway, what: str) -> set[str]:
    """Raises: LedgerUnavailable."""
    names = await gateway.store.reports.names(what)
    return names | {wallet.name for wallet in await gateway.store.wallets.list()} if what == "wallet" else names


def _current(gateway: Gateway, what: str) -> Iterable[str]:
    snapshot = gateway.snapshot
    match what:
        case "key":
            return [record.name for record in (*snapshot.static_keys.values(), *gateway.app.keys.list())]
        case "model":
            return snapshot.models
        case "family":
            return [entry.family for entry in snapshot.models.values()]
        case "route":
            return snapshot.routes
        case "provider":
            return snapshot.providers
        case _:
            return snapshot.config.wallets
