"""Requests whose end, target or header another server might see elsewhere: refused, and the connection is closed."""

from __future__ import annotations

import pytest

from tests.e2e import files
from tests.e2e.conftest import Serve, Served
from tests.e2e.rawclient import BODY, chat, connected, error_of, said, statuses
from tests.e2e.unharmed import unharmed
from tests.fakes import FakeOpenAI

CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
SMUGGLED = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
async def served(serve: Serve, fake_openai: FakeOpenAI) -> Served:
    return await serve(
        providers={"relay": files.relay(fake_openai), "simulator": files.SIMULATOR},
        models={"m": files.model(files.route("relay", "relay")), "simulated": files.model(files.route("sim", "simulator"))},
        keys=[files.key("all", files.KEY)],
        server={"max_body_bytes": 100_000},
    )


def framed_by(*headers: str, body: bytes = BODY) -> bytes:
    return chat(*headers, body=body, framed=False)


LENGTH = f"Content-Length: {len(BODY)}"
SMUGGLING = {
    "length, then chunked": framed_by(LENGTH, "Transfer-Encoding: chunked", body=CHUNKED),
    "chunked, then length": framed_by("Transfer-Encoding: chunked", LENGTH, body=CHUNKED),
    "two lengths": framed_by(LENGTH, "Content-Length: 3"),
    "the same length twice": framed_by(LENGTH, LENGTH),
    "a list of lengths": framed_by(f"{LENGTH}, {len(BODY)}"),
    "a signed length": framed_by(f"Content-Length: +{len(BODY)}"),
    "a negative length": framed_by("Content-Length: -1"),
    "a length in hex": framed_by("Content-Length: 0x10"),
    "an empty length": framed_by("Content-Length:"),
    "a length beyond 64 bits": framed_by(f"Content-Length: {10**30}"),
    "xchunked": framed_by("Transfer-Encoding: xchunked", body=CHUNKED),
    "chunked, identity": framed_by("Transfer-Encoding: chunked, identity", body=CHUNKED),
    "identity": framed_by("Transfer-Encoding: identity", LENGTH),
    "gzip, gzip": framed_by("Transfer-Encoding: gzip, gzip", body=CHUNKED),
    "gzip, chunked": framed_by("Transfer-Encoding: gzip, chunked", body=CHUNKED),
    "chunked, chunked": framed_by("Transfer-Encoding: chunked, chunked", body=CHUNKED),
    "chunked twice": framed_by("Transfer-Encoding: chunked", "Transfer-Encoding: chunked", body=CHUNKED),
    "a space before the colon": framed_by("Transfer-Encoding : chunked", body=CHUNKED),
    "a tab that is none": framed_by("Transfer-Encoding: \x0bchunked", body=CHUNKED),
    "a folded header": framed_by("X-Folded: a", " b", LENGTH),
    "a bare LF in the head": framed_by(LENGTH).replace(b"Host: a\r\n", b"Host: a\n"),
    "a bare CR in a value": framed_by("X-Odd: a\rb", LENGTH),
    "NUL in a value": framed_by("X-Odd: a\x00b", LENGTH),
    "a header without a name": framed_by(": nameless", LENGTH),
    "a header without a colon": framed_by("nothing", LENGTH),
    "a chunk size that is none": framed_by("Transfer-Encoding: chunked", body=b"zz\r\n{}\r\n0\r\n\r\n"),
    "a chunk size with 0x": framed_by("Transfer-Encoding: chunked", body=b"0x2\r\n{}\r\n0\r\n\r\n"),
    "a chunk size that ends with LF": framed_by("Transfer-Encoding: chunked", body=b"2\n{}\n0\n\n"),
    "a chunk without its end": framed_by("Transfer-Encoding: chunked", body=b"2\r\n{}3\r\n"),
    "HTTP/1.0 and chunks": chat("Transfer-Encoding: chunked", body=CHUNKED, version="1.0", framed=False),
    "no Host": framed_by(LENGTH).replace(b"Host: a\r\n", b""),
    "two Hosts": framed_by("Host: b", LENGTH),
    "no version": b"GET /healthz\r\n\r\n",
    "HTTP/2.0 and chunks": chat("Transfer-Encoding: chunked", body=CHUNKED, version="2.0", framed=False),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + bytes(32),
}


@pytest.mark.parametrize("raw", SMUGGLING.values(), ids=SMUGGLING)
async def test_framing_that_can_be_read_in_two_ways(served: Served, fake_openai: FakeOpenAI, raw: bytes) -> None:
    heard = await said(served.url, raw + SMUGGLED)
    assert statuses(heard) == [400]
    assert error_of(heard)["type"] == "invalid_request_error"
    assert fake_openai.requests == []
    await unharmed(served)


@pytest.mark.parametrize("version", ["0.9", "1.2", "2.0", "3.0"])
async def test_versions_that_are_not_spoken(served: Served, fake_openai: FakeOpenAI, version: str) -> None:
    heard = await said(served.url, chat(version=version))
    assert (statuses(heard), fake_openai.requests) == ([400], [])
    await unharmed(served)


LONG = b"X-Long: " + b"x" * 8000 + b"\r\n"


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + LONG * 8 + b"\r\n", 200),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Long: " + b"x" * 9000 + b"\r\n\r\n", 431),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 431),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\n" + b"".join(b"X-%d: a\r\n" % n for n in range(500)) + b"\r\n", 431),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\n" + LONG * 25 + b"\r\n", 431),
        (chat("X-Long: " + "x" * 8000, "X-Long: " + "x" * 8000).replace(b"Host: a\r\n", b"Host: a\r\n" + LONG * 7), 431),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\n" + LONG * 10, 431),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Endless: " + b"x" * 200_000, 431),
    ],
)
async def test_heads_that_are_too_large(served: Served, raw: bytes, status: int) -> None:
    heard = await said(served.url, raw)
    assert statuses(heard) == [status]
    assert b"xxx" not in heard
    await unharmed(served)


async def test_a_body_is_no_part_of_the_next_head(served: Served) -> None:
    long = BODY.replace(b"hi", b"h" * 90_000)
    assert len(long) > 90_000
    head, following = chat(body=long).removesuffix(long), chat("Connection: close")
    heard = await said(served.url, head, 0.05, long, 0.3, following[:40], 0.1, following[40:])
    assert statuses(heard) == [200, 200]


PATHS = [
    ("/%61dmin/v1/keys", 404),
    ("/admin/v1/keys", 404),
    ("/ADMIN/v1/keys", 404),
    ("/v1/../admin/v1/keys", 404),
    ("/v1/%2e%2e/admin/v1/keys", 404),
    ("/admin%2fv1%2fkeys", 400),
    ("/v1%5cmodels", 400),
    ("/v1/models%00", 400),
    ("//v1/models", 404),
    ("http://other.example/v1/models", 401),
    ("/v1/chat/completions/", 404),
    ("*", 400),
]


@pytest.mark.parametrize(("path", "status"), PATHS)
async def test_paths_in_disguise(served: Served, path: str, status: int) -> None:
    heard = await said(served.url, f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    assert statuses(heard) == [status]
    assert error_of(heard)["code"] != "internal_error"
    await unharmed(served)


@pytest.mark.parametrize("path", ["/admin/v1/keys", "/%61dmin/v1/keys", "/v1/../admin/v1/keys", "http://other.example/admin/v1/keys"])
async def test_no_way_round_the_admin_token(serve: Serve, path: str) -> None:
    served = await serve(
        admin={"token": "an-admin-token-of-some-length"},
        providers={"simulator": files.SIMULATOR},
        models={"m": files.model(files.route("sim", "simulator"))},
        keys=[files.key("all", files.KEY)],
    )
    heard = await said(served.url, f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    assert statuses(heard)[0] in (401, 404)


@pytest.mark.parametrize(
    ("first", "status"),
    [
        ("GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA", 200),
        ("CONNECT other.example:443 HTTP/1.1\r\nHost: a", 404),
        ("TRACE /healthz HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer sk-secret-of-mine", 405),
        ("OPTIONS /v1/models HTTP/1.1\r\nHost: a", 405),
    ],
)
async def test_methods_and_upgrades_that_are_not_taken(served: Served, first: str, status: int) -> None:
    # Closed from our side: after an upgrade or CONNECT the rest of a connection may be anything.
    async with connected(served.url) as (reader, writer):
        writer.write(f"{first}\r\n\r\n".encode())
        heard = await reader.readuntil(b"\r\n\r\n")
    assert statuses(heard)[0] in (status, 400, 404, 405)
    assert b"sk-secret" not in heard
    await unharmed(served)


async def test_pipelined_requests_are_answered_in_order(served: Served) -> None:
    last = SMUGGLED.replace(b"Host: a", b"Host: a\r\nConnection: close")
    heard = await said(served.url, chat() + SMUGGLED + chat() + last)
    assert statuses(heard) == [200, 200, 200, 200]
    assert heard.count(b'"chat.completion"') == 2
    await unharmed(served)
