"""What would happen to a request, without calling anyone: the steps and the routes that live traffic would take now.

It runs the pipeline's own code, save at the budget: there each plugin is asked what holding would come to, and nothing is held,
because even a hold of a moment could refuse somebody's real request.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from multidict import CIMultiDict

from proxy import planning, settlement
from proxy.adapter import Send, open_exchange
from proxy.app import App
from proxy.bound import cost_bound
from proxy.chat import ChatRequest, Task
from proxy.context import Forecast, Principal, RequestContext, Room, Target
from proxy.endpoints.tasks import parse, question
from proxy.errors import GatewayError, NotFound, PluginFault
from proxy.knownnames import no_such
from proxy.money import nano_to_usd
from proxy.pipeline import Pipeline
from proxy.plural import counted
from proxy.pricelist import price_line
from proxy.secret import Secret
from proxy.snapshot import ModelEntry, Snapshot
from proxy.spanquery import iso
from proxy.storage.keys import KeyRecord
from proxy.upstream import AiohttpTransport

MASK = Secret("*****")


@dataclass(slots=True)
class Explanation:
    """As far as the request came."""

    model: str
    steps: list[dict[str, Any]] = field(default_factory=list)
    """{"stage", "plugins", "result"} in the order of the chain."""
    refusal: dict[str, Any] | None = None
    """{"stage", "status", "message", "type", "param", "code"} if it would be refused."""
    left: list[dict[str, Any]] = field(default_factory=list)
    """Of each limit that it falls under: {"param", "scope", "limit", "left", "unit", "resets_at"}."""
    clamped_max_tokens: int | None = None
    """What its output cap would be lowered to; None: it would not be."""
    routes: list[dict[str, Any]] = field(default_factory=list)
    """In the order to try; those beyond `attempts` never are."""
    resting: list[dict[str, Any]] = field(default_factory=list)
    """Routes that don't serve, and why."""
    attempts: int = 0
    request: dict[str, Any] | None = None
    """What would be sent to the first route, credentials masked; None: it answers by itself."""
    dropped: tuple[str, ...] = ()
    """Fields that the first route would leave out."""


class Explainer:
    """Answers `paifang explain` for one gateway."""

    def __init__(self, app: App, pipeline: Pipeline, transport: AiohttpTransport) -> None:
        self._app = app
        self._pipeline = pipeline
        self._transport = transport

    async def explain(self, model: str, key: str | None, body: Mapping[str, Any] | None) -> Explanation:
        """key: a key's name; None: a key without limits. body: a chat request; its model is replaced.

        Raises: NotFound: no such key. Everything else that goes wrong is part of the answer.
        """
        ctx = self._context()
        snapshot = ctx.snapshot
        record = None if key is None else find_key(snapshot, self._app, key)
        answer = Explanation(model=model, attempts=snapshot.config.defaults.retry.attempts)
        stage = "auth"
        try:
            ctx = replace(ctx, principal=self._principal(record, ctx))
            _step(answer, ctx, stage, "authenticate", _scope(ctx.principal, record))
            stage = "request"
            entry = snapshot.model(model)
            named = {"model": model}
            chat = question(entry.task, named) if body is None else parse(entry.task, {**body, **named})
            answer.model = entry.name
            answer.resting = _resting(snapshot, entry)
            alias = f"the alias {model} of " if model != entry.name else ""
            answer.steps.append({"stage": stage, "plugins": [], "result": f"{alias}{entry.name}, family {entry.family}"})
            stage = "scope"
            await planning.admit(ctx, chat, entry)
            _step(answer, ctx, stage, "authorize", f"allowed; {counted(len(ctx.candidates), 'candidate')}")
            stage = "budget"
            forecasts = await self._forecasts(ctx)
            answer.left = _rooms(forecasts)
            _step(answer, ctx, stage, "reserve", _most(ctx, chat))
            ctx = _held(ctx, forecasts, answer)
            stage = "routing"
            now_ns = self._app.clock.monotonic_ns()
            answer.resting += _unasked(ctx, now_ns)
            targets = await planning.order(ctx, self._pipeline.turn(entry.name), now_ns)
            answer.routes = [_route(target, entry.task) for target in targets]
            _step(answer, ctx, stage, "route", f"{targets[0].route} first, turn {ctx.turn}")
            stage = "adapter"
            ctx = replace(ctx, target=targets[0])
            await self._open(ctx, chat, answer)
            told = f"{answer.request['method']} {answer.request['url']}" if answer.request else "answers by itself"
            _step(answer, ctx, stage, "transform_request", f"{targets[0].adapter}: {told}")
        except GatewayError as error:
            answer.refusal = {"stage": stage, "status": error.status, **error.body()["error"]}
        return answer

    async def left(self, record: KeyRecord) -> list[dict[str, Any]] | None:
        """What is left of everything that a key is held to, as in Explanation; None: it can't be told now."""
        ctx = self._context()
        if record.refusal(ctx.received_ns):
            return []
        forecasts = await ctx.snapshot.chain.forecasts(replace(ctx, principal=record.admit(ctx.received_ns)))
        return None if any(forecast.refusal for forecast in forecasts) else _rooms(forecasts)

    def _context(self) -> RequestContext:
        return RequestContext(
            request_id="req_explain",
            snapshot=self._app.current(),
            received_ns=self._app.clock.now_ns(),
            headers=CIMultiDict(),
        )

    def _principal(self, record: KeyRecord | None, ctx: RequestContext) -> Principal:
        return Principal(id="") if record is None else record.admit(ctx.received_ns)

    async def _forecasts(self, ctx: RequestContext) -> list[Forecast]:
        """What holding would come to. Raises: LedgerUnavailable: nothing would be held."""
        settlement.refuse_unrecorded(ctx, self._app.ledger)
        return await ctx.snapshot.chain.forecasts(ctx)

    async def _open(self, ctx: RequestContext, chat: ChatRequest, answer: Explanation) -> None:
        """Find the first request to the provider, made as for a live one but with a credential that is none."""
        await ctx.snapshot.chain.every("authorize", ctx)
        target = ctx.target
        assert target is not None
        changed = await planning.transformed(ctx, chat)
        if changed is not chat:
            # Live, more is held where a plugin made it larger; if it fits now, it fits beside what is not held.
            ctx = replace(ctx, chat=changed)
            target = planning.as_changed(_held(ctx, await self._forecasts(ctx), answer), target)
        provider = ctx.snapshot.providers[target.provider]
        credential = MASK if provider.credential or provider.access else provider.credential
        provider = replace(provider, signer="")
        try:
            exchange = open_exchange(provider.adapter, changed, target)
            answer.dropped = tuple(exchange.dropped)
            step = exchange.next()
        except GatewayError:
            raise
        except BaseException as error:  # whatever an adapter may raise
            raise PluginFault(f"The adapter {target.adapter!r} failed.", param=target.adapter) from error
        if not isinstance(step, Send):
            return
        answer.request = {
            "method": step.method,
            "url": provider.base_url + step.path,
            "headers": self._transport.headers(provider, step, credential),
            "body": orjson.loads(step.body) if step.body else None,
        }


def find_key(snapshot: Snapshot, app: App, name: str) -> KeyRecord:
    """A key by its name, of gateway.yaml or of the store. Raises: NotFound."""
    records = {record.name: record for record in (*app.keys.list(), *snapshot.static_keys.values())}
    if name not in records:
        alive = [known for known, record in records.items() if record.revoked_s is None]
        raise NotFound(no_such("key", name, alive), param="key")
    return records[name]


def _step(answer: Explanation, ctx: RequestContext, stage: str, hook: str, result: str) -> None:
    answer.steps.append({"stage": stage, "plugins": list(ctx.snapshot.chain.plugins(hook)), "result": result})


def _held(ctx: RequestContext, forecasts: Sequence[Forecast], answer: Explanation) -> RequestContext:
    """The request as it goes on when everything is held. Raises: the first refusal."""
    for forecast in forecasts:
        if forecast.refusal is not None:
            raise forecast.refusal
    caps = [forecast.output_cap for forecast in forecasts if forecast.output_cap is not None]
    if not caps:
        return ctx
    answer.clamped_max_tokens = min(caps)
    return replace(ctx, candidates=planning.lowered(ctx.candidates, min(caps)))


def _most(ctx: RequestContext, chat: ChatRequest) -> str:
    told = f"may cost up to {nano_to_usd(cost_bound(chat, ctx.candidates))} USD; nothing is held now"
    chain = ctx.snapshot.chain
    silent = [name for name in chain.plugins("reserve") if name not in chain.plugins("foresee")]
    return f"{told}; not asked, as they can't say without holding: {', '.join(silent)}" if silent else told


def _rooms(forecasts: Sequence[Forecast]) -> list[dict[str, Any]]:
    return [_room(room) for forecast in forecasts for room in forecast.rooms]


def _room(room: Room) -> dict[str, Any]:
    money = room.unit == "nano-USD"
    limit = nano_to_usd(room.limit) if money and room.limit is not None else room.limit
    return {
        "param": room.param,
        "scope": room.scope,
        "limit": limit,
        "left": nano_to_usd(room.left) if money else room.left,
        "unit": "USD" if money else room.unit,
        "resets_at": None if room.resets_s is None else iso(room.resets_s),
    }


def _scope(principal: Principal | None, record: KeyRecord | None) -> str:
    if principal is None or record is None:
        return "no key was named: one without limits is assumed"
    families = "all" if principal.families is None else ", ".join(sorted(principal.families))
    models = "all" if principal.models is None else ", ".join(sorted(principal.models))
    return f"key {principal.id}: families {families}; models {models}"


def _route(target: Target, task: Task) -> dict[str, Any]:
    return {
        "route": target.route,
        "model": target.model,
        "adapter": target.adapter,
        "provider": target.provider,
        "upstream_model": target.upstream_model,
        "price": price_line(target.price, task),
        "output_cap": target.output_cap,
    }


def _unasked(ctx: RequestContext, now_ns: int) -> Iterator[dict[str, Any]]:
    """Routes that the request may take but would not be sent to now."""
    for target in ctx.candidates:
        if wait_ns := target.health.wait_ns(now_ns, ctx.chat):
            state, reason, _ = target.health.standing(now_ns)
            if state == "serving":  # a smaller request
                state = "full: this request has more tokens than its minute has left,"
            told = f"{state} for another {wait_ns / 1e9:.1f} s{reason and f': {reason}'}"
            yield {"model": target.model, "route": target.route, "reason": told}


def _resting(snapshot: Snapshot, entry: ModelEntry) -> list[dict[str, Any]]:
    return [
        {"model": name, "route": route, "reason": reason}
        for name in (entry.name, *entry.fallbacks)
        for route, reason in snapshot.models[name].resting.items()
    ]
