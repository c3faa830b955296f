"""A new process takes over from a running one, and no request is lost.

    new    asks over the control socket, and waits on a socket beside it
    old    connects there, sends its listening sockets, and does the ledger's work for the new one as for a worker
    new    serves, on the same listening sockets, and says so
    old    says what it knows of rates and routes, accepts nothing more, lets running answers finish (however long they are),
           closes the store, ends
    new    owns the store, with the holds it has made meanwhile, and listens on the control socket

What waits to be accepted waits in the kernel, for whoever comes. If the new one fails before it serves, nothing has happened.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from proxy.control import Caller, link_to, private_socket
from proxy.errors import BadRequest
from proxy.link import LinkLost
from proxy.listening import close
from proxy.rates import KeptRates
from proxy.storage.guest import Guest
from proxy.storage.sqlite import OwnerError

if TYPE_CHECKING:
    from proxy.gateway import Gateway

MEET_S = 10.0
"""How long the two may take to meet."""
RELEASE_S = 15.0
"""How long the old one may take from its last word to the end of its lock on the store."""
MOST_SOCKETS = 64

log = structlog.get_logger("paifang")


@dataclass(frozen=True, slots=True)
class Taken:
    """What the old process has handed over."""

    end: socket.socket
    """Of the link to it."""
    main: Sequence[socket.socket]
    metrics: Sequence[socket.socket]


def meeting_place(control: Path) -> Path:
    """Where the new process waits for the old one."""
    return control.with_suffix(".next")


async def take_over(caller: Caller, control: Path) -> Taken:
    """The new process asks for everything. Raises: AdminRefusal, ControlError, OSError."""
    place = meeting_place(control)
    listener = await asyncio.to_thread(private_socket, place)
    try:
        listener.listen(1)
        listener.settimeout(MEET_S)
        meeting = asyncio.create_task(asyncio.to_thread(_receive, listener))
        try:
            await caller.call("POST", "handover")
        except BaseException:
            listener.shutdown(socket.SHUT_RDWR)
            with suppress(OSError):
                await meeting
            raise
        return await meeting
    finally:
        listener.close()
        await asyncio.to_thread(place.unlink, missing_ok=True)


async def hand_over(gateway: Gateway, control: Path) -> None:
    """The old process gives everything to the new one, and ends once that serves. Raises: BadRequest."""
    if gateway.leaving or gateway.heir is not None:
        raise BadRequest("This gateway is ending already, or handing over to another.")
    try:
        end = await asyncio.to_thread(_send, meeting_place(control), gateway.main_sockets, gateway.metrics_sockets)
    except OSError as error:
        raise BadRequest(f"Nobody waits beside the control socket to take over ({error.strerror}).") from error

    def lost() -> None:
        gateway.heir = None
        if not gateway.succeeded.is_set():
            log.warning("the process that was to take over is gone; this one goes on")

    log.info("handing over to another process")
    gateway.heir = await gateway.peers.add(end, "successor", {"serving": lambda: _succeeded(gateway)}, lost)


def _succeeded(gateway: Gateway) -> dict[str, Any]:
    """The new process serves. Returns what it goes on with."""
    gateway.succeeded.set()
    rates, health = gateway.app.rates, gateway.health
    return {
        "rates": rates.said() if isinstance(rates, KeptRates) else {},
        "circuits": list(health.said()),
        "limits": health.said_limits(),
    }


async def serving(gateway: Gateway, guest: Guest) -> None:
    """The new process says that it serves, and goes on with what the old one has counted and learned."""
    try:
        said = await guest.link.call("serving")
    except LinkLost:
        return  # it is gone already
    if isinstance(gateway.app.rates, KeptRates):
        gateway.app.rates.hear(said["rates"])
    for key, circuit in said["circuits"]:
        gateway.health.hear(key, circuit)
        if gateway.health.tell is not None:
            gateway.health.tell("circuit", key, circuit)
    for key, windows in said["limits"].items():
        if (limits := gateway.health.limits(key)) is not None:
            limits.hear(*windows)


async def inherit(gateway: Gateway, guest: Guest, control: Path) -> None:
    """Wait until the old process has let go of the store, and own it. Raises: StoreError."""
    await guest.link.closed
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + RELEASE_S
    while True:
        try:
            await guest.inherit()
            break
        except OwnerError:
            if loop.time() > deadline_s:
                raise
        await asyncio.sleep(0.02)
    await gateway.listen_control(control)
    await asyncio.to_thread(link_to, control, gateway.file)
    log.info("took over from the process before; the store is this one's now")


def send(end: socket.socket, main: Sequence[socket.socket], metrics: Sequence[socket.socket]) -> None:
    """What `receive` receives. Raises: OSError."""
    socket.send_fds(end, [bytes([len(main)])], [listener.fileno() for listener in (*main, *metrics)])


def _send(place: Path, main: Sequence[socket.socket], metrics: Sequence[socket.socket]) -> socket.socket:
    end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        end.settimeout(MEET_S)
        end.connect(str(place))
        send(end, main, metrics)
    except BaseException:
        end.close()
        raise
    return end


def _receive(listener: socket.socket) -> Taken:
    end, _ = listener.accept()
    return receive(end)


def receive(end: socket.socket) -> Taken:
    """The listening sockets that are sent over a link before anything else. Waits for them. Raises: OSError."""
    end.settimeout(MEET_S)
    (count,), descriptors, _, _ = socket.recv_fds(end, 1, MOST_SOCKETS)
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
    for listening in sockets:
        listening.setblocking(False)
    return Taken(end, sockets[:count], sockets[count:])


def discard(taken: Taken) -> None:
    """It could not be used."""
    taken.end.close()
    close([*taken.main, *taken.metrics])
