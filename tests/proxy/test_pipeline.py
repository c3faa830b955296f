"""What the pipeline tells of a request whose client is slow to take even its refusal."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aiohttp.test_utils import make_mocked_request

from proxy.chat import ChatEvent, ChatRequest
from proxy.context import RequestContext
from proxy.errors import GatewayError
from proxy.streaming import Headers, Reply
from tests.proxy.gateways import SIMULATED, opened


class TakenSlowly(Reply):
    """A client that takes its time."""

    def write(self, events: Sequence[ChatEvent], headers: Headers) -> None:
        raise AssertionError("there is no answer")

    async def end(self, usage: Mapping[str, Any] | None, headers: Mapping[str, str]) -> None:
        raise AssertionError("there is no answer")

    async def fail(self, error: GatewayError, headers: Mapping[str, str]) -> None:
        assert error.code == "invalid_api_key"
        await asyncio.sleep(0.5)


async def test_waiting_for_who_takes_an_error_slowly_is_no_time_of_ours(tmp_path: Path) -> None:
    request = make_mocked_request("POST", "/")
    told: list[dict[str, Any]] = []

    async def read() -> ChatRequest:
        raise AssertionError("nothing is read for strangers")

    async with opened(tmp_path, SIMULATED) as (gateway, _):
        gateway.app.events.forward = told.append
        ctx = RequestContext(request_id="req_1", snapshot=gateway.snapshot, received_ns=0, headers=request.headers)
        await gateway.pipeline.answer(ctx, read, lambda chat: TakenSlowly(request))
    [event] = told
    assert event["latency_ms"] >= 500
    assert event["overhead_ms"] < 400
