"""contract.md's table of errors, row by row, over the wire."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from proxy.storage.keys import KeyRecord, digest_of
from tests.e2e import files
from tests.e2e.conftest import Answered, Serve, Served
from tests.fakes import FakeArk, FakeOpenAI, eventually

SECRETS = ("fake-aggregator", "ark-00000000", files.KEY, files.PENNILESS, files.EXPIRED)
INVALID, UPSTREAM = "invalid_request_error", "upstream_error"


def check(answered: Answered, status: int, kind: str, code: str, param: str | None = None) -> None:
    """The one shape of errors, and that nothing of the inside is in it."""
    assert answered.headers["content-type"].startswith("application/json")
    error = answered.error
    assert error.keys() - {"upstream"} == {"message", "type", "param", "code"}
    assert (answered.status, error["type"], error["code"], error["param"]) == (status, kind, code, param)
    assert answered.headers["x-request-id"].startswith("req_")
    assert answered.headers.get("server", "paifang") == "paifang"
    told = answered.raw.decode() + str(dict(answered.headers))
    assert error["message"] and error["message"].replace("…", "").isascii()
    assert not any(secret in told for secret in SECRETS)
    assert not any(trace in told for trace in ("Traceback", 'File "', ".py", "aiohttp", "Errno"))
    retriable = status in (502, 503, 504, 500) or code in ("rate_limit_exceeded", "upstream_rate_limited")
    if not retriable:
        assert answered.headers["x-should-retry"] == "false"


BAD_FIELDS: list[tuple[dict[str, Any], str, str]] = [
    ({"model": None}, "invalid_value", "model"),
    ({"model": 7}, "invalid_value", "model"),
    ({"model": ""}, "invalid_value", "model"),
    ({"messages": None}, "invalid_value", "messages"),
    ({"messages": []}, "invalid_value", "messages"),
    ({"messages": "hi"}, "invalid_value", "messages"),
    ({"messages": [{"role": "robot", "content": "hi"}]}, "invalid_value", "messages[0].role"),
    ({"messages": [{"role": "user"}]}, "invalid_value", "messages[0].content"),
    ({"messages": [{"role": "user", "content": 3}]}, "invalid_value", "messages[0].content"),
    ({"temperature": 2.1}, "invalid_value", "temperature"),
    ({"temperature": "warm"}, "invalid_value", "temperature"),
    ({"temperature": True}, "invalid_value", "temperature"),
    ({"top_p": -0.1}, "invalid_value", "top_p"),
    ({"max_tokens": 0}, "invalid_value", "max_tokens"),
    ({"max_tokens": 1.5}, "invalid_value", "max_tokens"),
    ({"max_tokens": 4097}, "invalid_value", "max_tokens"),
    ({"max_completion_tokens": 4097}, "invalid_value", "max_completion_tokens"),
    ({"n": 0}, "invalid_value", "n"),
    ({"stream": "yes"}, "invalid_value", "stream"),
    ({"stream_options": 1}, "invalid_value", "stream_options"),
    ({"tools": {}}, "invalid_value", "tools"),
    ({"tools": [{"type": "function"}]}, "invalid_value", "tools[0].function"),
    ({"tool_choice": "maybe"}, "invalid_value", "tool_choice"),
    ({"response_format": {"type": "xml"}}, "invalid_value", "response_format.type"),
    ({"user": 1}, "invalid_value", "user"),
    ({"enable_thinking": "yes"}, "invalid_value", "enable_thinking"),
    ({"thinking": {"type": "hard"}}, "invalid_value", "thinking.type"),
    ({"reasoning_effort": "heroic"}, "invalid_value", "reasoning_effort"),
    ({"service_tier": "fast"}, "unsupported_parameter", "service_tier"),
    ({"tools": [{"type": "web_search"}]}, "unsupported_parameter", "tools"),
]


async def test_bad_fields(gateway: Served, fake_ark: FakeArk) -> None:
    for fields, code, param in BAD_FIELDS:
        check(await gateway.chat(**({"model": "doubao-seed"} | fields)), 400, INVALID, code, param)
    assert fake_ark.requests == []


BAD_BODIES = [
    b"",
    b"{",
    b"nonsense",
    b"[]",
    b'"text"',
    b"null",
    b"\xff\xfe",
    b'{"model": NaN}',
    b'{"a": 1, "a": ' + b"[" * 5000,
    b'{"model": "doubao-seed", "messages": [{"role": "user", "content": "\\ud800"}],',
]


async def test_bad_json(gateway: Served) -> None:
    headers = {"authorization": f"Bearer {gateway.key}", "content-type": "application/json"}
    for raw in BAD_BODIES:
        answered = await gateway.ask("POST", "/v1/chat/completions", data=raw, headers=headers)
        check(answered, 400, INVALID, "invalid_json")


async def test_keys(gateway: Served) -> None:
    for headers in ({}, {"authorization": "Bearer sk-pf-unknown"}, {"authorization": "Basic eDp5"}, {"x-api-key": "nope"}):
        body = {"model": "doubao-seed", "messages": files.HI}
        answered = await gateway.ask("POST", "/v1/chat/completions", json=body, headers=headers)
        check(answered, 401, "authentication_error", "invalid_api_key")
        check(await gateway.ask("GET", "/v1/models", headers=headers), 401, "authentication_error", "invalid_api_key")
    check(await gateway.chat(key=files.EXPIRED), 401, "authentication_error", "key_expired")
    secret = "sk-pf-of-the-store-0000000005"
    await gateway.gateway.app.keys.create(KeyRecord(name="stored", digest=digest_of(secret)))
    assert (await gateway.chat(key=secret)).status == 200
    await gateway.gateway.app.keys.revoke("stored")
    check(await gateway.chat(key=secret), 401, "authentication_error", "key_revoked")


async def test_two_keys(gateway: Served) -> None:
    differ = await gateway.chat(headers={"x-api-key": files.DOUBAO_ONLY})
    check(differ, 401, "authentication_error", "invalid_api_key")
    assert (await gateway.chat(headers={"x-api-key": gateway.key})).status == 200


async def test_models(gateway: Served) -> None:
    check(await gateway.chat("relayed", key=files.DOUBAO_ONLY), 403, "permission_error", "model_not_allowed", "model")
    check(await gateway.chat("gpt-17"), 404, INVALID, "model_not_found", "model")
    check(await gateway.chat("Doubao-Seed"), 404, INVALID, "model_not_found", "model")
    headers = {"authorization": f"Bearer {gateway.key}"}
    check(await gateway.ask("GET", "/v1/models/gpt-17", headers=headers), 404, INVALID, "model_not_found", "model")


async def test_a_key_is_asked_for_before_anything_is_told(gateway: Served) -> None:
    answered = await gateway.ask("POST", "/v1/chat/completions", data=b"{")
    check(answered, 401, "authentication_error", "invalid_api_key")


async def test_budgets(gateway: Served, serve: Serve, fake_ark: FakeArk) -> None:
    check(await gateway.chat(key=files.PENNILESS), 429, "insufficient_quota", "budget_exceeded", "key.daily")
    cent = {"daily_usd": 0.0001}
    for param, key, whole in (
        ("key.monthly", {"budget": {"monthly_usd": 0.0001}}, None),
        ("family.daily", {"budget": {"families": {"doubao": cent}}}, None),
        ("family.monthly", {"budget": {"families": {"doubao": {"monthly_usd": 0.0001}}}}, None),
        ("gateway.daily", {}, cent),
        ("gateway.monthly", {}, {"monthly_usd": 0.0001}),
    ):
        served = await serve(
            providers={"ark": files.ark(fake_ark)},
            models={"doubao-seed": files.model(files.route("ark", "ark", files.ARK_MODEL))},
            keys=[files.key("poor", files.KEY, **key)],
            budget=whole,
        )
        check(await served.chat(), 429, "insufficient_quota", "budget_exceeded", param)
    assert fake_ark.requests == []


async def test_an_empty_wallet(serve: Serve, fake_ark: FakeArk) -> None:
    served = await serve(
        providers={"ark": files.ark(fake_ark)},
        models={"doubao-seed": files.model(files.route("ark", "ark", files.ARK_MODEL))},
        wallets={"team": {}},
        keys=[files.key("ci", files.KEY, wallet="team")],
    )
    check(await served.chat(), 402, "insufficient_quota", "insufficient_balance", "wallet")
    assert fake_ark.requests == []


async def test_bodies_that_are_not_read(gateway: Served) -> None:
    headers = {"authorization": f"Bearer {gateway.key}"}
    large = await gateway.chat(messages=[{"role": "user", "content": "x" * 100_000}])
    check(large, 413, INVALID, "request_too_large")
    for more in ({"content-type": "text/plain"}, {"content-type": "application/json; charset=utf-16"}):
        answered = await gateway.ask("POST", "/v1/chat/completions", data=b"{}", headers=headers | more)
        check(answered, 415, INVALID, "unsupported_media_type")


PROVIDER: list[tuple[Callable[[Any], None], int, str, str]] = [
    (lambda fake: fake.fail_next(400, "bad", "坏请求"), 400, INVALID, "upstream_invalid_request"),
    (lambda fake: fake.fail_next(422, "bad", "no"), 400, INVALID, "upstream_invalid_request"),
    (lambda fake: fake.fail_next(400, "content_filter", "no"), 400, INVALID, "content_filter"),
    (lambda fake: fake.fail_next(400, "context_length_exceeded", "no"), 400, INVALID, "context_length_exceeded"),
    (lambda fake: fake.fail_next(401, "invalid_api_key", "no"), 502, UPSTREAM, "upstream_auth_failed"),
    (lambda fake: fake.fail_next(403, "forbidden", "no"), 502, UPSTREAM, "upstream_auth_failed"),
    (lambda fake: fake.fail_next(402, "x", "no"), 502, UPSTREAM, "upstream_quota_exhausted"),
    (lambda fake: fake.fail_next(404, "x", "no"), 502, UPSTREAM, "upstream_model_unavailable"),
    (lambda fake: fake.fail_next(429, "x", "no"), 429, "rate_limit_error", "upstream_rate_limited"),
    (lambda fake: fake.fail_next(500, "x", "内部错误", times=3), 502, UPSTREAM, "upstream_error"),
    (lambda fake: fake.fail_next(503, "x", "no", times=3), 502, UPSTREAM, "upstream_error"),
    (lambda fake: fake.fail_next(200, "x", "under 200", kind="server_error", times=3), 502, UPSTREAM, "upstream_error"),
    (lambda fake: fake.html_next(), 502, UPSTREAM, "upstream_error"),
    (lambda fake: fake.html_next(status=502, times=3), 502, UPSTREAM, "upstream_error"),
    (lambda fake: fake.redirect_next("http://127.0.0.1:1/"), 502, UPSTREAM, "upstream_error"),
    (lambda fake: fake.empty_next(status=200), 502, UPSTREAM, "upstream_error"),
    (lambda fake: fake.empty_next(status=404), 502, UPSTREAM, "upstream_model_unavailable"),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("spoil", "status", "kind", "code"), PROVIDER)
async def test_providers(
    gateway: Served,
    fake_openai: FakeOpenAI,
    spoil: Callable[[Any], None],
    status: int,
    kind: str,
    code: str,
    stream: bool,
) -> None:
    spoil(fake_openai)
    answered = await gateway.chat("relayed", stream=stream)
    assert answered.error["message"].isascii()
    assert (answered.status, answered.error["type"], answered.error["code"]) == (status, kind, code)
    check(answered, status, kind, code, answered.error["param"])
    assert answered.headers["x-paifang-route"] == "relay"
    assert await gateway.metric("paifang_cost_usd_total") == 0
    assert await gateway.metric("paifang_ledger_unsettled") == 0


async def test_retry_after_of_the_provider(gateway: Served, fake_openai: FakeOpenAI) -> None:
    fake_openai.fail_next(429, "x", "no", headers={"retry-after": "7"})
    answered = await gateway.chat("relayed")
    assert answered.headers["retry-after"] == "7" and "x-should-retry" not in answered.headers
    assert answered.error["upstream"]["status"] == 429


async def test_no_provider_there(serve: Serve) -> None:
    relay = {"adapter": "openai_chat", "api_key": "sk-upstream-secret"}
    served = await serve(
        providers={
            "nobody": {**relay, "base_url": "http://127.0.0.1:1/v1"},
            "nowhere": {**relay, "base_url": "http://does-not-exist.invalid/v1"},
            "off": {"adapter": "ark", "api_key": "${ARK_API_KEY:-}"},
        },
        models={name: files.model(files.route(name, name)) for name in ("nobody", "nowhere", "off")},
        keys=[files.key("all", files.KEY)],
    )
    check(await served.chat("nobody"), 502, UPSTREAM, "upstream_unreachable")
    check(await served.chat("nowhere"), 502, UPSTREAM, "upstream_unreachable")
    check(await served.chat("off"), 503, "server_error", "no_route_available")


async def test_a_provider_that_is_too_slow(serve: Serve, fake_openai: FakeOpenAI) -> None:
    fake_openai.delay(before_s=5)
    served = await serve(
        providers={"relay": files.relay(fake_openai, timeouts={"first_byte_s": 0.1, "total_s": 0.2})},
        models={"doubao-seed": files.model(files.route("relay", "relay"))},
        keys=[files.key("all", files.KEY)],
    )
    for stream in (False, True):
        check(await served.chat(stream=stream), 504, UPSTREAM, "upstream_timeout")


async def test_a_plugin_that_fails(serve: Serve, fake_ark: FakeArk) -> None:
    sections = {
        "providers": {"ark": files.ark(fake_ark)},
        "models": {"doubao-seed": files.model(files.route("ark", "ark", files.ARK_MODEL), free=True)},
        "keys": [files.key("all", files.KEY)],
        "plugins": ["virtual_keys", "./broken.py"],
    }
    text = "from proxy import hookimpl\n\n@hookimpl\ndef authorize(ctx):\n    raise RuntimeError('sk-secret inside')\n"
    served = await serve(**sections, also={"broken.py": text})
    with capture_logs() as logs:
        answered = await served.chat()
    assert (answered.status, answered.error["code"], answered.error["param"]) == (500, "plugin_error", "./broken.py")
    assert b"inside" not in answered.raw and fake_ark.requests == []
    assert [entry["plugin"] for entry in logs if entry.get("exc_info")] == ["./broken.py"]


async def test_shutting_down(gateway: Served) -> None:
    gateway.gateway.pipeline.draining = True
    check(answered := await gateway.chat(), 503, "server_error", "draining")
    assert int(answered.headers["retry-after"]) >= 1
    ready = await gateway.ask("GET", "/readyz")
    assert (ready.status, ready.json["reason"]) == (503, "draining")
    assert (await gateway.ask("GET", "/healthz")).status == 200


async def test_paths_and_methods(gateway: Served) -> None:
    for path in ("/", "/v1", "/v1/completions", "/v1/chat/completions/", "/v2/chat/completions"):
        check(await gateway.ask("POST", path, json={}), 404, INVALID, "not_found")
    wrong = await gateway.ask("GET", "/v1/chat/completions")
    check(wrong, 405, INVALID, "method_not_allowed")
    assert wrong.headers["allow"] == "POST"
    assert (await gateway.ask("HEAD", "/healthz")).status == 200
    check(await gateway.ask("DELETE", "/v1/models"), 405, INVALID, "method_not_allowed")


MALFORMED = [
    b"GET / HTTP/1.1\r\nAuthorization Bearer sk-pf-secret\r\n\r\n",
    b"NONSENSE sk-pf-secret\r\n\r\n",
    b"GET /sk-pf-secret HTTP/9.9\r\n\r\n",
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: sk-pf-secret\r\n\r\n",
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nsk-pf-secret",
    b"GET / HTTP/1.1\r\nHost: a\r\nX-Odd: \x00sk-pf-secret\r\n\r\n",
]


@pytest.mark.parametrize("raw", MALFORMED)
async def test_malformed_http(gateway: Served, raw: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(gateway.url.rpartition(":")[2]))
    writer.write(raw)
    answer = await asyncio.wait_for(reader.read(), 2)
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 ")), answer
    assert json.loads(body)["error"]["type"] == INVALID
    assert b"sk-pf-secret" not in answer and b"aiohttp" not in answer


def chat_head(length: int, more: str = "", key: str = files.KEY) -> bytes:
    lines = ["POST /v1/chat/completions HTTP/1.1", "Host: a", f"Authorization: Bearer {key}", f"Content-Length: {length}"]
    return ("\r\n".join(lines) + f"\r\n{more}\r\n").encode()


async def test_a_body_that_waits_to_be_asked_for(gateway: Served) -> None:
    body = json.dumps({"model": "simulated", "messages": files.HI}).encode()
    for key, line in ((files.KEY, b"HTTP/1.1 100 Continue\r\n"), ("sk-wrong", b"HTTP/1.1 401 Unauthorized\r\n")):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(gateway.url.rpartition(":")[2]))
        writer.write(chat_head(len(body), "Expect: 100-continue\r\n", key))
        async with asyncio.timeout(2):
            assert await reader.readline() == line
            if key == files.KEY:
                writer.write(body)
                assert (await reader.readuntil(b"200 OK\r\n")) == b"\r\nHTTP/1.1 200 OK\r\n"
            else:
                # The next request would be taken for the body.
                assert b"connection: close" in (await reader.readuntil(b"\r\n\r\n")).lower()
        writer.close()


@pytest.mark.parametrize("policy", ["cancel", "finish"])
async def test_an_upload_that_is_given_up_is_no_internal_error(serve: Serve, fake_openai: FakeOpenAI, policy: str) -> None:
    served = await serve(
        providers={"relay": files.relay(fake_openai, on_disconnect=policy)},
        models={"m": files.model(files.route("relay", "relay"))},
        keys=files.standard_keys(),
    )
    with capture_logs() as logs:
        _, writer = await asyncio.open_connection("127.0.0.1", int(served.url.rpartition(":")[2]))
        writer.write(chat_head(100) + b"{")
        await eventually(lambda: bool(served.gateway.pipeline.running))
        writer.transport.abort()
        await eventually(lambda: not served.gateway.pipeline.running)
        await served.gateway.tail.drain(1)
    assert logs == []
    assert await served.metric("paifang_requests_total", status="499") == 1


SPLITS = """
from proxy import hookimpl

@hookimpl
def authorize(ctx):
    ctx.reply_headers["x-fine"] = "yes"
    ctx.reply_headers["x-split"] = "a\\r\\nset-cookie: b=c"
"""


@pytest.mark.parametrize("stream", [False, True])
async def test_a_header_that_would_begin_another_is_left_out(serve: Serve, stream: bool) -> None:
    served = await serve(
        providers={"simulator": files.SIMULATOR},
        models={"m": files.model(files.route("sim", "simulator"), free=True)},
        keys=[files.key("ci", files.KEY)],
        plugins=["virtual_keys", "routing", "metering", "./splits.py"],
        also={"splits.py": SPLITS},
    )
    answered = await served.chat("m", stream=stream)
    assert (answered.status, answered.headers["x-fine"]) == (200, "yes")
    assert not {"x-split", "set-cookie"} & {name.lower() for name in answered.headers}


async def test_a_key_without_a_budget_is_not_served_while_the_ledger_cannot_write(
    serve: Serve, fake_openai: FakeOpenAI
) -> None:
    served = await serve(
        providers={"relay": {"adapter": "openai_chat", "base_url": fake_openai.base_url, "api_key": fake_openai.key}},
        models={
            "m": {"family": "f", "price": {"input": 1, "output": 1}, "routes": [{"provider": "relay", "model": "x"}]}
        },
        keys=[files.key("all", files.KEY)],
    )
    await served.gateway.store.close()
    check(answered := await served.chat("m"), 503, "server_error", "ledger_unavailable")
    assert int(answered.headers["retry-after"]) >= 1
    assert fake_openai.requests == []
    assert (await served.ask("GET", "/readyz")).status == 503
