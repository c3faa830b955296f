"""observe: one line a request on standard error, as JSON or for people."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from datetime import UTC, datetime
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


def _fields(ctx: RequestContext, outcome: Outcome) -> dict[str, Any]:
    charge, usage = outcome.charge, outcome.usage
    fields: dict[str, Any] = {
        "event": "request",
        "timestamp": datetime.fromtimestamp(ctx.received_ns / 1e9, UTC).isoformat(timespec="milliseconds"),
        "request_id": ctx.request_id,
        "client_request_id": ctx.client_request_id or None,
        "key": ctx.principal.id if ctx.principal else None,
        "model": ctx.model.name if ctx.model else None,
        "route": outcome.target.label if outcome.target else None,
        "attempts": len(outcome.attempts),
        "status": outcome.status,
        "code": outcome.code or None,
        "stage": outcome.stage or None,
        "end": outcome.end,
        "stream": ctx.chat.stream if ctx.chat else None,
        "input_tokens": usage.input_tokens if usage else None,
        "output_tokens": usage.output_tokens if usage else None,
        "estimated": usage.estimated or None if usage else None,
        "debit_nanousd": charge.amount_nanousd if charge else None,
        "latency_ms": round(outcome.latency_s * 1000, 1),
        "first_token_ms": None if outcome.first_token_s is None else round(outcome.first_token_s * 1000, 1),
        "overhead_ms": round(outcome.overhead_s * 1000, 2),
        "detail": outcome.error.detail or None if outcome.error else None,
    }
    return {name: value for name, value in fields.items() if value is not None}
