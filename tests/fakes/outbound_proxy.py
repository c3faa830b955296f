"""A small HTTP proxy on loopback: tunnels what is CONNECTed, passes on what names its whole address."""

from __future__ import annotations

import asyncio
import re
from typing import Self

_TARGET = re.compile(rb"(?P<method>[A-Z]+) (?:http://)?(?P<host>[^:/ ]+):(?P<port>\d+)(?P<path>[^ ]*) ")


class OutboundProxy:
    """refuses: a status line's end, such as "407 Proxy Authentication Required", for all that is asked."""

    def __init__(self, refuses: str = "") -> None:
        self.heads: list[bytes] = []
        """Of each connection, as the proxy got it."""
        self._refuses = refuses
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        target = _TARGET.match(head)
        if self._refuses or target is None:
            writer.write(f"HTTP/1.1 {self._refuses or '400 Bad Request'}\r\nContent-Length: 0\r\n\r\n".encode())
            writer.close()
            return
        far_reader, far_writer = await asyncio.open_connection(target["host"].decode(), int(target["port"]))
        if target["method"] == b"CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            far_writer.write(b"%b %b %b" % (target["method"], target["path"], head[target.end() :]))
        try:
            await asyncio.gather(_pipe(reader, far_writer), _pipe(far_reader, writer))
        finally:
            writer.close()
            far_writer.close()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    writer.close()
