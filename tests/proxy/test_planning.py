"""Who may be asked now, and what a client is told where nobody may."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from proxy import hookimpl
from proxy.chat import ChatRequest
from proxy.context import RequestContext, Target
from proxy.planning import order, ready, refusal
from tests.plugins.targets import context, target
from tests.proxy.test_chain import chain

S = 10**9
CHAT = ChatRequest(body={}, body_bytes=2, model="m")
STATES: dict[str, Callable[[Target], object]] = {
    "serving": lambda target: None,
    "cooling": lambda target: target.health.cool(20, "upstream_rate_limited", 0),
    "open": lambda target: target.health.open("upstream_error, 5 in a row", 0),
    "route refused": lambda target: target.health.refuse("upstream_model_unavailable", 0),
    "credential refused": lambda target: target.health.credential.refuse("upstream_auth_failed", 0),
    "used up": lambda target: target.health.credential.refuse("upstream_quota_exhausted", 0),
    "plugin's own": lambda target: target.health.refuse("not_today", 0),
}


def ctx_of(*states: str) -> RequestContext:
    targets = tuple(target(state) for state in states)
    with capture_logs():
        for state, made in zip(states, targets, strict=True):
            STATES[state](made)
    return context(chat=CHAT, candidates=targets)


def test_while_all_may_be_asked_nothing_is_made() -> None:
    ctx = ctx_of("serving", "serving")
    assert ready(ctx, 0) is ctx.candidates


def test_only_those_who_may_be_asked() -> None:
    ctx = ctx_of(*STATES)
    assert [target.route for target in ready(ctx, 0)] == ["serving"]
    assert [target.route for target in ready(ctx, 5 * S)] == ["serving", "open"]
    assert [target.route for target in ready(ctx, 20 * S)] == ["serving", "cooling", "open"]
    assert len(ready(ctx, 60 * S)) == len(STATES)


@pytest.mark.parametrize(
    ("states", "status", "code", "headers"),
    [
        (["cooling"], 429, "upstream_rate_limited", {"retry-after": "20"}),
        (["cooling", "open"], 429, "upstream_rate_limited", {"retry-after": "5"}),
        (["route refused", "cooling"], 429, "upstream_rate_limited", {"retry-after": "20"}),
        (["open"], 503, "no_route_available", {"retry-after": "5"}),
        (["open", "credential refused"], 503, "no_route_available", {"retry-after": "5"}),
        (["credential refused"], 502, "upstream_auth_failed", {"x-should-retry": "false"}),
        (["route refused", "credential refused"], 502, "upstream_model_unavailable", {"x-should-retry": "false"}),
    ],
)
def test_what_a_client_is_told(states: list[str], status: int, code: str, headers: dict[str, str]) -> None:
    error = refusal(ctx_of(*states), 0)
    assert (error.status, error.code, error.headers()) == (status, code, headers)


@pytest.mark.parametrize(
    ("states", "told"),
    [
        (["route refused", "route refused"], "The providers do not offer this model to the gateway"),
        (["credential refused"], "The providers of this model refuse the gateway's credential"),
        (["used up"], "The gateway's account with the providers of this model is overdue or used up"),
        (["plugin's own"], "Every provider of this model refuses the gateway"),
        (["route refused", "credential refused"], "Every provider of this model refuses the gateway"),
    ],
)
def test_a_refusal_says_what_is_refused(states: list[str], told: str) -> None:
    assert refusal(ctx_of(*states), 0).message == f"{told}; its operator finds the reason in `paifang routes`."


async def test_a_route_that_is_answered_twice_is_tried_once() -> None:
    class Twice:
        @hookimpl
        def route(self, candidates: Sequence[Target]) -> Sequence[Target]:
            return [*reversed(candidates), *candidates]

    ctx = ctx_of("serving", "serving")
    object.__setattr__(ctx, "snapshot", SimpleNamespace(chain=chain(Twice())[0]))
    assert list(await order(ctx, 0, 0)) == list(reversed(ctx.candidates))
