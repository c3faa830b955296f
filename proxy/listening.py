"""Listening sockets: bound by ourselves, or handed over by systemd's socket activation."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping, Sequence

BACKLOG = 1024
"""Connections that may wait to be accepted, as they do while one process takes over from another."""
FIRST_INHERITED = 3
"""SD_LISTEN_FDS_START of sd_listen_fds(3)."""
METRICS = "metrics"


class InheritedError(Exception):
    """What was handed over can't be listened on. The message is one line: what, and the remedy."""


async def bind(host: str, port: int) -> list[socket.socket]:
    """Listen on every address that `host` stands for, and with port 0 on the same port of each. Raises: OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
            listener = socket.socket(family, socket.SOCK_STREAM)
            sockets.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((address[0], sockets[0].getsockname()[1] if len(sockets) > 1 else port, *address[2:]))
            listener.listen(BACKLOG)
            listener.setblocking(False)
    except BaseException:
        close(sockets)
        raise
    return sockets


def close(sockets: Sequence[socket.socket]) -> None:
    for listener in sockets:
        listener.close()


def inherited(environ: Mapping[str, str]) -> tuple[list[socket.socket], list[socket.socket]]:
    """The sockets that systemd holds for us: for the API, and those it names "metrics". Both empty if there are none.

    Raises: InheritedError. Source: sd_listen_fds(3), "Environment".
    """
    main: list[socket.socket] = []
    metrics: list[socket.socket] = []
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return main, metrics
    count = int(environ.get("LISTEN_FDS", "0"))
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    for position in range(count):
        name = names[position] if position < len(names) else ""
        (metrics if name == METRICS else main).append(checked(FIRST_INHERITED + position))
    return main, metrics


def checked(descriptor: int) -> socket.socket:
    """The listening TCP socket of a descriptor that came from outside. Raises: InheritedError."""
    os.set_inheritable(descriptor, False)
    try:
        listener = socket.socket(fileno=descriptor)
        listens = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise InheritedError(f"descriptor {descriptor} of LISTEN_FDS is no socket ({error.strerror})") from error
    if not listens or listener.family not in (socket.AF_INET, socket.AF_INET6):
        listener.detach()
        raise InheritedError(f"descriptor {descriptor} of LISTEN_FDS does not listen on TCP; use ListenStream=host:port")
    listener.setblocking(False)
    return listener
