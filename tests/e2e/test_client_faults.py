"""What clients do wrong, slowly or halfway: status, code, what the provider sees, and what it costs."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from proxy import clientconnection
from proxy.endpoints import http as endpoints
from tests.e2e import files
from tests.e2e.conftest import Serve, Served
from tests.e2e.rawclient import BODY, chat, connected, error_of, said, statuses
from tests.e2e.unharmed import unharmed
from tests.fakes import READ, STALL, FakeOpenAI, ScriptedUpstream, chunk, eventually, http_head
from tests.fakes.scripted import Step

Scripted = Callable[..., Awaitable[ScriptedUpstream]]
SSE_HEAD = http_head(content_type="text/event-stream", transfer_encoding="chunked")
DELTA = b'data: {"id":"1","choices":[{"index":0,"delta":{"content":"half an answer"},"finish_reason":null}]}\n\n'
STOP = b'data: {"id":"1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
STREAM = json.dumps({"model": "m", "messages": files.HI, "stream": True}).encode()


async def before(serve: Serve, url: str, key: str = "sk-upstream", **sections: Any) -> Served:
    """A gateway before a provider at `url`."""
    door = {"adapter": "openai_chat", "base_url": url, "api_key": key}
    return await serve(
        providers={"relay": door, "simulator": files.SIMULATOR},
        models={
            "m": files.model(files.route("relay", "relay")),
            "simulated": files.model(files.route("sim", "simulator")),
        },
        keys=[files.key("all", files.KEY)],
        server={"max_body_bytes": 100_000},
        **sections,
    )


LEAVING: dict[str, tuple[bytes, list[Step]]] = {
    "C2 JSON, before the first byte": (BODY, [READ, STALL]),
    "C2 a stream, before the first byte": (STREAM, [READ, STALL]),
    "C2 JSON, in the middle of the body": (BODY, [READ, http_head(content_length="99"), b'{"id":', STALL]),
    "C3 a stream, in the middle": (STREAM, [READ, SSE_HEAD, chunk(DELTA), STALL]),
    "C3 a stream that goes on": (STREAM, [READ, SSE_HEAD, *[chunk(DELTA), 0.02] * 500]),
}


@pytest.mark.parametrize("how", ["FIN", "RST", "half-close"])
@pytest.mark.parametrize(("body", "script"), LEAVING.values(), ids=LEAVING)
async def test_whoever_leaves_closes_the_upstream_within_a_second(
    serve: Serve, scripted: Scripted, body: bytes, script: list[Step], how: str
) -> None:
    upstream = await scripted(script)
    served = await before(serve, upstream.url)
    async with connected(served.url) as (_, writer):
        writer.write(chat(body=body))
        await eventually(lambda: len(upstream.requests) == 1)
        if len(script) > 2:
            await asyncio.sleep(0.1)
        match how:
            case "FIN":
                writer.close()
            case "RST":
                reset(writer)
            case "half-close":
                writer.write_eof()
        await eventually(lambda: upstream.ended == 1, timeout_s=1)
    await unharmed(served)
    assert await served.metric("paifang_requests_total", status="499") == 1
    received = b"half" in b"".join(step for step in script if isinstance(step, bytes))
    assert (await served.metric("paifang_cost_usd_total", route="relay") > 0) is received


DELIBERATE = """
import asyncio
from proxy import hookimpl

@hookimpl
async def authorize(ctx):
    await asyncio.sleep(0.3)
"""


async def test_whoever_leaves_before_anything_was_sent_costs_nothing(serve: Serve, scripted: Scripted) -> None:
    upstream = await scripted([READ, STALL])
    plugins = ["virtual_keys", "./deliberate.py", "budget", "routing", "metering", "metrics"]
    served = await before(serve, upstream.url, also={"deliberate.py": DELIBERATE}, plugins=plugins)  # C1
    async with connected(served.url) as (_, writer):
        writer.write(chat())
        await eventually(lambda: len(served.gateway.pipeline.running) == 1)
        writer.close()
    await unharmed(served)
    assert await served.metric("paifang_requests_total", status="499") == 1
    assert upstream.connections == 0 and await served.metric("paifang_cost_usd_total", model="m") == 0


def reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def test_whoever_leaves_after_the_usage_pays_exactly_that(serve: Serve, scripted: Scripted) -> None:
    usage = b'data: {"id":"1","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":5}}\n\n'
    upstream = await scripted([READ, SSE_HEAD, chunk(DELTA), chunk(STOP + usage), STALL])
    served = await before(serve, upstream.url)
    async with connected(served.url) as (reader, writer):
        writer.write(chat(body=STREAM))
        await reader.readuntil(b"half an answer")
        await asyncio.sleep(0.1)
        writer.close()
        await eventually(lambda: upstream.ended == 1, timeout_s=1)
    await unharmed(served)
    assert await served.metric("paifang_cost_usd_total", route="relay") == pytest.approx((7 * 1000 + 5 * 2000) / 1e9)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clientconnection, "HEAD_S", 0.5)
    monkeypatch.setattr(endpoints, "BODY_GRACE_S", 0.5)
    monkeypatch.setattr(endpoints, "BODY_BYTES_PER_S", 200)


SLOWLY = b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Slow: "


@pytest.mark.parametrize(
    "steps", [(), (SLOWLY,), (SLOWLY, *[b"a", 0.1] * 30), (SLOWLY + b"\r\n\r\n", 0.1, SLOWLY, *[b"a", 0.1] * 30)]
)
async def test_a_head_that_does_not_come(serve: Serve, hurried: None, steps: tuple[bytes | float, ...]) -> None:
    served = await before(serve, "http://127.0.0.1:1")
    async with connected(served.url) as (reader, writer):
        began_s = asyncio.get_running_loop().time()
        feeding = asyncio.create_task(feed(writer, steps))
        heard = await asyncio.wait_for(reader.read(), 3)
        assert asyncio.get_running_loop().time() - began_s < 2
        assert statuses(heard) == ([200] if len(steps) > 61 else [])
        feeding.cancel()
    await unharmed(served)


async def feed(writer: asyncio.StreamWriter, steps: tuple[bytes | float, ...]) -> None:
    for step in steps:
        if isinstance(step, bytes):
            writer.write(step)
        else:
            await asyncio.sleep(step)


async def test_an_idle_connection_is_kept_longer_than_a_head_may_take(serve: Serve, hurried: None) -> None:
    served = await before(serve, "http://127.0.0.1:1")
    whole = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
    async with connected(served.url) as (reader, writer):
        for _ in range(2):
            writer.write(whole)
            assert b"200 OK" in await reader.readuntil(b'"ok"}')
            await asyncio.sleep(0.8)


PACES: dict[str, tuple[tuple[bytes | float, ...], int, str]] = {
    "C8 never": ((b"",), 408, "request_timeout"),
    "C8 too slowly": ((*[b" ", 0.05] * 40,), 408, "request_timeout"),
    "C8 slowly, and steadily": ((*[b" " * 40, 0.1] * 10, BODY), 200, ""),
}


@pytest.mark.parametrize(("steps", "status", "code"), PACES.values(), ids=PACES)
async def test_the_pace_of_a_body(
    serve: Serve, fake_openai: FakeOpenAI, hurried: None, steps: tuple[bytes | float, ...], status: int, code: str
) -> None:
    served = await before(serve, fake_openai.base_url, fake_openai.key)
    length = 400 + len(BODY)
    async with connected(served.url) as (reader, writer):
        writer.write(chat(f"Content-Length: {length}", "Connection: close", body=b"", framed=False))
        feeding = asyncio.create_task(feed(writer, steps))
        heard = await asyncio.wait_for(reader.readuntil(b"}}"), 3)
        assert statuses(heard) == [status]
        if code:
            assert error_of(heard)["code"] == code and fake_openai.requests == []
        feeding.cancel()
    await unharmed(served)


TOO_LARGE = {
    "C9 by its length": chat("Content-Length: 100001", body=b"", framed=False),
    "C9 by its length, asking first": chat("Content-Length: 100001", "Expect: 100-continue", body=b"", framed=False),
    "C9 by its chunks": chat("Transfer-Encoding: chunked", body=b"7fff\r\n" + b" " * 0x7FFF + b"\r\n", framed=False)
    + (b"7fff\r\n" + b" " * 0x7FFF + b"\r\n") * 3,
}


@pytest.mark.parametrize("raw", TOO_LARGE.values(), ids=TOO_LARGE)
async def test_a_body_that_is_too_large(serve: Serve, raw: bytes) -> None:
    served = await before(serve, "http://127.0.0.1:1")
    heard = await said(served.url, raw)
    assert statuses(heard) == [413] and error_of(heard)["code"] == "request_too_large"
    assert b"100 Continue" not in heard and b"connection: close" in heard
    await unharmed(served)


MESSAGES = '"messages":[{"role":"user","content":"hi"}]'
ODD_JSON: dict[str, tuple[bytes, str, str | None]] = {
    "C11 deep": (b"[" * 90_000, "invalid_json", None),
    "C11 deep, in a field": (b'{"model":"m","x":' + b"[" * 100 + b"]" * 100 + b"}", "invalid_json", None),
    "C13 twice the same key": (b'{"model":"m","model":"m2",' + MESSAGES.encode() + b"}", "invalid_json", None),
    "C16 NUL in the model": (b'{"model":"m\\u0000",' + MESSAGES.encode() + b"}", "invalid_value", "model"),
    "C16 half a character": (b'{"model":"\\ud800",' + MESSAGES.encode() + b"}", "invalid_value", "model"),
    "NaN": (b'{"model":"m","temperature":NaN,' + MESSAGES.encode() + b"}", "invalid_json", None),
    "UTF-16": (BODY.decode().encode("utf-16"), "invalid_json", None),
    "a BOM": (b"\xef\xbb\xbf" + BODY, "invalid_json", None),
    "a huge integer": (b'{"model":"m","max_tokens":' + b"9" * 5000 + b"," + MESSAGES.encode() + b"}", "invalid_json", None),
    "a number beyond all": (b'{"model":"m","temperature":1e999,' + MESSAGES.encode() + b"}", "invalid_json", None),
    "two values": (BODY + BODY, "invalid_json", None),
    "a list": (b"[" + BODY + b"]", "invalid_json", None),
    "nothing": (b"", "invalid_json", None),
    **{
        f"C15 {field}": (f'{{"model":"m",{MESSAGES},{field}}}'.encode(), "invalid_value", field.split('"')[1])
        for field in (
            '"stream":"false"', '"stream":1', '"n":true', '"n":1.0', '"max_tokens":"100"', '"max_tokens":-1',
            '"max_tokens":9223372036854775808', '"temperature":"1"',
        )
    },
}  # fmt: skip


async def test_odd_json(serve: Serve, fake_openai: FakeOpenAI) -> None:
    served = await before(serve, fake_openai.base_url, fake_openai.key)
    for name, (raw, code, param) in ODD_JSON.items():
        heard = await said(served.url, chat("Connection: close", body=raw))
        assert statuses(heard) == [400], name
        assert (error_of(heard)["code"], error_of(heard)["param"]) == (code, param), name
    assert fake_openai.requests == []
    await unharmed(served)


UNWANTED = {
    "C10 compressed": (chat("Content-Encoding: gzip", body=gzip.compress(bytes(50_000_000))), 415, "unsupported_media_type"),
    "C10 compressed, as it says": (chat("Content-Encoding: gzip"), 415, "unsupported_media_type"),
    "C10 compressed otherwise": (chat("Content-Encoding: br"), 415, "unsupported_media_type"),
    "C10 compressed in transfer": (chat("Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n", framed=False), 400, None),
    "C25 an expectation that can't be met": (chat("Expect: the-impossible"), 400, "invalid_value"),
    "C25 an expectation, and no body yet": (
        chat("Expect: 200-ok", "Content-Length: 9", body=b"", framed=False), 400, "invalid_value",
    ),
    "another type": (chat("Content-Type: text/plain"), 415, "unsupported_media_type"),
    "another charset": (chat("Content-Type: application/json; charset=utf-16"), 415, "unsupported_media_type"),
}  # fmt: skip


@pytest.mark.parametrize(("raw", "status", "code"), UNWANTED.values(), ids=UNWANTED)
async def test_a_body_that_is_not_wanted(serve: Serve, raw: bytes, status: int, code: str | None) -> None:
    served = await before(serve, "http://127.0.0.1:1")
    heard = await said(served.url, raw.replace(b"Host: a", b"Host: a\r\nConnection: close"))
    assert statuses(heard) == [status] and b"100 Continue" not in heard
    assert code is None or error_of(heard)["code"] == code
    assert await served.metric("paifang_route_attempts_total") == 0
    await unharmed(served)


async def test_characters_that_utf_8_lacks_pass_where_they_are_content(serve: Serve, fake_openai: FakeOpenAI) -> None:
    served = await before(serve, fake_openai.base_url, fake_openai.key)
    raw = b'{"model":"m","messages":[{"role":"user","content":"\\ud83d, \\u0000 and \\u2028"}]}'
    assert statuses(await said(served.url, chat("Connection: close", body=raw))) == [200]
    assert fake_openai.requests[0].body is not None
    assert fake_openai.requests[0].body["messages"][0]["content"] == "\ud83d, \x00 and \u2028"


async def test_bad_requests_do_not_flood_the_log(serve: Serve) -> None:
    served = await before(serve, "http://127.0.0.1:1")
    with capture_logs() as logs:
        for _ in range(100):
            await said(served.url, b"NONSENSE sk-pf-secret\r\n\r\n")
            async with connected(served.url) as (_, writer):
                writer.write(chat("Content-Length: 9999", body=b"{", framed=False).replace(files.KEY.encode(), b"sk-wrong"))
    assert len([entry for entry in logs if entry["log_level"] != "info" or "code" not in entry]) <= 2
    assert not any("exc_info" in entry for entry in logs) and "sk-pf" not in str(logs)
    await unharmed(served)
