"""What passes over connections to providers beside one request and its answer: late ends, early answers, second ones, pings."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable

import pytest

from proxy import upstreamresponse
from proxy.jsontext import dumps
from tests.e2e import files
from tests.e2e.conftest import Serve
from tests.e2e.test_upstream_faults import ANSWER, DELTA, DONE, SSE, SSE_HEAD, STOP, WHOLE, behind, error, whole
from tests.e2e.unharmed import unharmed
from tests.fakes import FIN, READ, RST, STALL, ScriptedUpstream, chunk, eventually, http_head

Scripted = Callable[..., Awaitable[ScriptedUpstream]]


async def test_an_idle_connection_that_the_provider_just_closed(serve: Serve, scripted: Scripted) -> None:
    upstream = await scripted([READ, WHOLE, READ, FIN], [READ, WHOLE, READ, RST], [READ, WHOLE, STALL])
    served = await behind(serve, upstream)
    for _ in range(3):
        answered = await served.chat("m")
        assert (answered.status, answered.headers["x-paifang-attempts"]) == (200, "1")
    assert (upstream.connections, len(upstream.requests)) == (3, 5)
    assert await served.metric("paifang_stale_connections_total", provider="relay") == 2
    await unharmed(served)


async def test_an_answer_that_comes_before_the_request_was_read(serve: Serve, scripted: Scripted) -> None:
    refusal = error("400 Bad", b'{"error":{"message":"too long"}}')
    upstream = await scripted([refusal, 0.3, STALL], [READ, WHOLE])
    served = await behind(serve, upstream)
    body = {"model": "m", "messages": [{"role": "user", "content": "x" * 9_000_000}]}
    headers = {"authorization": f"Bearer {served.key}", "content-type": "application/json"}
    answered = await served.ask("POST", "/v1/chat/completions", data=io.BytesIO(dumps(body)), headers=headers)
    assert (answered.status, answered.error["code"]) == (400, "upstream_invalid_request")
    await eventually(lambda: upstream.ended == 1)
    assert (await served.chat("m")).status == 200 and upstream.connections == 2
    await unharmed(served)


async def test_pings_while_a_stream_is_silent(serve: Serve, scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstreamresponse, "QUIET_S", 0.2)
    steps = [0.5, SSE_HEAD, 0.5, chunk(DELTA), 0.9, chunk(STOP + DONE), chunk(b"")]
    served = await behind(serve, await scripted([READ, *steps]), timeouts={"first_byte_s": 5, "idle_s": 5})
    answered = await served.chat("m", stream=True)
    before, _, rest = answered.raw.partition(DELTA)
    assert before == b"" and 2 <= rest.count(b": ping\n\n") <= 4 and rest.endswith(STOP + DONE)
    assert (await served.chat("m")).json["choices"][0]["message"]["content"] == "half an answer"
    await unharmed(served)


async def test_a_second_answer_that_nobody_asked_for_reaches_nobody(serve: Serve, scripted: Scripted) -> None:
    poison = whole(ANSWER.replace(b"all of it", b"poison"))
    late = asyncio.Event()
    upstream = await scripted(
        [READ, WHOLE + poison, STALL],
        [READ, WHOLE, late, poison, STALL],
        [READ, SSE, DELTA + STOP + DONE + poison, FIN],
        [READ, WHOLE, STALL],
    )
    served = await behind(serve, upstream)
    for number in range(4):
        if number == 2:
            late.set()
            await asyncio.sleep(0.05)
        answered = await served.chat("m", stream=number == 2)
        assert answered.status == 200 and b"poison" not in answered.raw
    assert upstream.connections == 4
    await unharmed(served)


async def test_headers_pass_in_neither_direction(serve: Serve, scripted: Scripted) -> None:
    sent = {"set_cookie": "a=1", "x_evil": "1", "server": "nginx", "access_control_allow_origin": "*", "x_request_id": "theirs"}
    upstream = await scripted([READ, http_head(content_length=str(len(ANSWER)), **sent), ANSWER] * 2)
    served = await behind(serve, upstream)
    mine = {"cookie": "a=b", "x-forwarded-for": "1.2.3.4", "api-key": "mine", "x-request-id": "mine"}
    for _ in range(2):
        answered = await served.chat("m", headers=mine)
        assert answered.status == 200
        told = {name.lower() for name in answered.headers}
        assert not told & {"set-cookie", "x-evil", "access-control-allow-origin"}
        assert answered.headers["server"] == "paifang" and answered.headers["x-request-id"].startswith("req_")
    for request in upstream.requests:
        names = {line.partition(b":")[0].lower() for line in request.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]}
        ours = {b"host", b"user-agent", b"accept", b"accept-encoding", b"content-type", b"authorization", b"content-length"}
        assert names <= ours
        assert files.KEY.encode() not in request
