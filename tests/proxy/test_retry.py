"""What follows a failed attempt, for every class of failure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from proxy.chat import ChatRequest
from proxy.context import Target
from proxy.errors import (
    Progress,
    Remedy,
    StreamTruncated,
    UpstreamBusy,
    UpstreamError,
    UpstreamFailed,
    UpstreamProtocolError,
    UpstreamRefused,
    UpstreamRejectedUs,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from proxy.retry import RetryBudget, backoff_s, first, following
from tests.plugins.targets import target

CHAT = ChatRequest(body={}, body_bytes=2, model="m")
NOT_OPEN = UpstreamRejectedUs("x", code="upstream_model_unavailable", remedy=Remedy.NEXT_ROUTE)


def cooling(route: str) -> Target:
    made = target(route)
    with capture_logs():
        made.health.cool(9, "busy", 0)
    return made


def after(error: UpstreamError, failed: Target, untried: Sequence[Target], **more: Any) -> tuple[str, float] | None:
    found = following(error, failed, untried, CHAT, 0, **{"number": 1, "jitter": lambda: 0.5, **more})
    return None if found is None else (found[0].route, found[1])


@pytest.mark.parametrize(
    ("error", "elsewhere", "alone"),
    [
        (UpstreamUnreachable("dns, refused, TLS"), "b", None),
        (UpstreamTimeout("connecting", progress=Progress.NEVER_SENT), "b", None),
        (UpstreamFailed("5xx"), "b", "a"),
        (UpstreamFailed("5xx", retry_after_s=2), "b", "a"),
        (UpstreamFailed("5xx", retry_after_s=11), "b", None),
        (UpstreamBusy("429"), "b", None),
        (UpstreamRejectedUs("401"), "b", None),
        (NOT_OPEN, "b", None),
        (UpstreamRefused("400"), None, None),
        (UpstreamProtocolError("redirect, 101, garbage, HTML"), "b", None),
        (StreamTruncated("before the first event"), "b", None),
        (UpstreamTimeout("silence after the request"), None, None),
        (UpstreamUnreachable("lost after the request", progress=Progress.AMBIGUOUS), None, None),
    ],
    ids=lambda value: str(value),
)
def test_by_class_of_failure(error: UpstreamError, elsewhere: str | None, alone: str | None) -> None:
    a, b = target("a"), target("b")
    assert (after(error, a, [b]) or (None,))[0] == elsewhere
    assert (after(error, a, []) or (None,))[0] == alone


def test_what_may_have_been_served_is_sent_again_where_the_route_allows_it() -> None:
    lost = UpstreamUnreachable("x", progress=Progress.AMBIGUOUS)
    bold = target("a", retry_ambiguous=True)
    assert after(lost, bold, [target("b")]) == ("b", 0)
    assert after(lost, bold, []) == ("a", 0.125)


def test_a_route_that_may_not_be_asked_is_passed_over() -> None:
    assert after(UpstreamFailed("x"), target("a"), [cooling("b"), target("c")]) == ("c", 0)
    assert after(UpstreamFailed("x"), target("a"), [cooling("b")]) == ("a", 0.125)
    assert after(UpstreamFailed("x"), cooling("a"), [cooling("b")]) is None
    assert first([cooling("a"), cooling("b")], CHAT, 0) is None


def test_another_route_is_asked_at_once_and_the_same_one_after_a_pause() -> None:
    a, b = target("a"), target("b")
    assert after(UpstreamFailed("x"), a, [b]) == ("b", 0)
    assert after(UpstreamFailed("x"), a, [], number=2) == ("a", 0.25)
    assert after(UpstreamFailed("x", retry_after_s=2), a, [], number=2) == ("a", 2.25)


def test_the_backoff_doubles_and_any_part_of_it_is_waited() -> None:
    assert [backoff_s(number, lambda: 1) for number in range(1, 8)] == [0.25, 0.5, 1, 2, 4, 4, 4]
    assert [backoff_s(3, iter([part]).__next__) for part in (0, 0.1, 0.9)] == [0, 0.1, 0.9]


@pytest.mark.parametrize(("active", "most"), [(0, 3), (15, 3), (19, 3), (20, 4), (100, 20), (1000, 200)])
def test_a_fifth_of_a_pool_s_requests_may_be_on_a_further_attempt_and_at_least_three(active: int, most: int) -> None:
    budget = RetryBudget()
    budget.active = active
    assert [budget.take() for _ in range(most + 2)] == [True] * most + [False] * 2
    budget.free()
    assert budget.take()


@pytest.mark.parametrize(("workers", "most"), [(1, 3), (2, 2), (3, 1), (8, 1)])
def test_workers_have_a_part_each_of_the_least_retries(workers: int, most: int) -> None:
    budget = RetryBudget(workers)
    assert [budget.take() for _ in range(most + 1)] == [True] * most + [False]
