"""Whatever clients send, the series of /metrics stay as many as gateway.yaml makes them."""

from __future__ import annotations

import asyncio
import random
import string
from contextlib import AsyncExitStack

from tests.e2e import files
from tests.e2e.conftest import Serve, Served
from tests.e2e.rawclient import connected

REQUESTS = 10_000
AT_ONCE = 50
LETTERS = string.ascii_letters + string.digits + '-_./"\\{}=,é牌'


def invented(dice: random.Random) -> str:
    return "".join(dice.choices(LETTERS, k=dice.randrange(1, 60)))


async def send(served: Served, dice: random.Random) -> None:
    """One request with something that a client made up: a model, a key, a path, a method, headers or fields."""
    body = {"model": "m", "messages": files.HI, "user": invented(dice)}
    headers = {"authorization": f"Bearer {files.KEY}", "x-client-request-id": "".join(dice.choices(string.hexdigits, k=20))}
    path, method = "/v1/chat/completions", "POST"
    match dice.randrange(6):
        case 0:
            body["model"] = invented(dice)
        case 1:
            headers["authorization"] = f"Bearer sk-{''.join(dice.choices(string.hexdigits, k=30))}"
        case 2:
            path = f"/p{''.join(dice.choices(string.hexdigits + '/', k=20))}"
        case 3:
            path, method = f"/v1/models/{''.join(dice.choices(string.hexdigits, k=20))}", "GET"
        case 4:
            body[invented(dice)] = invented(dice)
            body["temperature"] = dice.choice([1, -5, invented(dice)])
        case _:
            method = dice.choice(["PUT", "DELETE", "".join(dice.choices(string.ascii_uppercase, k=6))])
    async with served.session.request(method, path, json=body, headers=headers) as response:
        await response.read()


async def series(served: Served) -> set[str]:
    """Names and labels. Stalls of the loop are what a busy machine makes, whatever clients send."""
    text = (await served.ask("GET", "/metrics")).raw.decode()
    lines = [line for line in text.splitlines() if not line.startswith(("#", "paifang_loop_stalls"))]
    return {line.rpartition(" ")[0] for line in lines}


async def test_ten_thousand_inventions_make_no_series(serve: Serve) -> None:
    served = await serve(
        providers={"simulator": files.SIMULATOR},
        models={"m": files.model(files.route("sim", "simulator"))},
        keys=[files.key("ci", files.KEY)],
    )
    dice = random.Random(1)
    for _ in range(4):
        await asyncio.gather(*(send(served, dice) for _ in range(AT_ONCE)))
    before = await series(served)
    for _ in range(REQUESTS // AT_ONCE):
        await asyncio.gather(*(send(served, dice) for _ in range(AT_ONCE)))
    after = await series(served)
    assert after == before
    assert len(after) < 300


async def test_scrapers_that_read_nothing_hold_nobody_up(serve: Serve) -> None:
    served = await serve(
        providers={"simulator": files.SIMULATOR},
        models={"m": files.model(files.route("sim", "simulator"))},
        keys=[files.key("ci", files.KEY)],
    )
    async with AsyncExitStack() as scrapers:
        for _ in range(20):
            _, writer = await scrapers.enter_async_context(connected(served.url))
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n" * 50)
        await asyncio.sleep(0.3)
        async with asyncio.timeout(2):
            assert (await served.chat("m")).status == 200
            assert (await served.ask("GET", "/metrics")).status == 200
