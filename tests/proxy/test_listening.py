"""Listening sockets: bound, handed over, and shared evenly."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import Counter

import pytest
from structlog.testing import capture_logs

from proxy.listening import InheritedError, SharedListener, bind, checked, close, inherited, tell_of_another


class Greeter(asyncio.Protocol):
    """Says a name to whoever connects."""

    def __init__(self, name: bytes) -> None:
        self._name = name

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._name)
        transport.close()


async def greeted(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    name = await reader.read()
    writer.close()
    return name


async def test_every_address_of_a_host_has_the_same_port() -> None:
    sockets = await bind("localhost", 0)
    assert len({listener.getsockname()[1] for listener in sockets}) == 1
    close(sockets)


async def test_a_port_that_is_taken_leaves_nothing_open() -> None:
    [taken] = await bind("127.0.0.1", 0)
    with pytest.raises(OSError, match="in use"):
        await bind("127.0.0.1", taken.getsockname()[1])
    taken.close()


async def test_a_takeover_to_another_address_than_the_file_s_is_told() -> None:
    [held] = await bind("127.0.0.1", 0)
    port = held.getsockname()[1]
    for host, wanted in (("127.0.0.1", port), ("127.0.0.1", 0)):
        with capture_logs() as logs:
            await tell_of_another(host, wanted, [held])
        assert logs == []
    for host, wanted in (("127.0.0.1", port - 1), ("0.0.0.0", port)):
        with capture_logs() as logs:
            await tell_of_another(host, wanted, [held])
        [line] = logs
        assert (line["log_level"], line["configured"], line["listens"]) == (
            "warning", f"{host}:{wanted}", [f"127.0.0.1:{port}"],
        )  # fmt: skip
    held.close()


async def test_those_who_share_a_socket_share_a_burst() -> None:
    [listener] = await bind("127.0.0.1", 0)
    port = listener.getsockname()[1]
    shared = [SharedListener(listener.dup(), lambda name=name: Greeter(name)) for name in (b"a", b"b")]
    counts = Counter(await asyncio.gather(*(greeted(port) for _ in range(40))))
    assert counts.total() == 40 and min(counts[b"a"], counts[b"b"]) >= 10
    shared[0].close()
    assert set(await asyncio.gather(*(greeted(port) for _ in range(10)))) == {b"b"}
    shared[1].close()
    # What comes now waits for whoever accepts next.
    waiting = asyncio.create_task(greeted(port))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    later = SharedListener(listener, lambda: Greeter(b"c"))
    assert await waiting == b"c"
    later.close()


def test_nothing_is_inherited_that_was_meant_for_another_process() -> None:
    assert inherited({}) == ([], [])
    assert inherited({"LISTEN_PID": str(os.getpid() + 1), "LISTEN_FDS": "1"}) == ([], [])


def test_only_a_listening_tcp_socket_will_do() -> None:
    with socket.socket() as idle, socket.socket(socket.AF_UNIX) as local, socket.socket() as good:
        good.listen()
        for wrong in (idle, local):
            with pytest.raises(InheritedError, match=f"descriptor {wrong.fileno()} of LISTEN_FDS does not listen on TCP"):
                checked(wrong.fileno())
        made = checked(os.dup(good.fileno()))
        assert made.getsockname() == good.getsockname() and not made.get_inheritable()
        made.close()
