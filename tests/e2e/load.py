"""Clients that keep their connections and never pause, to see whether anything is lost while processes come and go."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from tests.e2e import files


@asynccontextmanager
async def load(url: str, clients: int, *, stream_every: int = 4, key: str = files.KEY) -> AsyncIterator[Counter[str]]:
    """{"200": answers that were whole, anything else: what went wrong}, counted while the context lasts.

    Each client has a connection of its own and sends nothing twice.
    """
    outcomes: Counter[str] = Counter()
    over = asyncio.Event()

    async def client(number: int, session: aiohttp.ClientSession) -> None:
        body = {"model": "doubao-seed", "messages": files.HI, "stream": number % stream_every == 0}
        while not over.is_set():
            try:
                async with session.post("/v1/chat/completions", json=body) as response:
                    read = await response.read()
                whole = read.endswith(b"data: [DONE]\n\n" if body["stream"] else b"}")
                outcomes[str(response.status) if whole else "cut"] += 1
            except aiohttp.ClientError as error:
                outcomes[repr(error)] += 1

    headers = {"authorization": f"Bearer {key}"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(url, connector=connector, headers=headers) as session, asyncio.TaskGroup() as group:
        for number in range(clients):
            group.create_task(client(number, session))
        try:
            yield outcomes
        finally:
            over.set()
