"""A provider that keeps its own meter by request, and clients that know what they were promised: for tests that kill what
stands between the two.

A token is four ASCII characters, for the provider as for the gateway's own estimate.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from proxy.jsontext import dumps

TOKEN = "word"
END = b"data: [DONE]\n\n"


@dataclass
class Bill:
    """What one request has come to at the provider."""

    prompt: int
    stream: bool
    completion: int = 0
    at_s: list[float] = field(default_factory=list)
    """When each token was generated, on the monotonic clock."""


class MeteredProvider:
    """Chat Completions over HTTP, JSON and SSE, with answers of a random length at a random pace."""

    def __init__(self, seed: int) -> None:
        self.bills: dict[str, Bill] = {}
        """{the request's `user`: its bill}."""
        self.dice = random.Random(seed)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Gives the base URL."""
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._answer)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        asked = json.loads(await request.read())
        assert asked["user"] not in self.bills, "a request was sent twice"
        bill = self.bills[asked["user"]] = Bill(len(asked["messages"][0]["content"]) // 4, asked["stream"])
        tokens = min(asked["max_tokens"], self.dice.choice((1, 5, 20, 60)))
        pace_s = self.dice.choice((0.0, 0.02, 0.1))
        if not bill.stream:
            for _ in range(tokens):
                await self._generate(bill, pace_s)
            choice = {"index": 0, "message": {"role": "assistant", "content": TOKEN * tokens}, "finish_reason": "stop"}
            return web.json_response({**HEAD, "object": "chat.completion", "choices": [choice], "usage": _usage(bill)})
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for _ in range(tokens):
            await self._generate(bill, pace_s)
            await response.write(_chunk([{"index": 0, "delta": {"content": TOKEN}, "finish_reason": None}]))
        await response.write(_chunk([{"index": 0, "delta": {}, "finish_reason": "stop"}]))
        await response.write(_chunk([], usage=_usage(bill)) + END)
        return response

    async def _generate(self, bill: Bill, pace_s: float) -> None:
        await asyncio.sleep(pace_s)
        bill.completion += 1
        bill.at_s.append(time.monotonic())


HEAD = {"id": "chatcmpl-1", "created": 1766000000, "model": "m"}


def _chunk(choices: list[Any], **more: Any) -> bytes:
    return b"data: " + dumps({**HEAD, "object": "chat.completion.chunk", "choices": choices, **more}) + b"\n\n"


def _usage(bill: Bill) -> dict[str, int]:
    total = bill.prompt + bill.completion
    return {"prompt_tokens": bill.prompt, "completion_tokens": bill.completion, "total_tokens": total}


class Clients:
    """Raw clients of one gateway that ask on and on until it dies."""

    def __init__(self, keys: list[str], seed: int) -> None:
        self.promised: dict[str, int] = {}
        """{user: nano-USD of the cost in an answer that came to its end}."""
        self.asked = 0
        self._keys = keys
        self._dice = random.Random(seed)

    async def besiege(self, port: int, count: int) -> None:
        """Returns when no client gets an answer any more."""
        await asyncio.gather(*(self._client(port, number) for number in range(count)))

    async def _client(self, port: int, number: int) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                self.asked += 1
                await self._ask(port, f"user-{self.asked}", self._keys[number % len(self._keys)], stream=number % 4 != 0)

    async def _ask(self, port: int, user: str, key: str, *, stream: bool) -> None:
        """One request over a connection of its own. Raises: OSError, IncompleteReadError: it broke off."""
        body: dict[str, Any] = {"model": "m", "user": user, "max_tokens": 80, "stream": stream}
        body["messages"] = [{"role": "user", "content": TOKEN * self._dice.randrange(1, 50)}]
        if stream:
            body["stream_options"] = {"include_usage": True}
        sent = dumps(body)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(
                b"POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n"
                b"authorization: Bearer %b\r\ncontent-length: %d\r\n\r\n%b" % (key.encode(), len(sent), sent)
            )
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 "), head
            if stream:
                answer = await reader.readuntil(END)
                told = next(line for line in answer.split(b"\n") if b'"cost":' in line)[6:]
            else:
                told = await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]))
            self.promised[user] = round(json.loads(told)["usage"]["cost"] * 1e9)
        finally:
            writer.close()
