"""observe: one line a request on standard error, as JSON or for people."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from itertools import groupby
from typing import Any, Literal

import orjson
import structlog
from pydantic import BaseModel, ConfigDict, Field

from proxy import App, Outcome, RequestContext, hookimpl

TOGETHER_S = 0.05
"""How long a line may wait for others."""


class AccessLogOptions(BaseModel):
    """The section `access_log` of gateway.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["auto", "console", "json"] = Field(
        "auto", description="console: for people; json: one object a line; auto: console on a terminal, else json."
    )


class AccessLog:
    """Writes who asked what of which route, how it ended, how long it took and what it cost. Never a prompt or a key."""

    def __init__(self) -> None:
        self._untold: list[tuple[RequestContext, Outcome, str]] = []
        self._writers: dict[str, Callable[[list[dict[str, Any]]], None]] = {}

    @hookimpl
    def config_model(self) -> type[BaseModel]:
        return AccessLogOptions

    @hookimpl
    def observe(self, ctx: RequestContext, outcome: Outcome, config: AccessLogOptions) -> None:
        # Some lines at a time: a write of its own costs each request more than the line.
        if not self._untold:
            asyncio.get_running_loop().call_later(TOGETHER_S, self._tell)
        self._untold.append((ctx, outcome, config.format))

    @hookimpl
    def shutdown(self, app: App) -> None:
        self._tell()

    def _tell(self) -> None:
        untold, self._untold = self._untold, []
        for style, requests in groupby(untold, key=lambda request: request[2]):
            write = self._writers.get(style)
            if write is None:
                write = self._writers[style] = _writer(style)
            write([_fields(ctx, outcome) for ctx, outcome, _ in requests])


def _writer(style: str) -> Callable[[list[dict[str, Any]]], None]:
    if style == "console" or (style == "auto" and sys.stderr.isatty()):
        lines = structlog.PrintLogger(sys.stderr)
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), sort_keys=False)
        return lambda requests: lines.msg("\n".join(str(renderer(lines, "info", fields)) for fields in requests))
    raw = structlog.BytesLogger(sys.stderr.buffer)
    return lambda requests: raw.msg(b"\n".join(map(orjson.dumps, requests)))


@lru_cache(maxsize=4)
def _second(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).isoformat()[:19]


def _fields(ctx: RequestContext, outcome: Outcome) -> dict[str, Any]:
    """What is not known, or says nothing, is left out."""
    fields: dict[str, Any] = {
        "event": "request",
        "timestamp": f"{_second(ctx.received_ns // 10**9)}.{ctx.received_ns // 10**6 % 1000:03d}+00:00",
        "request_id": ctx.request_id,
    }
    if ctx.client_request_id:
        fields["client_request_id"] = ctx.client_request_id
    if ctx.principal is not None:
        fields["key"] = ctx.principal.id
    if ctx.model is not None:
        fields["model"] = ctx.model.name
    if outcome.target is not None:
        fields["route"] = outcome.target.label
    fields["attempts"], fields["status"] = len(outcome.attempts), outcome.status
    if outcome.code:
        fields["code"] = outcome.code
    if outcome.stage:
        fields["stage"] = outcome.stage
    fields["end"] = outcome.end
    if ctx.chat is not None:
        fields["stream"] = ctx.chat.stream
    if (usage := outcome.usage) is not None:
        fields["input_tokens"], fields["output_tokens"] = usage.input_tokens, usage.output_tokens
        if usage.estimated:
            fields["estimated"] = True
    if outcome.charge is not None:
        fields["debit_nanousd"] = outcome.charge.amount_nanousd
    fields["latency_ms"] = round(outcome.latency_s * 1000, 1)
    if outcome.first_token_s is not None:
        fields["first_token_ms"] = round(outcome.first_token_s * 1000, 1)
    fields["overhead_ms"] = round(outcome.overhead_s * 1000, 2)
    if outcome.error is not None and outcome.error.detail:
        fields["detail"] = outcome.error.detail
    return fields
