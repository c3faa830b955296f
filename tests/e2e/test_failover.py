"""A pool of two providers: when the second is asked, and when it must not be."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from tests.e2e import files
from tests.e2e.conftest import Serve, Served
from tests.fakes import FIN, READ, FakeArk, FakeOpenAI, ScriptedUpstream, http_head

Scripted = Callable[..., Awaitable[ScriptedUpstream]]

HELLO = "Hello, you said: hi"


def text_of(answered: Any, stream: bool) -> str:
    if not stream:
        text: str = answered.json["choices"][0]["message"]["content"]
        return text
    return "".join(event["choices"][0]["delta"].get("content") or "" for event in answered.events[:-1])


MENDABLE: list[tuple[Callable[[FakeArk], None], str]] = [
    (lambda ark: ark.fail_next(500, "InternalServiceError", "oops"), "upstream_error"),
    (lambda ark: ark.fail_next(503, "ServiceUnavailable", "oops"), "upstream_error"),
    (lambda ark: ark.fail_next(429, "ServerOverloaded", "busy"), "upstream_rate_limited"),
    (lambda ark: ark.fail_next(401, "AuthenticationError", "no"), "upstream_auth_failed"),
    (lambda ark: ark.fail_next(403, "AccountOverdueError", "no"), "upstream_quota_exhausted"),
    (lambda ark: ark.fail_next(404, "ModelNotOpen", "no"), "upstream_model_unavailable"),
    (lambda ark: ark.html_next(), "upstream_error"),
    (lambda ark: ark.redirect_next("http://127.0.0.1:1/"), "upstream_error"),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("spoil", "reason"), MENDABLE)
async def test_another_provider_answers(
    gateway: Served, fake_ark: FakeArk, spoil: Callable[[FakeArk], None], reason: str, stream: bool
) -> None:
    spoil(fake_ark)
    answered = await gateway.chat("pooled", stream=stream)
    assert (answered.status, text_of(answered, stream)) == (200, HELLO)
    assert (answered.headers["x-paifang-route"], answered.headers["x-paifang-attempts"]) == ("second", "2")
    labels = {"model": "pooled", "from": "first", "to": "second", "reason": reason}
    assert await gateway.metric("paifang_fallbacks_total", **labels) == 1
    assert await gateway.metric("paifang_route_attempts_total", route="first", outcome="ok") == 0
    assert await gateway.metric("paifang_route_attempts_total", route="second", outcome="ok") == 1


@pytest.mark.parametrize("how", ["error", "fin", "rst"])
async def test_a_stream_that_fails_before_it_said_anything(gateway: Served, fake_ark: FakeArk, how: Any) -> None:
    if how == "error":
        fake_ark.error_midstream(after=0)
    else:
        fake_ark.cut_stream(after=0, how=how)
    answered = await gateway.chat("pooled", stream=True)
    assert text_of(answered, True) == HELLO and answered.headers["x-paifang-route"] == "second"


async def test_a_stream_that_has_begun_is_not_started_again(
    gateway: Served, fake_ark: FakeArk, fake_openai: FakeOpenAI
) -> None:
    fake_ark.error_midstream(after=3)
    async with gateway.open({"model": "pooled", "messages": files.HI, "stream": True}) as response:
        assert response.headers["x-paifang-route"] == "first"
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
    assert fake_openai.requests == []


@pytest.mark.parametrize(
    ("status", "code", "ours"),
    [
        (400, "InvalidParameter", "upstream_invalid_request"),
        (400, "SensitiveContentDetected", "content_filter"),
    ],
)
async def test_a_request_at_fault_is_not_sent_twice(
    gateway: Served, fake_ark: FakeArk, fake_openai: FakeOpenAI, status: int, code: str, ours: str
) -> None:
    fake_ark.fail_next(status, code, "no")
    answered = await gateway.chat("pooled")
    assert (answered.status, answered.error["code"]) == (400, ours)
    assert answered.headers["x-paifang-attempts"] == "1" and answered.headers["x-should-retry"] == "false"
    assert fake_openai.requests == []


async def test_when_all_fail_the_last_failure_is_told(gateway: Served, fake_ark: FakeArk, fake_openai: FakeOpenAI) -> None:
    fake_ark.fail_next(429, "ServerOverloaded", "busy")
    fake_openai.fail_next(500, "server_error", "oops", times=2)
    answered = await gateway.chat("pooled")
    assert (answered.status, answered.error["code"]) == (502, "upstream_error")
    assert (answered.headers["x-paifang-route"], answered.headers["x-paifang-attempts"]) == ("second", "3")
    assert await gateway.metric("paifang_ledger_unsettled") == 0


async def test_only_the_route_that_answered_is_billed(gateway: Served, fake_ark: FakeArk, fake_openai: FakeOpenAI) -> None:
    fake_ark.fail_next(500, "InternalServiceError", "oops")
    usage = (await gateway.chat("pooled")).json["usage"]
    [bill] = fake_openai.billed
    assert (usage["input_tokens"], usage["output_tokens"]) == (bill.prompt, bill.completion)
    assert fake_ark.billed == []
    assert await gateway.metric("paifang_cost_usd_total", route="second") == pytest.approx(usage["cost"])
    assert await gateway.metric("paifang_cost_usd_total", route="first") == 0


async def test_an_unreachable_provider_is_passed_over(serve: Serve, fake_openai: FakeOpenAI) -> None:
    served = await serve(
        providers={
            "gone": {"adapter": "openai_chat", "base_url": "http://127.0.0.1:1", "api_key": "k"},
            "relay": files.relay(fake_openai),
        },
        models={
            "doubao-seed": files.model(files.route("gone", "gone"), fallbacks=["spare"]),
            "spare": files.model(files.route("relay", "relay"), family="other"),
        },
        keys=[files.key("all", files.KEY)],
    )
    answered = await served.chat()
    assert answered.headers["x-paifang-route"] == "relay" and answered.json["model"] == "doubao-seed"


async def test_weights_share_one_priority(serve: Serve, fake_openai: FakeOpenAI) -> None:
    served = await serve(
        providers={"relay": files.relay(fake_openai)},
        models={"doubao-seed": files.model(files.route("heavy", "relay", weight=3), files.route("light", "relay", weight=1))},
        keys=[files.key("all", files.KEY)],
    )
    routes = [(await served.chat()).headers["x-paifang-route"] for _ in range(8)]
    assert sorted(routes) == ["heavy"] * 6 + ["light"] * 2


async def test_nothing_of_a_route_that_failed_is_in_the_answer_of_the_next(serve: Serve, scripted: Scripted) -> None:
    head = http_head(content_type="text/event-stream", connection="close")
    event = b'data: {"id":"%b","choices":[{"index":0,"delta":{"content":"%b"},"finish_reason":%b}]}\n\n'
    broken = await scripted([READ, head + event % (b"1", b"half", b"null"), FIN])
    whole = await scripted([READ, head + event % (b"2", b"whole", b'"stop"'), FIN])
    urls = {"broken": broken.url, "whole": whole.url}
    served = await serve(
        providers={name: {"adapter": "openai_chat", "base_url": url, "api_key": "k"} for name, url in urls.items()},
        models={"m": files.model(*(files.route(name, name, priority=n) for n, name in enumerate(urls)))},
        keys=files.standard_keys(),
    )
    answered = await served.chat("m")
    assert (answered.status, answered.headers["x-paifang-route"], answered.json["id"]) == (200, "whole", "2")
    assert answered.json["choices"][0]["message"]["content"] == "whole"
