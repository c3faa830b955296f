"""What providers say instead of an answer: what the client is told, who else is asked, how long the route is left alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from proxy.jsontext import dumps
from tests.e2e.conftest import Serve
from tests.e2e.test_upstream_faults import behind, error
from tests.e2e.unharmed import unharmed
from tests.fakes import FIN, READ, ScriptedUpstream

Scripted = Callable[..., Awaitable[ScriptedUpstream]]
QUOTES_OUR_KEY = dumps({"error": {"message": "Incorrect API key provided: sk-upstream-secret", "code": "invalid_api_key"}})
BUSY, FAILED = (429, "upstream_rate_limited"), (502, "upstream_error")
OURS, UNPAID = (502, "upstream_auth_failed"), (502, "upstream_quota_exhausted")
NO_MODEL, REFUSED = (502, "upstream_model_unavailable"), (400, "upstream_invalid_request")


@dataclass(frozen=True)
class Refusal:
    """told: status and code for the client. state: of the route from then on, and for how many seconds."""

    status: int
    told: tuple[int, str]
    state: str = "serving"
    wait_s: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = QUOTES_OUR_KEY.replace(b"invalid_api_key", b"x")


def code(name: str) -> bytes:
    return QUOTES_OUR_KEY.replace(b"invalid_api_key", name.encode())


def busy(wait_s: int, **headers: str) -> Refusal:
    return Refusal(429, BUSY, "cooling", wait_s, headers)


NOON = "Sun, 22 Nov 2026 12:00:00 GMT"
REFUSALS = {
    **{f"U42 {status}": Refusal(status, REFUSED) for status in (400, 409, 413, 422)},
    "U42 400, too long": Refusal(400, (400, "context_length_exceeded"), body=code("context_length_exceeded")),
    "U42 451": Refusal(451, (400, "content_filter")),
    "U42 404": Refusal(404, NO_MODEL, "refused", 60),
    "U42 400, and it is the model": Refusal(400, NO_MODEL, "refused", 60, body=code("model_not_found")),
    "U43 401": Refusal(401, OURS, "refused", 60, body=QUOTES_OUR_KEY),
    "U43 403": Refusal(403, OURS, "refused", 60),
    "U43 401 as a web page": Refusal(401, OURS, "refused", 60, body=b"<html>sk-upstream-secret</html>"),
    "U43 400, and it is the key": Refusal(400, OURS, "refused", 60, body=QUOTES_OUR_KEY),
    "U44 no word of when": busy(5),
    "U44 seconds": busy(7, retry_after="7"),
    "U44 part of a second": busy(1, retry_after="0.4"),
    "U44 milliseconds": busy(3, retry_after_ms="2500", retry_after="60"),
    "U44 a date": busy(20, retry_after="Sun, 22 Nov 2026 12:00:20 GMT", date=NOON),
    "U44 a date long gone": busy(5, retry_after="Sun, 22 Nov 2020 12:00:20 GMT", date=NOON),
    "U44 negative": busy(5, retry_after="-3"),
    "U44 thirty years": busy(120, retry_after="1000000000"),
    "U44 no number": busy(5, retry_after="soon"),
    "U44 408": Refusal(408, BUSY, "cooling", 5),
    "U44 425": Refusal(425, BUSY, "cooling", 5),
    "U45 429": Refusal(429, UNPAID, "refused", 60, {"retry_after": "1"}, code("insufficient_quota")),
    "U45 402": Refusal(402, UNPAID, "refused", 60),
    **{f"U46 {status}": Refusal(status, FAILED) for status in (500, 501, 502, 503, 504, 520, 524, 529, 599, 999)},
    "U46 503, and when": Refusal(503, FAILED, "cooling", 7, {"retry_after": "7"}),
    "U46 500 as a list": Refusal(500, FAILED, body=b'[{"error":{"message":"sk-upstream-secret"}}]'),
    **{f"it is the address: {status}": Refusal(status, FAILED) for status in (405, 407, 415, 421, 426, 431, 499)},
}  # fmt: skip


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
async def test_refusals(serve: Serve, scripted: Scripted, refusal: Refusal) -> None:
    upstream = await scripted([READ, error(f"{refusal.status} X", refusal.body, **refusal.headers), FIN])
    served = await behind(serve, upstream)
    with capture_logs() as logs:
        answered = await served.chat("m", stream=True)
    assert (answered.status, answered.error["code"]) == refusal.told and b"sk-upstream" not in answered.raw
    assert answered.error["upstream"]["status"] == refusal.status
    attempts = upstream.connections
    assert attempts == (3 if refusal.status >= 500 and refusal.state == "serving" else 1)
    assert answered.headers["x-paifang-attempts"] == str(attempts)
    assert await served.metric("paifang_route_attempts_total", outcome=refusal.told[1]) == attempts
    assert await served.metric("paifang_cost_usd_total", route="m/relay") == 0

    health = served.gateway.snapshot.models["m"].pool[0].health
    now_ns = served.gateway.app.clock.monotonic_ns()
    assert health.standing(now_ns)[0] == refusal.state
    assert refusal.wait_s - 1 < health.wait_ns(now_ns) / 1e9 <= refusal.wait_s
    credential_at_fault = refusal.told in (OURS, UNPAID)
    assert any(line["event"] == "credential refused" and line["log_level"] == "error" for line in logs) is credential_at_fault
    if refusal.state != "serving":
        again = await served.chat("m")
        assert (again.status, again.headers.get("x-paifang-attempts")) == (429 if refusal.state == "cooling" else 502, None)
        assert upstream.connections == attempts
    if refusal.state == "cooling":
        assert answered.headers["retry-after"] == again.headers["retry-after"] == str(refusal.wait_s)

    pooled = await served.chat("pooled")
    if refusal.told[0] == 400:
        assert (pooled.status, pooled.headers["x-paifang-attempts"]) == (400, "1")
    else:
        assert (pooled.status, pooled.headers["x-paifang-route"]) == (200, "last")
    await unharmed(served)


@pytest.mark.parametrize("status", [200, 400, 500])
async def test_usage_of_a_refusal_is_billed(serve: Serve, scripted: Scripted, status: int) -> None:
    body = dumps({"error": {"message": "no", "code": "x"}, "usage": {"prompt_tokens": 9, "completion_tokens": 4}})
    upstream = await scripted([READ, error(f"{status} X", body), FIN])
    served = await behind(serve, upstream)
    answered = await served.chat("m")
    assert answered.status == (400 if status == 400 else 502)
    [logged] = await served.gateway.store.requests.page(0, 2**62, {}, limit=2)
    assert (logged.input_tokens, logged.output_tokens, logged.estimated) == (9, 4, False)
    assert logged.debit == 9 * 1000 + 4 * 2000
    await unharmed(served)
