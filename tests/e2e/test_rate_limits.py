"""Rate limits as clients meet them: OpenAI's error, its headers, and a slot that comes back however a request ends."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from tests.e2e import files
from tests.e2e.conftest import Answered, Fakes, Serve, Served, StartProcess
from tests.fakes import FakeOpenAI

MESSAGES: Any = files.HI


async def limited(serve: Serve, fake: FakeOpenAI, **limits: int) -> Served:
    return await serve(
        providers={"relay": files.relay(fake)},
        models={"doubao-seed": files.model(files.route("relay", "relay"))},
        keys=[files.key("ci", files.KEY, rate_limit=limits)],
    )


@pytest.fixture
async def client() -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(api_key=files.KEY, base_url="http://127.0.0.1:9/v1", max_retries=0) as made:
        yield made


def statuses(answers: list[Answered]) -> Counter[tuple[int, str]]:
    return Counter((answered.status, answered.error["param"] if answered.status != 200 else "") for answered in answers)


async def test_the_sdk_sees_a_rate_limit_error(serve: Serve, fake_openai: FakeOpenAI, client: openai.AsyncOpenAI) -> None:
    served = await limited(serve, fake_openai, requests_per_minute=2, tokens_per_minute=5000)
    at = client.with_options(base_url=f"{served.url}/v1")
    for left in ("1", "0"):
        raw = await at.chat.completions.with_raw_response.create(model="doubao-seed", messages=MESSAGES)
        assert raw.headers["x-ratelimit-limit-requests"] == "2"
        assert raw.headers["x-ratelimit-remaining-requests"] == left
        assert raw.headers["x-ratelimit-reset-requests"] == "1m0s"
        assert raw.headers["x-ratelimit-limit-tokens"] == "5000"
        assert 3000 < int(raw.headers["x-ratelimit-remaining-tokens"]) < 5000
    with pytest.raises(openai.RateLimitError) as caught:
        await at.chat.completions.create(model="doubao-seed", messages=MESSAGES)
    error = caught.value
    assert (error.code, error.type, error.param) == ("rate_limit_exceeded", "rate_limit_error", "requests_per_minute")
    assert 50 <= int(error.response.headers["retry-after"]) <= 60
    assert error.response.headers["x-ratelimit-remaining-requests"] == "0"
    assert "x-should-retry" not in error.response.headers
    assert len(fake_openai.requests) == 2


async def test_the_sdk_waits_as_long_as_it_is_told(
    serve: Serve, fake_openai: FakeOpenAI, client: openai.AsyncOpenAI
) -> None:
    served = await limited(serve, fake_openai, concurrent=1)
    at = client.with_options(base_url=f"{served.url}/v1", max_retries=1)
    fake_openai.delay(before_s=0.5)
    started_s = time.monotonic()
    answers = await asyncio.gather(
        *(at.chat.completions.create(model="doubao-seed", messages=MESSAGES) for _ in range(2))
    )
    assert 1 <= time.monotonic() - started_s < 5
    assert [answer.choices[0].finish_reason for answer in answers] == ["stop", "stop"]


async def test_a_hundred_at_once_where_eight_may(serve: Serve, fake_openai: FakeOpenAI) -> None:
    served = await limited(serve, fake_openai, concurrent=8)
    fake_openai.delay(before_s=1.5)
    answers = await asyncio.gather(*(served.chat(stream=number % 2 == 0) for number in range(100)))
    assert statuses(answers) == {(200, ""): 8, (429, "concurrent"): 92}
    assert len(fake_openai.requests) == 8
    fake_openai.delay(before_s=0.2)
    assert statuses(await asyncio.gather(*(served.chat() for _ in range(8)))) == {(200, ""): 8}


async def test_a_failure_gives_its_place_and_its_tokens_back(serve: Serve, fake_openai: FakeOpenAI) -> None:
    served = await limited(serve, fake_openai, concurrent=1, tokens_per_minute=200, requests_per_minute=5)
    fake_openai.fail_next(500, "server_error", "oops", times=6)
    for stream in (False, True):
        assert (await served.chat(max_tokens=100, stream=stream)).status == 502
    fake_openai.cut_stream(after=0)
    assert (await served.chat(max_tokens=100, stream=True)).status == 502
    assert (await served.chat("nowhere", max_tokens=100)).status == 404
    answered = await served.chat(max_tokens=100)
    assert (answered.status, answered.headers["x-ratelimit-remaining-requests"]) == (200, "1")
    used = answered.json["usage"]["total_tokens"]
    following = await served.chat(max_tokens=100)
    first, second = (int(told.headers["x-ratelimit-remaining-tokens"]) for told in (answered, following))
    assert (following.status, second) == (200, first - used)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_gives_its_place_back(serve: Serve, fake_openai: FakeOpenAI, stream: bool) -> None:
    served = await limited(serve, fake_openai, concurrent=1)
    fake_openai.delay(before_s=0 if stream else 3, between_s=3)
    asking = asyncio.create_task(served.chat(stream=stream))
    async with asyncio.timeout(5):
        while not fake_openai.requests:
            await asyncio.sleep(0.01)
    assert (await served.chat()).error["param"] == "concurrent"
    asking.cancel()
    fake_openai.delay()
    async with asyncio.timeout(2):
        while (await served.chat()).status != 200:
            await asyncio.sleep(0.02)


def test_a_key_of_the_store_is_limited_by_command(gateway_process: StartProcess, fakes: Fakes) -> None:
    process = gateway_process(**{**files.standard(fakes.ark, fakes.openai), "keys": None})
    made = json.loads(process.cli("keys", "create", "ann", "--rpm", "2", "--json").stdout)
    with openai.OpenAI(api_key=made["key"], base_url=f"{process.url}/v1", max_retries=0) as client:

        def ask() -> None:
            client.chat.completions.create(model="doubao-seed", messages=MESSAGES)

        ask()
        assert process.cli("keys", "update", "ann", "--rpm", "1").returncode == 0
        with pytest.raises(openai.RateLimitError):
            ask()
        assert process.cli("keys", "update", "ann", "--rpm", "none").returncode == 0
        ask()
        assert process.cli("keys", "revoke", "ann").returncode == 0
        with pytest.raises(openai.AuthenticationError) as caught:
            ask()
        assert caught.value.code == "key_revoked"
