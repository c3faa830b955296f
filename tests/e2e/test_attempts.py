"""How often a provider is asked: what is a route's fault goes to the next, what may have been served is never sent twice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import openai
import pytest

from tests.e2e import files
from tests.e2e.conftest import Serve, Served
from tests.e2e.unharmed import unharmed
from tests.fakes import FIN, READ, RST, STALL, FakeArk, FakeOpenAI, ScriptedUpstream, http_head

Scripted = Callable[..., Awaitable[ScriptedUpstream]]

SSE = http_head(content_type="text/event-stream", connection="close")
JSON = http_head(content_type="application/json", connection="close")
ERROR = b'{"error":{"message":"no","type":"server_error","code":null}}'

WRONG: dict[str, list[Any]] = {
    "redirect": [READ, http_head("307 Temporary Redirect", location="http://127.0.0.1:1/", content_length="0")],
    "unasked 101": [READ, http_head("101 Switching Protocols", upgrade="websocket", connection="Upgrade")],
    "garbage": [READ, b"SSH-2.0-OpenSSH_9.2p1\r\n"],
    "HTTP/2": [READ, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    "page under 200": [READ, http_head(content_type="text/html", content_length="6") + b"<html>", FIN],
    "error under 200": [READ, JSON + ERROR, FIN],
    "error as first event": [READ, SSE + b"data: " + ERROR + b"\n\n", FIN],
    "comments, then nothing": [READ, SSE + b": hello\n\n", FIN],
    "cut before the first event": [READ, http_head(content_type="text/event-stream", content_length="99"), RST],
    "503": [READ, http_head("503 Service Unavailable", content_length="0")],
    "529": [READ, http_head("529 Overloaded", content_length="0")],
}
LOST: dict[str, list[Any]] = {
    "no answer": [READ, FIN],
    "reset": [READ, RST],
    "half a head": [READ, b"HTTP/1.1 200 OK\r\nContent-", FIN],
}


def pool(scripted: ScriptedUpstream, good: FakeOpenAI, **first: Any) -> dict[str, Any]:
    """`m`: a scripted provider first, then a good one. `lone`: the scripted one alone."""
    timeouts = {"first_byte_s": 0.3, "total_s": 5}
    odd = {"adapter": "openai_chat", "base_url": scripted.url, "api_key": "k", "timeouts": timeouts}
    routes = [files.route("odd", "odd", priority=1, **first), files.route("good", "good", priority=2)]
    return {
        "providers": {"odd": odd, "good": files.relay(good), "simulator": files.SIMULATOR},
        "models": {
            "m": files.model(*routes),
            "lone": files.model(files.route("alone", "odd", **first)),
            "simulated": files.model(files.route("sim", "simulator")),
        },
        "keys": [
            files.key("all", files.KEY, budget={"daily_usd": 100}),
            files.key("poor", files.PENNILESS, budget={"daily_usd": 0.01}),
        ],
    }


async def settled(served: Served) -> bool:
    return await served.metric("paifang_ledger_unsettled") == 0


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("wrong", WRONG)
async def test_what_is_no_answer_goes_to_the_next_route(
    serve: Serve, scripted: Scripted, fake_openai: FakeOpenAI, wrong: str, stream: bool
) -> None:
    odd = await scripted(WRONG[wrong])
    served = await serve(**pool(odd, fake_openai))
    answered = await served.chat("m", stream=stream)
    assert (answered.status, answered.headers["x-paifang-route"], answered.headers["x-paifang-attempts"]) == (200, "good", "2")
    assert (len(odd.requests), len(fake_openai.requests)) == (1, 1) and await settled(served)
    assert served.gateway.snapshot.models["m"].pool[0].health.in_a_row == 1
    await unharmed(served)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("lost", LOST)
async def test_what_may_have_been_served_is_not_sent_again(
    serve: Serve, scripted: Scripted, fake_openai: FakeOpenAI, lost: str, stream: bool
) -> None:
    odd = await scripted(LOST[lost])
    served = await serve(**pool(odd, fake_openai))
    answered = await served.chat("m", stream=stream)
    assert (answered.status, answered.error["code"]) == (502, "upstream_unreachable")
    assert answered.headers["x-paifang-attempts"] == "1"
    assert (len(odd.requests), fake_openai.requests) == (1, []) and await settled(served)
    await unharmed(served)


async def test_silence_may_be_work(serve: Serve, scripted: Scripted, fake_openai: FakeOpenAI) -> None:
    served = await serve(**pool(await scripted([READ, STALL]), fake_openai))
    answered = await served.chat("m", stream=True)
    assert (answered.status, answered.error["code"]) == (504, "upstream_timeout")
    assert fake_openai.requests == [] and await settled(served)


async def test_a_route_may_allow_it_and_the_caller_pays_once(
    serve: Serve, scripted: Scripted, fake_openai: FakeOpenAI
) -> None:
    odd = await scripted(LOST["reset"])
    served = await serve(**pool(odd, fake_openai, retry_ambiguous=True))
    for key in (files.KEY, files.PENNILESS):
        answered = await served.chat("m", key=key)
        assert (answered.status, answered.headers["x-paifang-route"]) == (200, "good")
    assert len(fake_openai.requests) == 2 and await settled(served)
    assert (await served.chat("lone")).headers["x-paifang-attempts"] == "3"
    assert len(odd.requests) == 5
    await unharmed(served)


async def test_one_that_fails_for_a_moment_is_asked_again(gateway: Served, fake_openai: FakeOpenAI) -> None:
    fake_openai.fail_next(500, "server_error", "oops", times=2)
    answered = await gateway.chat("relayed")
    assert (answered.status, answered.headers["x-paifang-attempts"]) == (200, "3")
    assert await gateway.metric("paifang_fallbacks_total") == 0


async def test_never_more_than_three_and_never_past_the_deadline(serve: Serve, fake_openai: FakeOpenAI) -> None:
    relay = files.relay(fake_openai, timeouts={"total_s": 2})
    routes = [files.route(f"r{number}", "relay", priority=number) for number in range(5)]
    served = await serve(
        providers={"relay": relay},
        models={"m": files.model(*routes), "one": files.model(files.route("r9", "relay"))},
        keys=[files.key("all", files.KEY)],
    )
    fake_openai.fail_next(500, "server_error", "oops", times=3)
    answered = await served.chat("m")
    assert (answered.status, answered.headers["x-paifang-attempts"], len(fake_openai.requests)) == (502, "3", 3)
    fake_openai.fail_next(503, "server_error", "later", headers={"retry-after": "3"})
    answered = await served.chat("one")
    assert (answered.status, answered.headers["x-paifang-attempts"]) == (502, "1")


async def test_no_route_outside_the_key_s_scope_is_used(serve: Serve, fake_ark: FakeArk, fake_openai: FakeOpenAI) -> None:
    served = await serve(
        providers={"ark": files.ark(fake_ark), "relay": files.relay(fake_openai)},
        models={
            "doubao-seed": files.model(files.route("ark", "ark", files.ARK_MODEL), fallbacks=["spare"]),
            "spare": files.model(files.route("relay", "relay"), family="other"),
        },
        keys=files.standard_keys(),
    )
    fake_ark.fail_next(500, "InternalServiceError", "no", times=99)
    assert (await served.chat(key=files.KEY)).headers["x-paifang-route"] == "relay"
    for _ in range(6):
        assert (await served.chat(key=files.DOUBAO_ONLY)).status in (502, 503)
    assert len(fake_openai.requests) == 1


@pytest.mark.parametrize(
    ("fault", "raised", "code", "asked", "upstream"),
    [
        ({"status": 500, "code": "server_error", "times": 99}, openai.InternalServerError, "upstream_error", 3, 9),
        ({"status": 500, "code": "server_error", "times": 2}, None, "", 1, 3),
        ({"status": 429, "code": "busy", "headers": {"retry-after": "1"}}, None, "", 2, 2),
        ({"status": 401, "code": "no", "times": 99}, openai.InternalServerError, "upstream_auth_failed", 1, 1),
        ({"status": 400, "code": "bad", "times": 99}, openai.BadRequestError, "upstream_invalid_request", 1, 1),
    ],
)
async def test_the_sdk_retries_where_that_helps(  # C28
    gateway: Served,
    fake_openai: FakeOpenAI,
    fault: Any,
    raised: type[openai.APIStatusError] | None,
    code: str,
    asked: int,
    upstream: int,
) -> None:
    fake_openai.fail_next(**fault)
    messages: Any = files.HI
    async with openai.AsyncOpenAI(api_key=files.KEY, base_url=f"{gateway.url}/v1", max_retries=2) as client:
        if raised is None:
            answer = await client.chat.completions.create(model="relayed", messages=messages)
            assert answer.choices[0].finish_reason == "stop"
        else:
            with pytest.raises(raised) as caught:
                await client.chat.completions.create(model="relayed", messages=messages)
            assert caught.value.code == code
    assert await gateway.metric("paifang_requests_total") == asked
    assert len(fake_openai.requests) == upstream
    assert len(fake_openai.billed) == (raised is None) and await settled(gateway)
    await unharmed(gateway)
