"""GET /admin/v1/events: live requests as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from proxy.errors import BadRequest
from proxy.events import Events, Filter
from proxy.jsontext import dumps
from proxy.spanquery import check_names
from proxy.streaming import SSE_HEADERS

FILTERS = ("key", "model", "errors")
ALIVE_EVERY_S = 15
"""A comment is sent when nothing else was, so that both sides notice when the other is gone."""
ALIVE = b": alive\n\n"


def filter_of(given: Mapping[str, str]) -> Filter:
    """given: key, model, and errors=true. Raises: BadRequest."""
    check_names(given, FILTERS)
    errors = given.get("errors", "false")
    if errors not in ("true", "false"):
        raise BadRequest(f"errors is true or false, not {errors[:64]!r}.", param="errors")
    return Filter(key=given.get("key"), model=given.get("model"), errors=errors == "true")


async def follow(request: web.Request, events: Events) -> web.StreamResponse:
    """Tell of requests until the client leaves or the gateway ends: `request` events and, where some were lost, `lost`."""
    wanted = filter_of(request.query)
    response = web.StreamResponse(headers=SSE_HEADERS)
    with events.follow(wanted) as follower:
        await response.prepare(request)
        await response.write(ALIVE)
        while True:
            try:
                async with asyncio.timeout(ALIVE_EVERY_S):
                    news = await follower.next()
            except TimeoutError:
                await response.write(ALIVE)
                continue
            if news is None:
                return response
            lost, told = news
            frames = [_frame("lost", {"lost": lost})] if lost else []
            await response.write(b"".join([*frames, *(_frame("request", event) for event in told)]))


def _frame(name: str, data: Mapping[str, Any]) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), dumps(data))
