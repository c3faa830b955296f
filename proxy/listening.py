"""Listening sockets: bound by ourselves, or handed over by systemd's socket activation."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Mapping, Sequence

import structlog

BACKLOG = 1024
"""Connections that may wait to be accepted, as they do while one process takes over from another."""
FIRST_INHERITED = 3
"""SD_LISTEN_FDS_START of sd_listen_fds(3)."""
RETRY_ACCEPT_S = 1.0
NEXT_ACCEPT_S = 0.0003
"""Long enough for another process to wake, short enough for thousands of connections in a second."""
METRICS = "metrics"

log = structlog.get_logger("paifang")


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


async def tell_of_another(host: str, port: int, sockets: Sequence[socket.socket]) -> None:
    """Warn where sockets that a takeover has brought do not listen on this host and port; port 0 is any."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        found = []
    wanted = {address[0] for *_, address in found}
    held = [listener.getsockname()[:2] for listener in sockets]
    if wanted != {its_host for its_host, _ in held} or (port and any(its_port != port for _, its_port in held)):
        log.warning(
            "a takeover keeps the address of the gateway it follows; to move to the configured one, stop it and start again",
            configured=f"{host}:{port}",
            listens=[f"{its_host}:{its_port}" for its_host, its_port in held],
        )


class SharedListener:
    """Accepts on a listening socket that other processes accept on, too: one connection, then the others have a chance.

    asyncio accepts all that wait at once, so that whoever wakes first gets them all. One at a time, a process that is busy
    comes round seldom and gets few. With a socket for each process (SO_REUSEPORT) the kernel would deal connections out
    blindly, and those that wait for a process that ends would be lost.
    """

    def __init__(self, listener: socket.socket, make_protocol: Callable[[], asyncio.Protocol]) -> None:
        self._listener = listener
        self._make_protocol = make_protocol
        self._loop = asyncio.get_running_loop()
        self._accepting: set[asyncio.Task[object]] = set()
        self._paused: asyncio.TimerHandle | None = None
        self._resume()

    def close(self) -> None:
        if self._paused is not None:
            self._paused.cancel()
        self._loop.remove_reader(self._listener)
        self._listener.close()

    def _resume(self) -> None:
        self._paused = None
        self._loop.add_reader(self._listener, self._accept)

    def _pause(self, seconds: float) -> None:
        self._loop.remove_reader(self._listener)
        self._paused = self._loop.call_later(seconds, self._resume)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another process was faster, or the client has left
        except OSError as error:
            # Out of descriptors or memory: the socket would wake the loop without end.
            log.error("connections can't be accepted now", error=str(error))
            self._pause(RETRY_ACCEPT_S)
            return
        self._pause(NEXT_ACCEPT_S)
        connection.setblocking(False)
        task: asyncio.Task[object] = self._loop.create_task(
            self._loop.connect_accepted_socket(self._make_protocol, connection)
        )
        self._accepting.add(task)
        task.add_done_callback(self._accepting.discard)


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
