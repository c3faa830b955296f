"""What a provider's connection can do wrong before it has answered: status, code, bill, attempts, and the next route."""

from __future__ import annotations

import gzip
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from proxy import upstreamresponse
from tests.e2e import files
from tests.e2e.conftest import Serve, Served
from tests.e2e.unharmed import unharmed
from tests.fakes import FIN, READ, RST, STALL, ScriptedUpstream, chunk, eventually, http_head
from tests.fakes.scripted import Step

Scripted = Callable[..., Awaitable[ScriptedUpstream]]
QUICK = {"connect_s": 0.5, "first_byte_s": 0.3, "idle_s": 0.3, "total_s": 1}

JSON_HEAD = http_head(content_type="application/json")
SSE_HEAD = http_head(content_type="text/event-stream", transfer_encoding="chunked")
DELTA = b'data: {"id":"1","choices":[{"index":0,"delta":{"content":"half an answer"},"finish_reason":null}]}\n\n'
STOP = b'data: {"id":"1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"
MESSAGE = {"index": 0, "message": {"role": "assistant", "content": "all of it"}, "finish_reason": "stop"}
ANSWER = json.dumps({"id": "1", "choices": [MESSAGE], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}).encode()
BROKEN = b'{"error":{"message":"no","type":"server_error","code":"x"}}'

UNREACHABLE, TIMEOUT, ERROR = (502, "upstream_unreachable"), (504, "upstream_timeout"), (502, "upstream_error")


def whole(body: bytes) -> bytes:
    return http_head(content_type="application/json", content_length=str(len(body))) + body


WHOLE = whole(ANSWER)


@dataclass(frozen=True)
class Fault:
    """What happens on a connection, and what a client is told.

    ambiguous: it may have been served, so that nobody else is asked. again: where there is no other route, it is asked again.
    to_the_end: it takes all the time there is, so that none is left for another route.
    """

    script: Sequence[Step]
    told: tuple[int, str] = ERROR
    ambiguous: bool = False
    https: bool = False
    again: bool = False
    to_the_end: bool = False


def head(*lines: bytes) -> bytes:
    return b"\r\n".join([b"HTTP/1.1 200 OK", b"Content-Type: application/json", *lines, b"", b""])


def error(status: str, body: bytes = BROKEN, **headers: str) -> bytes:
    return http_head(status, content_type="application/json", content_length=str(len(body)), **headers) + body


FAULTS = {
    "U4 plaintext where TLS is spoken": Fault([b"220 mail\r\n", FIN, STALL], UNREACHABLE, https=True),
    "U4 silence where TLS is spoken": Fault([STALL], TIMEOUT, https=True),
    "U5 FIN before any byte": Fault([READ, FIN], UNREACHABLE, ambiguous=True),
    "U6 RST before any byte": Fault([READ, RST], UNREACHABLE, ambiguous=True),
    "U8 no first byte": Fault([READ, STALL], TIMEOUT, ambiguous=True),
    "U8 a head and no more": Fault([READ, SSE_HEAD, STALL], TIMEOUT),
    "U11 drip of a head": Fault([READ, b"HTTP/1.1 200 OK\r\nX-Slow: ", *[b"a", 0.1] * 20], TIMEOUT, ambiguous=True),
    "U11 drip before the first event": Fault([READ, SSE_HEAD, *[chunk(b":"), 0.1] * 20], TIMEOUT, to_the_end=True),
    "U16 shorter than its length": Fault([READ, http_head(content_length="999") + ANSWER, FIN]),
    "U18 length and chunks": Fault([READ, head(b"Content-Length: 5", b"Transfer-Encoding: chunked"), FIN]),
    "U18 two lengths": Fault([READ, head(b"Content-Length: 5", b"Content-Length: 6") + b"{}", FIN]),
    "U19 another protocol": Fault([READ, b"SSH-2.0-OpenSSH_9.9\r\n", FIN]),
    "U19 HTTP/2": Fault([READ, b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + bytes(18), FIN]),
    "U19 garbage": Fault([READ, bytes(range(256)) * 4, FIN]),
    "U20 half a head": Fault([READ, b"HTTP/1.1 200 OK\r\nContent-Ty", FIN], UNREACHABLE, ambiguous=True),
    "U20 CR in a header": Fault([READ, head(b"X-Odd: a\rb", b"Content-Length: 2") + b"{}", FIN]),
    "U20 NUL in a header": Fault([READ, head(b"X-Odd: a\x00b", b"Content-Length: 2") + b"{}", FIN]),
    "U21 a header of 20 KB": Fault([READ, head(b"X-Long: " + b"a" * 20_000), FIN]),
    "U21 500 headers": Fault([READ, head(*[b"X-%d: a" % n for n in range(500)]), FIN]),
    "U23 nothing but interim answers": Fault([READ, *[b"HTTP/1.1 100 Continue\r\n\r\n"] * 200, STALL]),
    "U23 an upgrade nobody asked for": Fault([READ, b"HTTP/1.1 101 X\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n", STALL]),
    "U26 a redirect": Fault([READ, http_head("307 X", location="http://127.0.0.1:1/", content_length="0"), FIN]),
    "U26 a redirect without an end": Fault([READ, http_head("302 X", location="/"), STALL]),
    "U27 a chunk size that is none": Fault([READ, SSE_HEAD, b"zz\r\n", STALL]),
    "U28 gzip that is none": Fault([READ, head(b"Content-Encoding: gzip", b"Content-Length: 3") + b"abc", FIN]),
    "U30 gzip that grows": Fault([READ, head(b"Content-Encoding: gzip"), gzip.compress(bytes(10**7)), FIN]),
    "U31 an error under 200": Fault([READ, http_head(content_length=str(len(BROKEN))) + BROKEN, FIN], again=True),
    "U32 an error as the first event": Fault([READ, SSE_HEAD, chunk(b"data: " + BROKEN + b"\n\n"), STALL], again=True),
    "U34 a web page": Fault([READ, http_head(content_type="text/html") + b"<html><script>alert(1)</script>", FIN]),
    "U36 an event that is no JSON": Fault([READ, SSE_HEAD, chunk(b"data: {oops\n\n"), STALL]),
    "U39 an event of 8 MB": Fault([READ, SSE_HEAD, chunk(b"data: " + b"x" * 8_000_000), STALL]),
    "U46 busy in another way": Fault([READ, error("529 X"), FIN], again=True),
    "U46 an error of its own": Fault([READ, error("500 X"), FIN], again=True),
    "an error that never ends": Fault([READ, http_head("500 X"), *[b"x" * 1000, 0.05] * 60], again=True),
    "an error that breaks off": Fault([READ, http_head("500 X", content_length="99"), b"half", RST], again=True),
    "no body at all": Fault([READ, http_head("204 X"), FIN]),
    "a part": Fault([READ, error("206 X", ANSWER), FIN]),
    "a status that is none": Fault([READ, error("099 X"), FIN]),
    "an error that is a text": Fault([READ, whole(b'{"error":"no"}'), FIN], again=True),
    "an event that is called an error": Fault([READ, SSE_HEAD, chunk(b"event: error\ndata: no\n\n"), STALL], again=True),
    "a list": Fault([READ, whole(b"[" + ANSWER + b"]"), FIN]),
    "two answers in one": Fault([READ, whole(ANSWER + ANSWER), FIN]),
    "UTF-16": Fault([READ, whole(ANSWER.decode().encode("utf-16")), FIN]),
    "not a number": Fault([READ, whole(ANSWER.replace(b'"1"', b"NaN")), FIN]),
    "depth": Fault([READ, whole(b'{"a":' * 50_000 + b"1" + b"}" * 50_000), FIN]),
    "a choice without a message": Fault([READ, whole(b'{"choices":[{"index":0,"finish_reason":"stop"}]}'), FIN]),
    "[DONE] and nothing else": Fault([READ, SSE_HEAD, chunk(DONE), STALL]),
    "comments and nothing else": Fault([READ, SSE_HEAD, chunk(b": hi\n\n" * 20_000), chunk(b""), FIN]),
    "an empty answer": Fault([READ, JSON_HEAD, FIN]),
    "an answer cut in the middle": Fault([READ, JSON_HEAD, ANSWER[:40], FIN]),
}


async def behind(serve: Serve, upstream: ScriptedUpstream, **provider: Any) -> Served:
    """A gateway with the upstream behind `m`, and before another route behind `pooled`."""
    relay = {"adapter": "openai_chat", "base_url": upstream.url, "api_key": "sk-upstream-secret", "timeouts": QUICK}
    first, last = files.route("relay", "relay"), files.route("last", "simulator", priority=2, enabled=True)
    return await serve(
        providers={"relay": {**relay, **provider}, "simulator": files.SIMULATOR},
        models={"m": files.model(first), "pooled": files.model(first, last), "simulated": files.model(last)},
        keys=[files.key("all", files.KEY)],
    )


@pytest.fixture(autouse=True)
def errors_are_heard_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstreamresponse, "ERROR_BODY_S", 0.3)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_before_anything_was_answered(serve: Serve, scripted: Scripted, fault: Fault) -> None:
    upstream = await scripted(fault.script)
    url = upstream.url.replace("http:", "https:") if fault.https else upstream.url
    served = await behind(serve, upstream, base_url=url)
    status, code = fault.told
    for stream in (False, True):
        answered = await served.chat("m", stream=stream)
        assert (answered.status, answered.error["code"]) == fault.told
        assert not any(said in answered.raw for said in (b"sk-upstream", b"<html", b"SSH-", b"xxx"))
    attempts = upstream.connections
    assert 2 < attempts <= 6 if fault.again else attempts == 2
    assert await served.metric("paifang_requests_total", model="m", status=str(status), code=code) == 2
    assert await served.metric("paifang_route_attempts_total", outcome=code) == attempts

    alone = fault.ambiguous or fault.to_the_end
    pooled = await served.chat("pooled", stream=True)
    assert (pooled.status, pooled.headers["x-paifang-attempts"]) == ((status, "1") if alone else (200, "2"))
    assert await served.metric("paifang_cost_usd_total", route="m/relay") == 0
    assert await served.metric("paifang_cost_usd_total", route="pooled/relay") == 0
    await eventually(lambda: upstream.ended == upstream.connections)
    await unharmed(served, holds=3 if fault.ambiguous else 0)


BREAKS: dict[str, tuple[Sequence[Step], str]] = {
    "U10 silence": ([STALL], "upstream_timeout"),
    "U11 drip": ([*[chunk(b":\n\n"), 0.2] * 20], "upstream_timeout"),
    "U12 RST": ([0.05, RST], "upstream_error"),
    "U13 FIN inside the chunks": ([FIN], "upstream_error"),
    "U15 an end without a finish": ([chunk(b"")], "upstream_error"),
    "U15 an end with [DONE] and without a finish": ([chunk(DONE), chunk(b"")], "upstream_error"),
    "U27 a chunk size that is none": ([0.05, b"zz\r\n", STALL], "upstream_error"),
    "U33 an error": ([chunk(b"data: " + BROKEN + b"\n\n"), STALL], "upstream_error"),
    "U36 no JSON": ([chunk(b"data: {oops\n\n"), STALL], "upstream_error"),
    "U39 an event of 8 MB": ([chunk(b"data: " + b"x" * 8_000_000), STALL], "upstream_error"),
    "an error that is called so": ([chunk(b"event: error\ndata: no\n\n"), STALL], "upstream_error"),
    "an error after the end": ([chunk(STOP + b"data: " + BROKEN + b"\n\n"), STALL], "upstream_error"),
    "a choice that never ends": ([chunk(DELTA.replace(b'"index":0', b'"index":1') + STOP + DONE), STALL], "upstream_error"),
    "words that are no event": ([chunk(b"key sk-upstream-secret is bad\n\n"), chunk(b"")], "upstream_error"),
}


@pytest.mark.parametrize(("steps", "code"), BREAKS.values(), ids=BREAKS)
async def test_in_the_middle_of_a_stream(serve: Serve, scripted: Scripted, steps: Sequence[Step], code: str) -> None:
    upstream = await scripted([READ, SSE_HEAD, chunk(DELTA), *steps])
    served = await behind(serve, upstream)
    heard = await heard_of_a_stream(served, "pooled")
    assert DELTA in heard and b"[DONE]" not in heard and b"sk-upstream" not in heard and not heard.endswith(b"0\r\n\r\n")
    error = json.loads(heard.rpartition(b"data: ")[2].partition(b"\n\n")[0])["error"]
    assert error["code"] == code
    assert upstream.connections == 1, "what has begun is not begun again"
    assert await served.metric("paifang_cost_usd_total", route="pooled/relay") > 0
    assert await served.metric("paifang_route_attempts_total", outcome=code) == 1
    await eventually(lambda: upstream.ended == 1)
    await unharmed(served)


async def heard_of_a_stream(served: Served, model: str) -> bytes:
    heard = b""
    async with served.open({"model": model, "messages": files.HI, "stream": True}) as response:
        assert response.status == 200
        try:
            async for piece in response.content.iter_any():
                heard += piece
        except aiohttp.ClientPayloadError:
            pass
        else:
            raise AssertionError("a stream that broke off looks complete")
    return heard


SSE = http_head(content_type="text/event-stream")
FINE: dict[str, Sequence[Step]] = {
    "U14 no [DONE], and the connection ends": [SSE, DELTA, STOP, FIN],
    "U15 no [DONE]": [SSE_HEAD, chunk(DELTA + STOP), chunk(b"")],
    "U23 interim answers": [b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", *[b"HTTP/1.1 100 X\r\n\r\n"] * 50, WHOLE],
    "U35 JSON": [WHOLE],
    "U35 events": [SSE_HEAD, chunk(DELTA + STOP + DONE), chunk(b"")],
    "U36 CR, CRLF, a mark and comments": [
        SSE, b"\xef\xbb\xbf: hi\r\n\r\nevent: x\rid: 1\r" + DELTA[:-2] + b"\r\r" + STOP[:-2] + b"\r\n\r\n" + DONE, FIN,
    ],
    "U38 no UTF-8": [SSE_HEAD, chunk(DELTA.replace(b"half", b"\xff\xfe") + STOP + DONE), chunk(b"")],
    "U13 FIN inside the chunks, after the last word": [SSE_HEAD, chunk(DELTA + STOP), FIN],
    "U12 RST after the last word": [SSE_HEAD, chunk(DELTA + STOP), 0.05, RST],
    "U10 silence after the last word": [SSE_HEAD, chunk(DELTA + STOP), STALL],
    "no space after the colon, or two": [SSE_HEAD, chunk((DELTA + STOP).replace(b": ", b":") + b"data:  [DONE] \n\n"), STALL],
    "extensions of chunks, and trailers": [SSE_HEAD, chunk(DELTA + STOP).replace(b"\r", b";a=b\r", 1), b"0\r\nX-A: b\r\n\r\n"],
    "a stream without a type": [http_head(), DELTA + STOP + DONE, FIN],
    "HTTP/1.0": [b"HTTP/1.0 200 OK\r\n\r\n" + ANSWER, FIN],
    "a mark before JSON": [whole(b"\xef\xbb\xbf" + ANSWER)],
    "more after [DONE]": [SSE_HEAD, chunk(DELTA + STOP + DONE + DELTA + DONE), STALL],
    "two ends": [SSE_HEAD, chunk(DELTA + STOP + STOP + DONE), chunk(b"")],
    "an end of an odd kind": [SSE_HEAD, chunk(DELTA + STOP.replace(b'"stop"', b'["stop"]') + STOP), chunk(b"")],
    "an error that is none": [whole(ANSWER[:-1] + b',"error":null}')],
    "U40 a byte at a time": [SSE_HEAD, b"".join(chunk(b"%c" % byte) for byte in DELTA + STOP + DONE), chunk(b"")],
    "nothing after [DONE] is waited for": [SSE_HEAD, chunk(DELTA + STOP + DONE), STALL],
}  # fmt: skip


@pytest.mark.parametrize("steps", FINE.values(), ids=FINE)
async def test_what_is_no_fault(serve: Serve, scripted: Scripted, steps: Sequence[Step]) -> None:
    upstream = await scripted([READ, *steps])
    served = await behind(serve, upstream)
    for stream in (False, True):
        answered = await served.chat("m", stream=stream)
        assert answered.status == 200 and b'"finish_reason":"stop"' in answered.raw
        assert (b"[DONE]" in answered.raw) is stream
    assert upstream.connections == 2
    assert await served.metric("paifang_cost_usd_total", route="m/relay") > 0
    await unharmed(served)


async def test_a_flood_of_small_events_holds_nobody_up(serve: Serve, scripted: Scripted) -> None:
    upstream = await scripted([READ, SSE_HEAD, *[chunk(DELTA * 1000)] * 50, chunk(STOP + DONE), chunk(b"")])  # U40
    served = await behind(serve, upstream, timeouts={"total_s": 60})
    async with served.open({"model": "m", "messages": files.HI, "stream": True}) as response:
        heard = await response.content.readany()
        assert (await served.chat("simulated", stream=True)).status == 200
        assert len(served.gateway.pipeline.running) == 1, "the other was answered in the midst of it"
        heard += await response.content.read()
    assert (heard.count(DELTA), heard.endswith(STOP + DONE)) == (50_000, True)
    await unharmed(served)
