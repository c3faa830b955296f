"""Every hook a plugin may have. Plain or `async`; a hook takes any of its arguments, by name.

`config` is the plugin's own section of gateway.yaml: the model that its `config_model` named, else the plain mapping.
Within a hook, plugins are called in the order of the `plugins:` list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pluggy

from proxy.chat import ChatEvent

if TYPE_CHECKING:
    from pydantic import BaseModel

    from proxy.adapter import Adapter
    from proxy.app import App
    from proxy.context import Charge, Forecast, Hold, Outcome, Principal, RequestContext, Target

hookspec = pluggy.HookspecMarker("paifang")
hookimpl = pluggy.HookimplMarker("paifang")

STAGE_OF_HOOK = {
    "authenticate": "auth",
    "authorize": "scope",
    "reserve": "budget",
    "foresee": "budget",
    "route": "routing",
    "transform_request": "adapter",
    "transform_event": "adapter",
    "meter": "metering",
    "observe": "after",
}
"""The stage, as metrics and errors call it, of each hook that runs in a request."""
FAIL_OPEN = frozenset({"observe"})
"""Hooks whose faults are contained; those of every other hook fail the request."""


class Boot:
    """Called at start and at reload."""

    @hookspec
    def config_model(self) -> type[BaseModel]:
        """The frozen pydantic model of this plugin's section; unknown keys must be forbidden in it."""
        raise NotImplementedError

    @hookspec
    def register_adapters(self, register: Callable[[Adapter], None]) -> None:
        """Call `register(adapter)` for each dialect. Two of one name are refused at start."""

    @hookspec
    def register_routes(self, register: Callable[..., None]) -> None:
        """Call `register(method, path, handler)` for each HTTP endpoint of the plugin; handlers are aiohttp's."""

    @hookspec
    def register_commands(self, register: Callable[..., None]) -> None:
        """Call `register(name, function)` for each command of `paifang`; functions are typer's."""

    @hookspec
    def startup(self, app: App, config: BaseModel | Mapping[str, Any]) -> None:
        """Once before the first request, with the parts of the running gateway."""

    @hookspec
    def shutdown(self, app: App) -> None:
        """Once after the last request."""


class Request:
    """Called for every request, chats and embeddings alike (`ctx.chat.task` tells), in this order; `foresee` for those that are
    only asked about.
    """

    @hookspec
    def authenticate(self, ctx: RequestContext, config: Any) -> Principal | None:
        """Who is asking? First answer wins. Sees headers, not the body.

        None: not mine, ask the next; nobody answers: 401. Raises: Unauthenticated.
        """

    @hookspec
    def authorize(self, ctx: RequestContext, config: Any) -> None:
        """May they? Everyone is asked: once with `ctx.target` None, then again for each route before it is tried.

        Returns nothing. Raises: Forbidden, or any RequestError.
        """

    @hookspec
    def reserve(self, ctx: RequestContext, config: Any) -> Hold | None:
        """Reserve what the request may cost at most over all of `ctx.candidates`. Everyone may.

        None: nothing to hold. Raises: BudgetExhausted, RateLimited, WalletEmpty; the holds of those before are voided.
        """

    @hookspec
    def foresee(self, ctx: RequestContext, config: Any) -> Forecast | None:
        """What would `reserve` come to now? Everyone may answer, and nothing is held or counted: `paifang explain` asks.

        `ctx.chat` None: no request is meant, but all that the principal is held to (`paifang keys show`).
        None: nothing to tell. Raises: what `reserve` would; as good as a Forecast with that refusal.
        """

    @hookspec
    def route(self, ctx: RequestContext, candidates: Sequence[Target], config: Any) -> Sequence[Target] | None:
        """In which order to try. First answer wins; only targets out of `candidates` may be answered.

        None: ask the next. An empty answer: 503 no_route_available.
        """

    @hookspec
    def transform_request(self, ctx: RequestContext, body: Mapping[str, Any], config: Any) -> Mapping[str, Any] | None:
        """Change the body, Chat Completions or Embeddings, before its adapter sees it; each plugin gets the last one's answer.

        None: unchanged. `ctx.target` is the route. Changing "model" has no effect: the route says which model answers. The
        output cap can be lowered, not raised; the client is answered as it asked, streamed or not.
        """

    @hookspec
    def transform_event(self, ctx: RequestContext, event: ChatEvent, config: Any) -> ChatEvent | None:
        """Change one event of the answer; each plugin gets the last one's answer. None: unchanged.

        Events are Started, TextDelta, ReasoningDelta, ToolCallDelta, Extra and Finish, streaming or not.
        """

    @hookspec
    def meter(self, ctx: RequestContext, outcome: Outcome, config: Any) -> Charge | None:
        """What did it cost? First answer wins. Called at the end of every request that got past `reserve`, whatever its
        end, and before that every two seconds of a stream for what it has come to, so it must have no effects.

        None: ask the next; nobody answers: nothing is charged. Where nothing was served (`outcome.usage` is None) nothing is
        charged either, whatever the answer's amount. Then every Hold is settled or voided, before the last byte.
        """

    @hookspec
    def observe(self, ctx: RequestContext, outcome: Outcome, config: Any) -> None:
        """Look at every request that is over, refused ones included. Faults are contained, and named in log and metrics."""
