"""A Door's provider on loopback: it answers every scenario over HTTP, at a path of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from proxy.testkit.door import Door


@asynccontextmanager
async def provider_of(door: Door) -> AsyncIterator[str]:
    """Serve the door's answers; yields the server's URL.

    As a provider's `base_url`, URL/SCENARIO answers whatever comes with the scenario's replies, one after the other and
    again from the first.
    """
    asked: Counter[str] = Counter()

    async def answer(request: web.Request) -> web.StreamResponse:
        name = request.match_info["scenario"]
        replies = door.replies(name)
        reply = replies[asked[name] % len(replies)]
        asked[name] += 1
        await request.read()
        response = web.StreamResponse(status=reply.status, headers=reply.headers)
        if not reply.streams:
            response.content_length = len(reply.body)
        await response.prepare(request)
        for line in reply.body.splitlines(keepends=True):
            await response.write(line)
        return response

    app = web.Application()
    app.router.add_route("*", "/{scenario}/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
