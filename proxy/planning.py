"""Where a request may go and in which order: the part of its story that calls no one. `paifang explain` runs the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

from proxy.chat import Answer, ChatEvent, ChatRequest, Part, Task, Usage, Verbatim
from proxy.context import RequestContext, Target, advance
from proxy.endpoints import tasks
from proxy.endpoints.chat import check_cap
from proxy.errors import BadRequest, Forbidden, GatewayError, NoRoute, UpstreamBusy, UpstreamError, UpstreamRejectedUs
from proxy.hookanswers import part_lacks
from proxy.jsontext import copied, dumps
from proxy.snapshot import ModelEntry

PARTS = get_args(Part)
REFUSED = "Every provider of this model refuses the gateway"
"""Where they do for different reasons."""
REFUSALS = {
    "upstream_auth_failed": "The providers of this model refuse the gateway's credential",
    "upstream_model_unavailable": "The providers do not offer this model to the gateway",
    "upstream_quota_exhausted": "The gateway's account with the providers of this model is overdue or used up",
}
"""{code of an UpstreamRejectedUs: what a client is told while every route is left alone for it}."""


async def admit(ctx: RequestContext, chat: ChatRequest, entry: ModelEntry) -> None:
    """Ask whether the model is allowed, and collect every route that the request may take into `ctx.candidates`.

    Raises: BadRequest, NoRoute, and whatever `authorize` raises.
    """
    advance(ctx, "chat", chat)
    advance(ctx, "model", entry)
    if chat.task != entry.task:
        raise BadRequest(f"The model {chat.model!r} is for {entry.task}: ask at {ENDPOINTS[entry.task]}.", param="model")
    await ctx.snapshot.chain.every("authorize", ctx)
    check_cap(chat, entry.max_output_tokens)
    candidates = []
    for target in ctx.snapshot.candidates(entry):
        if target.model == entry.name or await _allowed(ctx, target):
            cap = target.max_output_tokens
            candidates.append(target.capped(min(chat.max_output_tokens or cap, cap)))
    if not candidates:
        raise NoRoute(f"No route of {chat.model!r} is enabled and has a credential.")
    advance(ctx, "candidates", tuple(candidates))


async def order(ctx: RequestContext, turn: int, now_ns: int) -> Sequence[Target]:
    """The candidates that may be asked now in the order to try them, at least one.

    turn: how many requests of the model were put in order before. now_ns: monotonic.
    Raises: UpstreamBusy, UpstreamRejectedUs, NoRoute: there is none; PluginFault.
    """
    advance(ctx, "turn", turn)
    candidates = ready(ctx, now_ns)
    if not candidates:
        raise refusal(ctx, now_ns)

    def lacks(answer: Sequence[Any]) -> str:
        known = all(isinstance(target, Target) and target in ctx.candidates for target in answer)
        return "" if known else "a selection of the candidates"

    targets: Sequence[Target] | None = await ctx.snapshot.chain.first("route", ctx, (list, tuple, Sequence), lacks, candidates)
    if targets is None:
        targets = candidates
    if not targets:
        raise NoRoute("No route of this model can serve now.", detail=f"`route` took none of {len(candidates)} candidates")
    return targets if targets is candidates else tuple(dict.fromkeys(targets))


def ready(ctx: RequestContext, now_ns: int) -> tuple[Target, ...]:
    """The candidates that may be asked now; the very same tuple while all may."""
    for target in ctx.candidates:
        if target.health.wait_ns(now_ns, ctx.chat):
            return tuple(target for target in ctx.candidates if not target.health.wait_ns(now_ns, ctx.chat))
    return ctx.candidates


def refusal(ctx: RequestContext, now_ns: int) -> GatewayError:
    """What a client is told where no candidate may be asked now."""
    states = [target.health.standing(now_ns) for target in ctx.candidates]
    wait_s = shortest_wait_s(ctx, now_ns)
    if any(state in ("cooling", "full", "serving") for state, _, _ in states):
        return UpstreamBusy("Every route of this model is busy now; try again later.", retry_after_s=wait_s)
    if all(state == "refused" for state, _, _ in states):
        codes = {reason for _, reason, _ in states}
        told = REFUSALS.get(states[0][1], REFUSED) if len(codes) == 1 else REFUSED
        return UpstreamRejectedUs(f"{told}; its operator finds the reason in `paifang routes`.", code=states[0][1])
    return NoRoute("Every route of this model has failed lately; try again later.", retry_after_s=wait_s)


def none_left(ctx: RequestContext, failure: UpstreamError | None, now_ns: int) -> GatewayError:
    """What a client is told where all that is left turns out to be full. failure: of the last attempt."""
    return refusal(ctx, now_ns) if failure is None or isinstance(failure, UpstreamBusy) else failure


def shortest_wait_s(ctx: RequestContext, now_ns: int) -> float:
    """Seconds until the first of the candidates may be asked."""
    return min(_wait_ns(target, ctx.chat, now_ns) for target in ctx.candidates) / 1e9


def _wait_ns(target: Target, chat: ChatRequest | None, now_ns: int) -> int:
    health = target.health
    wait_ns = health.wait_ns(now_ns, chat)
    return wait_ns if health.linked is None else max(wait_ns, health.linked.told_ns(now_ns))


async def transformed(ctx: RequestContext, chat: ChatRequest) -> ChatRequest:
    """The request as plugins change it for `ctx.target`; the same object if none does. Raises: PluginFault.

    They get a copy: what one changes in place is a change, too, and not one of the request that the next route starts from.
    """
    said = asked = dumps(chat.body)

    def lacks(body: Mapping[str, Any]) -> str:
        nonlocal said
        try:
            said = dumps(body)
            if said != asked:
                tasks.check(chat.task, {**body, "model": chat.model})
        except BadRequest as error:
            return f"a body for {chat.task} ({error.message})"
        except (TypeError, ValueError):
            return "a body that is JSON"
        return ""

    copy = copied(chat.body)
    advance(ctx, "chat", replace(chat, body=copy))
    body = await ctx.snapshot.chain.fold("transform_request", ctx, copy, Mapping, lacks, in_place=True)
    if said == asked:
        return chat
    named = {**body, "model": chat.model}
    return tasks.request_of(chat.task, {name: value for name, value in named.items() if value is not None}, len(said))


async def transformed_events(ctx: RequestContext, events: Sequence[ChatEvent]) -> list[ChatEvent]:
    """Let plugins change what the events say; an event that nobody changes stays byte for byte."""
    changed: list[ChatEvent] = []
    for event in events:
        if isinstance(event, Usage):
            changed.append(event)
            continue
        parts = event.parts if isinstance(event, (Verbatim, Answer)) else (event,)
        after = [await ctx.snapshot.chain.fold("transform_event", ctx, part, PARTS, part_lacks) for part in parts]
        untouched = all(new is old for new, old in zip(after, parts, strict=True))
        changed.extend([event] if untouched else after)
    return changed


def lowered(candidates: Sequence[Target], cap: int) -> tuple[Target, ...]:
    """The candidates with no larger output cap than this: what is held covers no more."""
    return tuple(target.capped(min(target.output_cap, cap)) for target in candidates)


def as_held(ctx: RequestContext, target: Target) -> Target:
    """The target with the output cap that the holds cover."""
    return next(candidate for candidate in ctx.candidates if candidate.label == target.label)


def as_changed(ctx: RequestContext, target: Target) -> Target:
    """The target as held, with no larger output cap than a plugin has written into the request."""
    held = as_held(ctx, target)
    cap = ctx.chat.max_output_tokens if ctx.chat else None
    return held if cap is None else held.capped(min(held.output_cap, cap))


ENDPOINTS: Mapping[Task, str] = {"chat": "/v1/chat/completions", "embeddings": "/v1/embeddings"}


async def _allowed(ctx: RequestContext, target: Target) -> bool:
    try:
        await ctx.snapshot.chain.every("authorize", replace(ctx, target=target))
    except Forbidden:
        return False
    return True
