"""An answer that is known whole: its head and body leave in one write.

aiohttp's Response gets there in a dozen steps, which cost as much as three hooks of the chain.
"""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.helpers import rfc822_formatted_time


class WholeResponse(web.StreamResponse):
    """Sent by `prepare`; there is nothing to write after that."""

    def __init__(self, status: int, body: bytes, fields: Mapping[str, str], *, closes: bool) -> None:
        """fields: the headers, without those that follow from body and connection. closes: the connection ends with it."""
        super().__init__(status=status)
        self._content = body
        self._fields = fields
        self._closes = closes
        self._sent = False

    @property
    def prepared(self) -> bool:
        return self._sent

    @property
    def keep_alive(self) -> bool:
        return not self._closes

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Raises: ConnectionResetError: the client is gone."""
        if self._sent:
            return None
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client left before it was answered")
        self._sent = True
        self._closes = self._closes or not request.keep_alive
        transport.write(self._head(request) + self._content)
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """All of it has been written."""

    def _head(self, request: web.BaseRequest) -> bytes:
        version = request.version
        lines = [f"HTTP/{version.major}.{version.minor} {self.status} {self.reason}"]
        lines += [f"{name}: {value}" for name, value in self._fields.items()]
        lines += [f"content-length: {len(self._content)}", f"date: {rfc822_formatted_time()}"]
        if self._closes:
            lines.append("connection: close")
        elif version < HttpVersion11:
            lines.append("connection: keep-alive")
        head = "\r\n".join([*lines, "", ""])
        if head.count("\n") != len(lines) + 1 or head.count("\r") != len(lines) + 1:
            raise ValueError("a header's value would begin another header")
        return head.encode()
