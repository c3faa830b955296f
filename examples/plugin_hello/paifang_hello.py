"""A plugin for Paifang: greets on every answer in the header x-hello, and counts whom it greeted at GET /hello.

    .venv/bin/pip install ./examples/plugin_hello      # into the environment that Paifang runs in

Then list it, with or without options:

    plugins:
      - virtual_keys
      - hello: {greeting: Good morning}
      - …
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from proxy import Outcome, RequestContext, hookimpl


class HelloOptions(BaseModel):
    """The section `hello` of gateway.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    greeting: str = Field("Hello", pattern=r"^[ -~]+$", description="What the header x-hello says.")


class Hello:
    """Made once, without arguments, when gateway.yaml lists it; it stays the same over reloads."""

    def __init__(self) -> None:
        self._greeted: Counter[str] = Counter()

    @hookimpl
    def config_model(self) -> type[BaseModel]:
        return HelloOptions

    @hookimpl
    def authorize(self, ctx: RequestContext, config: HelloOptions) -> None:
        ctx.reply_headers["x-hello"] = config.greeting

    @hookimpl
    def observe(self, ctx: RequestContext, outcome: Outcome) -> None:
        if ctx.principal is not None:
            self._greeted[ctx.principal.id] += 1

    @hookimpl
    def register_routes(self, register: Callable[..., None]) -> None:
        register("GET", "/hello", self._count)

    async def _count(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"greeted": self._greeted.total(), "keys": len(self._greeted)})
