"""Names of providers → addresses."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

_NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


class Resolver(AbstractResolver):
    """Asks the system, in a thread for each name that nobody waits for at exit: a name server may be silent for minutes, and
    a few such names would take all the threads that everything else shares."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Raises: OSError: there is no such name, or it can't be found out now."""
        loop = asyncio.get_running_loop()
        found: asyncio.Future[list[Any]] = loop.create_future()

        def ask() -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                try:
                    infos = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
                except (OSError, UnicodeError) as error:
                    loop.call_soon_threadsafe(_fail, found, OSError(f"{host}: {error}"))
                else:
                    loop.call_soon_threadsafe(_tell, found, infos)

        threading.Thread(target=ask, name=f"resolve {host}", daemon=True).start()
        return [
            ResolveResult(hostname=host, host=_text(address), port=port, family=kind, proto=proto, flags=_NUMERIC)
            for kind, _, proto, _, address in await found
        ]

    async def close(self) -> None:
        """Nothing is kept."""


def _tell(found: asyncio.Future[list[Any]], infos: list[Any]) -> None:
    if not found.done():
        found.set_result(infos)


def _fail(found: asyncio.Future[list[Any]], error: OSError) -> None:
    if not found.done():
        found.set_exception(error)


def _text(address: Any) -> str:
    """address: ("192.0.2.1", 80) or ("fe80::1", 80, 0, 2), with the interface that it is on."""
    name: str = address[0]
    return f"{name}%{address[3]}" if len(address) > 3 and address[3] and "%" not in name else name
