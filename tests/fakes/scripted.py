"""A raw TCP upstream that does what a script says, for bytes and breaks that no HTTP server would send.

    async with ScriptedUpstream([READ, b"HTTP/1.1 200 OK\\r\\n", 0.2, gate, RST]) as upstream: ...

The steps of a script: bytes are sent, a number sleeps that many seconds, an asyncio.Event is awaited, READ
takes in one request, FIN ends our side, RST resets the connection, STALL stays silent until the peer leaves.
Connection n plays script n, later ones the last; a script that ends closes its connection. To close with a
request unread makes the kernel send RST in place of FIN, so READ first where that matters.
"""

from __future__ import annotations

import asyncio
import enum
import re
import socket
import ssl
import struct
from collections.abc import Sequence
from typing import Self


class Do(enum.Enum):
    READ = enum.auto()
    FIN = enum.auto()
    RST = enum.auto()
    STALL = enum.auto()


READ, FIN, RST, STALL = Do
Step = bytes | float | asyncio.Event | Do
_LENGTH = re.compile(rb"^content-length:\s*(\d+)", re.IGNORECASE | re.MULTILINE)


class ScriptedUpstream:
    def __init__(self, *scripts: Sequence[Step], tls: ssl.SSLContext | None = None) -> None:
        self._scripts = scripts
        self._tls = tls
        self.requests: list[bytes] = []
        """Head and body of each request, as they came."""
        self.connections = 0
        self.ended = 0
        """How many connections are over, whoever ended them."""
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
        for result in results:
            if isinstance(result, Exception):
                raise result

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        script = self._scripts[min(self.connections, len(self._scripts) - 1)]
        self.connections += 1
        task = asyncio.create_task(self._play(script, reader, writer))
        self._tasks.add(task)

    async def _play(self, script: Sequence[Step], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for step in script:
                await self._do(step, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # The peer left first: the script is over.
        finally:
            self.ended += 1
            writer.close()

    async def _do(self, step: Step, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        match step:
            case bytes():
                writer.write(step)
                await writer.drain()
            case asyncio.Event():
                await step.wait()
            case Do.READ:
                self.requests.append(await _read_request(reader))
            case Do.FIN:
                writer.write_eof()
            case Do.RST:
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                writer.transport.abort()
            case Do.STALL:
                await reader.read()
            case seconds:
                await asyncio.sleep(seconds)


async def _read_request(reader: asyncio.StreamReader) -> bytes:
    """One request with its Content-Length or chunked body.

    Raises: asyncio.IncompleteReadError: the peer left before the end.
    """
    head = await reader.readuntil(b"\r\n\r\n")
    if b"transfer-encoding: chunked" in head.lower():
        return head + await reader.readuntil(b"0\r\n\r\n")
    length = _LENGTH.search(head)
    return head + (await reader.readexactly(int(length[1])) if length else b"")


def http_head(status: str = "200 OK", /, **headers: str) -> bytes:
    """A response head; `content_type="text/event-stream"` becomes Content-Type."""
    lines = [f"{name.replace('_', '-').title()}: {value}\r\n" for name, value in headers.items()]
    return f"HTTP/1.1 {status}\r\n{''.join(lines)}\r\n".encode()


def chunk(data: bytes) -> bytes:
    """A piece of a chunked body; an empty one ends the body."""
    return b"%x\r\n%s\r\n" % (len(data), data)
