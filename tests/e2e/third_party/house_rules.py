"""A plugin by somebody else: it has every hook of a request, and of `proxy` it knows what `__all__` names."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from proxy import (
    App,
    Charge,
    ChatEvent,
    Forbidden,
    Outcome,
    Principal,
    RateLimited,
    RequestContext,
    Target,
    TextDelta,
    hookimpl,
)


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    diary: Path
    guest_key: str
    prefer: str
    at_once: int = 1


class Seat:
    """One of the places that may be taken at once."""

    def __init__(self, taken: set[str], request_id: str) -> None:
        self._taken = taken
        self._request_id = request_id
        taken.add(request_id)

    def settle(self, charge: Charge) -> None:
        self._taken.discard(self._request_id)

    async def void(self) -> None:
        self._taken.discard(self._request_id)


class HouseRules:
    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._version = ""

    @hookimpl
    def config_model(self) -> type[BaseModel]:
        return Options

    @hookimpl
    def startup(self, app: App, config: Options) -> None:
        self._version = app.version
        config.diary.write_text("")

    @hookimpl
    def register_routes(self, register: Callable[..., None]) -> None:
        async def rules(request: web.Request) -> web.Response:
            return web.json_response({"version": self._version, "taken": len(self._taken)})

        register("GET", "/house/rules", rules)

    @hookimpl
    async def authenticate(self, ctx: RequestContext, config: Options) -> Principal | None:
        return Principal(id="guest") if ctx.headers.get("x-guest") == config.guest_key else None

    @hookimpl
    async def authorize(self, ctx: RequestContext) -> None:
        if ctx.target is None and "forbidden" in str(ctx.chat and ctx.chat.body["messages"]):
            raise Forbidden("The house does not speak of this.", code="house_rule")

    @hookimpl
    def reserve(self, ctx: RequestContext, config: Options) -> Seat:
        if len(self._taken) >= config.at_once:
            raise RateLimited("Every seat is taken.", retry_after_s=3)
        return Seat(self._taken, ctx.request_id)

    @hookimpl
    def route(self, candidates: Sequence[Target], config: Options) -> Sequence[Target]:
        return sorted(candidates, key=lambda target: target.route != config.prefer)

    @hookimpl
    def transform_request(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        messages = [{**message, "content": str(message["content"]).replace("a@b.c", "[email]")} for message in body["messages"]]
        return {**body, "messages": messages}

    @hookimpl
    async def transform_event(self, event: ChatEvent) -> ChatEvent | None:
        return replace(event, text=event.text.upper()) if isinstance(event, TextDelta) else None

    @hookimpl
    def meter(self, outcome: Outcome) -> Charge | None:
        return None if outcome.usage is None else Charge(amount_nanousd=42_000_000, usage=outcome.usage)

    @hookimpl
    async def observe(self, ctx: RequestContext, outcome: Outcome, config: Options) -> None:
        line = {"who": ctx.principal.id if ctx.principal else None, "status": outcome.status, "code": outcome.code}
        with config.diary.open("a") as diary:
            diary.write(json.dumps(line) + "\n")
        raise RuntimeError("an observer's fault reaches nobody")
