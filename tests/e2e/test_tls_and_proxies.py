"""How providers are reached: whose certificates are believed, which are shown, and through which proxy."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from typing import Any

import pytest
import trustme

from proxy.errors import ConfigError
from proxy.probe import probe_all
from tests.e2e import files
from tests.e2e.conftest import Answered, Serve, Served
from tests.fakes import READ, STALL, FakeOpenAI, ScriptedUpstream, http_head
from tests.fakes.outbound_proxy import OutboundProxy

ANSWER = (
    b'{"id":"1","object":"chat.completion","created":1,"choices":[{"index":0,"message":{"role":"assistant","content":"yes"},'
    b'"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}'
)
ANSWERS = [READ, http_head(content_type="application/json", content_length=str(len(ANSWER))), ANSWER, STALL]


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
async def started() -> AsyncIterator[Callable[..., Any]]:
    async with AsyncExitStack() as stack:
        yield stack.enter_async_context


def server_tls(cert: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    cert.configure_cert(context)
    return context


@asynccontextmanager
async def refusing(tls: ssl.SSLContext) -> AsyncIterator[str]:
    """A server that says in TLS why it takes no client, as asyncio's own does not. Gives its URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard, said = ssl.MemoryBIO(), ssl.MemoryBIO()
        connection = tls.wrap_bio(heard, said, server_side=True)
        with pytest.raises(ssl.SSLError):
            while True:
                heard.write(await reader.read(65536))
                with suppress(ssl.SSLWantReadError):
                    connection.do_handshake()
                    raise AssertionError("the client was taken")
                writer.write(said.read())
        writer.write(said.read())
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.fixture
def pem(ca: trustme.CA) -> Iterator[Callable[[Any], str]]:
    """`path = pem(ca.cert_pem)`."""
    with ExitStack() as stack:
        yield lambda blob: stack.enter_context(blob.tempfile())


async def asked(serve: Serve, url: str, **provider: Any) -> Answered:
    return await (await serving(serve, url, **provider)).chat()


async def serving(serve: Serve, url: str, **provider: Any) -> Served:
    return await serve(
        providers={"relay": {"adapter": "openai_chat", "base_url": url, "api_key": "sk-upstream", **provider}},
        models={"doubao-seed": files.model(files.route("relay", "relay"))},
        keys=[files.key("all", files.KEY)],
    )


def text(answered: Answered) -> str:
    content: str = answered.json["choices"][0]["message"]["content"]
    return content


async def test_only_certificates_of_the_named_authority_are_believed(
    serve: Serve, started: Any, ca: trustme.CA, pem: Callable[[Any], str]
) -> None:
    upstream = await started(ScriptedUpstream(ANSWERS, tls=server_tls(ca.issue_cert("127.0.0.1"))))
    refused = await asked(serve, upstream.url)
    assert (refused.status, refused.error["code"]) == (502, "upstream_unreachable")
    assert upstream.requests == []
    assert text(await asked(serve, upstream.url, tls={"ca": pem(ca.cert_pem)})) == "yes"


@pytest.mark.parametrize("fault", ["another authority", "another name", "expired"])
async def test_a_certificate_that_is_not_the_providers(
    serve: Serve, started: Any, ca: trustme.CA, pem: Callable[[Any], str], fault: str
) -> None:
    cert = {
        "another authority": lambda: trustme.CA().issue_cert("127.0.0.1"),
        "another name": lambda: ca.issue_cert("elsewhere.example"),
        "expired": lambda: ca.issue_cert(
            "127.0.0.1", not_before=dt.datetime(2020, 1, 1, tzinfo=dt.UTC), not_after=dt.datetime(2020, 2, 1, tzinfo=dt.UTC)
        ),
    }[fault]()
    upstream = await started(ScriptedUpstream(ANSWERS, tls=server_tls(cert)))
    served = await serving(serve, upstream.url, tls={"ca": pem(ca.cert_pem)})
    answered = await served.chat()
    assert (answered.status, answered.error["code"]) == (502, "upstream_unreachable")
    assert upstream.requests == [] and await served.metric("paifang_ledger_unsettled") == 0


async def test_a_certificate_is_shown_to_who_asks_for_one(
    serve: Serve, started: Any, ca: trustme.CA, pem: Callable[[Any], str]
) -> None:
    tls = server_tls(ca.issue_cert("127.0.0.1"))
    tls.verify_mode = ssl.CERT_REQUIRED
    ca.configure_trust(tls)
    upstream = await started(ScriptedUpstream(ANSWERS, tls=tls))
    ours = ca.issue_cert("gateway.example")
    trusting = {"ca": pem(ca.cert_pem)}
    shown = {"cert": pem(ours.cert_chain_pems[0]), "key": pem(ours.private_key_pem)}
    assert text(await asked(serve, upstream.url, tls=trusting | shown)) == "yes"
    assert text(await asked(serve, upstream.url, tls=trusting | {"cert": pem(ours.private_key_and_cert_chain_pem)})) == "yes"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("shown", ["none", "of another authority", "expired"])
async def test_where_a_client_certificate_is_missing_or_refused_nothing_was_sent(
    serve: Serve,
    started: Any,
    fake_openai: FakeOpenAI,
    ca: trustme.CA,
    pem: Callable[[Any], str],
    version: ssl.TLSVersion,
    shown: str,
) -> None:
    tls = server_tls(ca.issue_cert("127.0.0.1"))
    tls.minimum_version = tls.maximum_version = version
    tls.verify_mode = ssl.CERT_REQUIRED
    ca.configure_trust(tls)
    url = await started(refusing(tls))
    past = {"not_before": dt.datetime(2020, 1, 1, tzinfo=dt.UTC), "not_after": dt.datetime(2020, 2, 1, tzinfo=dt.UTC)}
    ours = {
        "none": lambda: None,
        "of another authority": lambda: trustme.CA().issue_cert("gateway.example"),
        "expired": lambda: ca.issue_cert("gateway.example", **past),
    }[shown]()
    cert = {} if ours is None else {"cert": pem(ours.private_key_and_cert_chain_pem)}
    strict = {"base_url": url, "tls": {"ca": pem(ca.cert_pem), **cert}}
    served = await serve(
        providers={"strict": {"adapter": "openai_chat", "api_key": "sk-upstream", **strict}, "relay": files.relay(fake_openai)},
        models={"doubao-seed": files.model(files.route("strict", "strict", priority=1), files.route("relay", "relay"))},
        keys=[files.key("all", files.KEY)],
    )
    answered = await served.chat()
    assert (answered.status, answered.headers["x-paifang-route"]) == (200, "relay")
    assert await served.gateway.store.exposures.open(0, 2**62, "UTC") == []
    [probe, _] = await probe_all(served.gateway.snapshot)
    assert (probe.result, probe.code) == ("refused", "upstream_unreachable")
    assert "client certificate" in probe.message and "providers.strict.tls" in probe.message


@pytest.mark.parametrize(
    ("tls", "problem"),
    [
        ({"ca": "missing.pem"}, "can't be read: No such file"),
        ({"ca": "gateway.yaml"}, "holds no PEM certificates"),
        ({"cert": "gateway.yaml"}, "can't be used"),
        ({"key": "gateway.yaml"}, "found a key without cert"),
    ],
)
async def test_files_that_can_not_be_used(serve: Serve, tls: dict[str, str], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        await asked(serve, "https://127.0.0.1:1", tls=tls)
    [told] = caught.value.problems
    assert told.path == "providers.relay.tls" and told.line > 1


async def test_https_goes_through_a_tunnel_that_sees_neither_key_nor_prompt(
    serve: Serve, started: Any, ca: trustme.CA, pem: Callable[[Any], str]
) -> None:
    upstream = await started(ScriptedUpstream(ANSWERS, tls=server_tls(ca.issue_cert("127.0.0.1"))))
    proxy = await started(OutboundProxy())
    url = f"http://me:se%3Acret@127.0.0.1:{proxy.port}"
    assert text(await asked(serve, upstream.url, tls={"ca": pem(ca.cert_pem)}, proxy=url)) == "yes"
    [head] = proxy.heads
    assert head.startswith(b"CONNECT 127.0.0.1:")
    assert b"Proxy-Authorization: Basic " + base64.b64encode(b"me:se:cret") in head
    assert b"sk-upstream" not in head and b"\r\nUser-Agent: paifang/" in head and b"aiohttp" not in head
    assert b"proxy" not in upstream.requests[0].lower()


async def test_a_tunnel_does_not_excuse_a_certificate(serve: Serve, started: Any, ca: trustme.CA) -> None:
    upstream = await started(ScriptedUpstream(ANSWERS, tls=server_tls(ca.issue_cert("127.0.0.1"))))
    proxy = await started(OutboundProxy())
    refused = await asked(serve, upstream.url, proxy=f"http://127.0.0.1:{proxy.port}")
    assert (refused.status, refused.error["code"], upstream.requests) == (502, "upstream_unreachable", [])


async def test_http_is_asked_of_the_proxy_by_its_whole_address(serve: Serve, started: Any) -> None:
    upstream = await started(ScriptedUpstream(ANSWERS))
    proxy = await started(OutboundProxy())
    assert text(await asked(serve, upstream.url + "/v1", proxy=f"http://me:secret@127.0.0.1:{proxy.port}")) == "yes"
    [head] = proxy.heads
    assert head.startswith(f"POST {upstream.url}/v1/chat/completions HTTP/1.1\r\n".encode())
    assert b"\r\nproxy-authorization: basic " in head.lower()


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_refuses_or_is_not_there(serve: Serve, started: Any, scheme: str) -> None:
    proxy = await started(OutboundProxy("407 Proxy Authentication Required"))
    for port in (1, proxy.port):
        answered = await asked(serve, f"{scheme}://127.0.0.1:2", proxy=f"http://me:a-long-secret@127.0.0.1:{port}")
        assert answered.status == 502 and b"a-long-secret" not in answered.raw


async def test_the_environment_names_no_proxy(serve: Serve, started: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    upstream = await started(ScriptedUpstream(ANSWERS))
    assert text(await asked(serve, upstream.url)) == "yes"


@pytest.mark.parametrize("proxy", ["https://a:1", "a:1", "http://a", "http://a:1/path", "socks5://a:1", "http://a b:1"])
async def test_what_is_no_proxy(serve: Serve, proxy: str) -> None:
    with pytest.raises(ConfigError, match="expected one such as http://proxy"):
        await asked(serve, "http://127.0.0.1:1", proxy=proxy)
