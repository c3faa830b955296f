"""A client that says what no HTTP library would: bytes, sleeps, FIN and RST, over a plain socket."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.e2e import files

BODY = json.dumps({"model": "m", "messages": files.HI}).encode()
_STATUS = re.compile(rb"HTTP/1\.[01] (?P<status>[2-5][0-9]{2}) ")


def chat(*headers: str, body: bytes = BODY, version: str = "1.1", framed: bool = True) -> bytes:
    """A chat request. framed: with the Content-Length that its body has."""
    lines = [f"POST /v1/chat/completions HTTP/{version}", "Host: a", f"Authorization: Bearer {files.KEY}", *headers]
    if framed:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def said(url: str, *steps: bytes | float, within_s: float = 4.0) -> bytes:
    """Send bytes, sleep numbers of seconds, then hear the gateway out until it closes. Raises: TimeoutError."""
    async with connected(url) as (reader, writer), asyncio.timeout(within_s):
        for step in steps:
            if isinstance(step, bytes):
                writer.write(step)
            else:
                await asyncio.sleep(step)
        heard = b""
        try:
            while data := await reader.read(65536):
                heard += data
        except ConnectionResetError:
            pass
        return heard


def statuses(heard: bytes) -> list[int]:
    """Of each answer in what was heard."""
    return [int(found["status"]) for found in _STATUS.finditer(heard)]


def error_of(heard: bytes) -> Any:
    """The error of the only answer."""
    return json.loads(heard.partition(b"\r\n\r\n")[2])["error"]
