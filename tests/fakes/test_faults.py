"""What a test can script: each fault as a plain HTTP client meets it, and what the fake bills for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, Literal

import aiohttp
import pytest

from tests.fakes import Answer, FakeArk, FakeOpenAI, eventually, pieces

MODEL = "doubao-1-5-pro-32k-250115"
BODY: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}
STREAM = BODY | {"stream": True}


class Client:
    """Posts to the fake's chat door."""

    def __init__(self, fake: FakeArk, session: aiohttp.ClientSession) -> None:
        self.url = f"{fake.base_url}/chat/completions"
        self.session = session

    def post(self, body: dict[str, Any]) -> Any:
        return self.session.post(self.url, json=body, allow_redirects=False)


@pytest.fixture
async def client(fake_ark: FakeArk) -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {fake_ark.key}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        yield Client(fake_ark, session)


async def test_the_next_event_waits_for_a_step(fake_ark: FakeArk, client: Client) -> None:
    pacer = fake_ark.stepwise()
    first = asyncio.create_task(pacer.step())
    async with client.post(STREAM) as response:
        for _ in range(7):
            frame = await first
            assert await response.content.readexactly(len(frame)) == frame
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(response.content.read(1), 0.01)
            first = asyncio.create_task(pacer.step())
        assert await first == b"data: [DONE]\n\n"
        assert await pacer.step() == b""
    assert fake_ark.billed == [(MODEL, 4, 6, 0)]


async def test_steps_work_from_another_event_loop() -> None:
    fake = FakeArk()
    with fake.run_in_thread() as base_url:
        pacer = fake.stepwise()
        headers = {"Authorization": f"Bearer {fake.key}"}
        step = asyncio.create_task(pacer.step())
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(f"{base_url}/chat/completions", json=STREAM) as response,
        ):
            frame = await step
            assert await response.content.readexactly(len(frame)) == frame
            response.close()
        with pytest.raises(ConnectionResetError):
            await pacer.step()


async def test_a_stream_that_the_client_leaves_is_billed_so_far(fake_ark: FakeArk, client: Client) -> None:
    pacer = fake_ark.stepwise()
    step = asyncio.create_task(pacer.step())
    async with client.post(STREAM) as response:
        await step
        await pacer.step()
        response.close()
    await eventually(lambda: fake_ark.requests[0].hung_up)
    assert fake_ark.billed == [(MODEL, 4, 2, 0)]
    with pytest.raises(ConnectionResetError):
        await pacer.step()


@pytest.mark.parametrize("how", ["fin", "rst"])
async def test_a_cut_connection(fake_ark: FakeArk, client: Client, how: Literal["fin", "rst"]) -> None:
    fake_ark.cut_stream(after=2, how=how)
    with pytest.raises(aiohttp.ClientPayloadError):
        async with client.post(STREAM) as response:
            await response.read()
    assert fake_ark.billed == [(MODEL, 4, 2, 0)]
    async with client.post(STREAM) as response:
        assert (await response.read()).endswith(b"data: [DONE]\n\n")


async def test_a_stream_that_ends_early_in_good_order(fake_ark: FakeArk, client: Client) -> None:
    fake_ark.cut_stream(after=2, how="eof")
    async with client.post(STREAM) as response:
        assert (await response.read()).count(b"data: ") == 2


@pytest.mark.parametrize("done", [False, True])
async def test_an_error_event_in_the_stream(fake_ark: FakeArk, client: Client, done: bool) -> None:
    fake_ark.error_midstream(after=1, code="InternalServiceError", message="lost it.", done=done)
    async with client.post(STREAM) as response:
        events = (await response.read()).split(b"\n\n")
    assert events[1].startswith(b'data: {"error":{"code":"InternalServiceError","message":"lost it. Request id:')
    assert events[2:] == ([b"data: [DONE]", b""] if done else [b""])


async def test_an_error_under_200(fake_ark: FakeArk, client: Client) -> None:
    fake_ark.fail_next(200, "InternalServiceError")
    async with client.post(BODY) as response:
        assert response.status == 200
        assert (await response.json())["error"]["code"] == "InternalServiceError"
    assert fake_ark.billed == []


async def test_failures_come_in_order_and_run_out(fake_ark: FakeArk, client: Client) -> None:
    fake_ark.fail_next(429, "ServerOverloaded", times=2, headers={"Retry-After": "7"})
    fake_ark.fail_next(503, "InternalServiceError")
    seen = []
    for _ in range(4):
        async with client.post(BODY) as response:
            seen.append((response.status, response.headers.get("Retry-After")))
    assert seen == [(429, "7"), (429, "7"), (503, None), (200, None)]


async def test_a_failure_can_wait_for_its_model(fake_ark: FakeArk, client: Client) -> None:
    fake_ark.fail_next(500, "InternalServiceError", model="glm-5-2-260617")
    async with client.post(BODY) as response:
        assert response.status == 200
    async with client.post(BODY | {"model": "glm-5-2-260617"}) as response:
        assert response.status == 500


async def test_replies_that_are_not_the_providers(fake_ark: FakeArk, client: Client) -> None:
    fake_ark.html_next()
    fake_ark.redirect_next("http://127.0.0.1:1/elsewhere")
    fake_ark.empty_next()
    async with client.post(BODY) as response:
        assert (response.status, response.content_type) == (200, "text/html")
    async with client.post(BODY) as response:
        assert (response.status, response.headers["Location"]) == (307, "http://127.0.0.1:1/elsewhere")
    async with client.post(BODY) as response:
        assert (response.status, await response.read()) == (404, b"")


async def test_delays(fake_ark: FakeArk, client: Client) -> None:
    fake_ark.delay(before_s=0.05, between_s=0.01)
    began = time.monotonic()
    async with client.post(STREAM) as response:
        await response.read()
    assert time.monotonic() - began >= 0.05 + 8 * 0.01


async def test_paths_that_do_not_exist_answer_with_nothing(fake_ark: FakeArk, client: Client) -> None:
    async with client.session.post(f"{fake_ark.base_url}/tokenization", json=BODY) as response:
        assert (response.status, await response.read()) == (404, b"")


async def test_headers_and_bodies_are_kept(fake_ark: FakeArk, client: Client) -> None:
    raw = b'{"model": "m", "messages": null}'
    sent = {"X-Client-Request-Id": "mine"}
    async with client.session.post(client.url, data=raw, headers=sent) as response:
        assert response.headers["X-Client-Request-Id"] == "mine"
        assert response.headers["X-Request-Id"] == fake_ark.requests[0].id
    [received] = fake_ark.requests
    assert (received.raw, received.body) == (raw, {"model": "m", "messages": None})
    assert (received.method, received.path) == ("POST", "/api/v3/chat/completions")


@pytest.mark.parametrize("raw", [b"", b"{", b"[1]", b'{"model":1}', b'{"messages":3}'])
async def test_bodies_that_make_no_sense(fake_ark: FakeArk, client: Client, raw: bytes) -> None:
    async with client.session.post(client.url, data=raw) as response:
        assert response.status == 400


async def test_a_scripted_answer(fake_openai: FakeOpenAI) -> None:
    fake_openai.answer = Answer(text="One two three.", reasoning="Hm.")
    fake_openai.cached_tokens = 2
    headers = {"Authorization": f"Bearer {fake_openai.key}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{fake_openai.base_url}/chat/completions", json=BODY) as response,
    ):
        answer = await response.json()
    assert answer["choices"][0]["message"]["content"] == "One two three."
    assert pieces("One two three.") == ["One", " two", " three", "."]
    assert fake_openai.billed == [(MODEL, 4, 6, 2)]
