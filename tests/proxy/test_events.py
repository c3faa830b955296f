"""Following live requests: what is told, to whom, and what a follower that is too slow loses."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proxy import events as events_module
from proxy.control import AdminRefusal
from proxy.errors import ModelNotFound
from proxy.events import Events, Filter
from tests.proxy.gateways import STATIC_KEY, WITH_STATIC_KEY, opened


def told(number: int = 0, **members: Any) -> dict[str, Any]:
    return {"request_id": f"req_{number}", "key": "ci", "model": "seed", "status": 200, **members}


@pytest.mark.parametrize(
    ("wanted", "taken"),
    [
        (Filter(), "abc"),
        (Filter(key="ci"), "ac"),
        (Filter(model="seed"), "ab"),
        (Filter(errors=True), "bc"),
        (Filter(key="ci", model="other", errors=True), "c"),
    ],
)
async def test_filters(wanted: Filter, taken: str) -> None:
    hub = Events()
    with hub.follow(wanted) as follower:
        hub.tell(told(request_id="a"))
        hub.tell(told(request_id="b", key=None, status=401))
        hub.tell(told(request_id="c", model="other", status=429))
        news = await follower.next()
    assert news is not None and "".join(event["request_id"] for event in news[1]) == taken


async def test_who_is_too_slow_loses_the_oldest_and_is_told_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_module, "MOST_WAITING", 3)
    hub = Events()
    with hub.follow(Filter()) as slow, hub.follow(Filter()) as quick:
        for number in range(5):
            hub.tell(told(number))
            assert await quick.next() == (0, [told(number)])
        assert await slow.next() == (2, [told(2), told(3), told(4)])
        hub.tell(told(5))
        assert await slow.next() == (0, [told(5)])


async def test_at_the_end_followers_get_what_waits_and_leave() -> None:
    hub = Events()
    with hub.follow(Filter()) as follower:
        hub.tell(told())
        hub.close()
        assert [await follower.next(), await follower.next()] == [(0, [told()]), None]
    assert not hub.followed
    with hub.follow(Filter()) as late:
        assert await late.next() is None


async def frames(response: aiohttp.ClientResponse, count: int) -> list[tuple[str, Any]]:
    found = []
    while len(found) < count:
        lines = (await response.content.readuntil(b"\n\n")).decode().splitlines()
        if lines[0].startswith("event: "):
            found.append((lines[0].removeprefix("event: "), json.loads(lines[1].removeprefix("data: "))))
    return found


async def test_over_the_socket_requests_are_told_without_what_clients_wrote(tmp_path: Path) -> None:
    async with opened(tmp_path, WITH_STATIC_KEY) as (gateway, caller):
        port = await gateway.listen("127.0.0.1", 0)
        async with (
            caller._session.get("/admin/v1/events") as response,
            aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
        ):
            await response.content.readuntil(b"\n\n")
            for key, model in ((STATIC_KEY, "doubao"), (STATIC_KEY, "invented"), ("sk-invented-0123456789", "seed")):
                body = {"model": model, "messages": [{"role": "user", "content": "a secret prompt"}], "user": "invented"}
                headers = {"authorization": f"Bearer {key}", "x-client-request-id": "invented"}
                async with session.post("/v1/chat/completions", json=body, headers=headers) as answer:
                    await answer.read()
            found = await frames(response, 3)
    assert {name for name, _ in found} == {"request"}
    served, unknown, stranger = (event for _, event in found)
    assert (served["key"], served["model"], served["route"], served["status"]) == ("ci", "seed", "seed/sim", 200)
    assert served["output_tokens"] > 0 and served["debit_usd"].startswith("0.0000")
    assert (unknown["model"], unknown["code"], stranger["key"], stranger["stage"]) == (None, ModelNotFound.code, None, "auth")
    text = json.dumps(found)
    assert "invented" not in text and "secret" not in text and "sk-" not in text


async def test_a_follower_that_does_not_read_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_module, "MOST_WAITING", 10)
    async with opened(tmp_path, WITH_STATIC_KEY) as (gateway, caller):
        hub = gateway.app.events
        async with caller._session.get("/admin/v1/events") as response:
            await response.content.readuntil(b"\n\n")
            for number in range(20_000):
                hub.tell(told(number, padding="x" * 500))
                if number % 10 == 0:
                    await asyncio.sleep(0)
            seen, lost = 0, 0
            while seen + lost < 20_000:
                for name, event in await frames(response, 1):
                    seen, lost = seen + (name == "request"), lost + event.get("lost", 0)
    assert lost > 10_000


async def test_a_filter_that_is_none(tmp_path: Path) -> None:
    async with opened(tmp_path, WITH_STATIC_KEY) as (_, caller):
        for query in ({"keys": "ci"}, {"errors": "yes"}):
            with pytest.raises(AdminRefusal):
                await caller.call("GET", "events", **query)
