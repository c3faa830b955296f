"""The usage log, request by request."""

from __future__ import annotations

import pytest

from proxy.storage import requestlog
from proxy.storage.requestlog import LoggedRequest
from proxy.storage.store import Store
from tests.proxy.storage.parts import START_S, row

ALWAYS = (0, 2**62)


async def test_what_a_row_tells(store: Store) -> None:
    told = row("req-1", 100, client_request_id="mine", wallet="team-a", cost_nanousd=60, price_line="5 × $20/M", stream=True)
    await store.ledger.commit([], told)
    assert await store.requests.page(*ALWAYS, {}, limit=9) == [
        LoggedRequest(
            request_id="req-1", client_request_id="mine", received_ns=START_S * 10**9, key="ci", wallet="team-a", user="u",
            model="doubao-seed", family="doubao", route="ark", provider="ark", attempts=1, input_tokens=10,
            cached_input_tokens=0, output_tokens=5, reasoning_tokens=0, estimated=False, debit=100, cost=60,
            price_line="5 × $20/M", latency_ms=1, first_token_ms=None, overhead_ms=1, status=200, code="", ended="complete",
            stream=True,
        )
    ]  # fmt: skip


@pytest.mark.parametrize("which", [{"user": "v"}, {"key": "cd"}, {"request": "req-2"}, {"request": "mine"}])
async def test_only_what_is_asked_for(store: Store, which: dict[str, str]) -> None:
    await store.ledger.commit([], row("req-1", 100))
    await store.ledger.commit([], row("req-2", 0, client_request_id="mine", user="v", key="cd"))
    assert [request.request_id for request in await store.requests.page(*ALWAYS, which, limit=9)] == ["req-2"]


@pytest.mark.parametrize(("looked_at", "taken"), [(1, 1), (2, 5), (5, 2), (100, 100)])
async def test_slices_make_pages(store: Store, looked_at: int, taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three rows share each nanosecond."""
    monkeypatch.setattr(requestlog, "SLICE_ROWS", looked_at)
    monkeypatch.setattr(requestlog, "READ_ROWS", taken)
    for number in range(12):
        await store.ledger.commit([], row(f"req-{number:02}", 100, received_ns=number // 3, user=("u", "v")[number % 2]))
    newest_first = [f"req-{number:02}" for number in reversed(range(12))]

    async def ids(size: int, since_ns: int = 0, until_ns: int = 2**62, **where: str) -> list[str]:
        found: list[LoggedRequest] = []
        while page := await store.requests.page(
            since_ns, until_ns, where, limit=size, before=found[-1].place if found else None
        ):
            found += page
        return [request.request_id for request in found]

    assert await ids(4) == newest_first
    assert await ids(100, since_ns=1, until_ns=3) == newest_first[3:9]
    assert await ids(4, user="v") == newest_first[::2]
