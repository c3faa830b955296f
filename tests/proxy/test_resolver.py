from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest

from proxy.resolver import Resolver

FAMILY = socket.AddressFamily


async def test_a_name_that_there_is() -> None:
    [found, *_] = await Resolver().resolve("localhost", 80, FAMILY.AF_INET)
    assert (found["hostname"], found["host"], found["port"], found["family"]) == ("localhost", "127.0.0.1", 80, FAMILY.AF_INET)


@pytest.mark.parametrize("name", ["nowhere.invalid", "a" * 70 + ".example"])
async def test_a_name_that_there_is_not(name: str) -> None:
    with pytest.raises(OSError, match=name):
        await Resolver().resolve(name, 80)


async def test_an_address_on_an_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    info = (FAMILY.AF_INET6, socket.SOCK_STREAM, 6, "", ("fe80::1", 80, 0, 2))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [info])
    assert [found["host"] for found in await Resolver().resolve("linked", 80)] == ["fe80::1%2"]


async def test_names_that_hang_hold_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    released, ask = threading.Event(), socket.getaddrinfo

    def silent(name: str, *more: Any, **others: Any) -> Any:
        if name == "silent.example":
            released.wait()
        return ask("localhost", *more, **others)

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    hanging = [asyncio.ensure_future(Resolver().resolve("silent.example", 80)) for _ in range(50)]
    try:
        await asyncio.sleep(0.05)
        async with asyncio.timeout(1):
            await asyncio.to_thread(int)
            assert await Resolver().resolve("other.example", 80)
    finally:
        hanging.pop().cancel()
        released.set()
    assert all(await asyncio.gather(*hanging))
