"""Budgets and wallets: what a request may cost at most is held before it is sent.

The hold stands in every window that has a limit: the gateway's, the key's, the key's for each family that may answer, and the
key's wallet; in all of them or in none. At the end the family that answered is charged, the others are given back. A request
without any limit is held all the same, so that what it may have cost is known after a crash.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from proxy import (
    LIFETIME,
    App,
    Calendar,
    Charge,
    Clock,
    Exposure,
    Forecast,
    Ledger,
    Limits,
    Posting,
    Principal,
    RequestContext,
    Reservation,
    Room,
    Subject,
    Window,
    affordable_cap,
    cost_bound,
    hookimpl,
    refuse_unpriced,
    smallest_cost_bound,
    wallet_window,
)

SECOND_NS = 10**9
MOST_KNOWN = 10_000


class BudgetOptions(BaseModel):
    """The plugin's section of gateway.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    when_short: Literal["reject", "clamp"] = Field(
        default="reject",
        description="What to do when a budget can't cover the most a request may cost: refuse it, or lower its output cap "
        "to what is affordable and say so in x-paifang-clamped-max-tokens.",
    )


class Held:
    """A request's hold, which tells the ledger where the request went."""

    __slots__ = ("_ctx", "_reservation", "amount_nanousd", "output_cap")

    def __init__(self, reservation: Reservation, ctx: RequestContext, output_cap: int | None = None) -> None:
        """output_cap: tokens per choice, to be written upstream where it covers no more than that."""
        self._reservation = reservation
        self._ctx = ctx
        self.amount_nanousd = reservation.amount_nanousd
        self.output_cap = output_cap

    def settle(self, charge: Charge) -> Posting:
        return self._reservation.settle(charge)

    def void(self) -> Posting:
        return self._reservation.void()

    def dispatched(self) -> None:
        target = self._ctx.target
        assert target is not None
        self._reservation.dispatched(route=target.label, provider=target.provider)

    async def expose(self, exposures: Sequence[Exposure]) -> None:
        await self._reservation.expose(exposures)

    def checkpoint(self, charge: Charge) -> None:
        self._reservation.checkpoint(charge)


class _Known(NamedTuple):
    """The windows of a key, and for what they are right."""

    principal: Principal
    gateway: Limits
    families: tuple[str, ...]
    from_s: int
    until_s: int
    windows: Sequence[Window]


class Budget:
    """Holds what a request may cost."""

    _ledger: Ledger
    _clock: Clock

    def __init__(self) -> None:
        self._calendar = Calendar()
        self._known: dict[str, _Known] = {}

    @hookimpl
    def config_model(self) -> type[BaseModel]:
        return BudgetOptions

    @hookimpl
    def startup(self, app: App) -> None:
        self._ledger, self._clock = app.ledger, app.clock

    @hookimpl
    async def reserve(self, ctx: RequestContext, config: BudgetOptions) -> Held | None:
        """None: it costs nothing. Without a limit it is held in no window, so that a crash can't hide that it was sent."""
        chat, principal, targets = ctx.chat, ctx.principal, ctx.candidates
        assert chat is not None and principal is not None
        refuse_unpriced(chat, targets)
        most = cost_bound(chat, targets)
        if not most:
            return None
        windows = await self._windows(ctx, principal, (target.family for target in targets))
        model = ctx.model
        user = chat.body.get("user")
        reservation = await self._ledger.reserve(
            ctx.request_id,
            most,
            windows,
            floor_nanousd=smallest_cost_bound(chat, targets) if config.when_short == "clamp" else None,
            subject=Subject(
                key=principal.id,
                wallet=principal.wallet,
                user=user if isinstance(user, str) else "",
                model="" if model is None else model.name,
                family="" if model is None else model.family,
                key_digest="" if principal.record is None else principal.record.digest,
            ),
        )
        if reservation.amount_nanousd >= most:
            return Held(reservation, ctx)
        return Held(reservation, ctx, affordable_cap(chat, targets, reservation.amount_nanousd))

    @hookimpl
    async def foresee(self, ctx: RequestContext, config: BudgetOptions) -> Forecast:
        chat, principal, targets = ctx.chat, ctx.principal, ctx.candidates
        assert principal is not None
        most, floor, families = 0, None, tuple(principal.family_budgets)
        if chat is not None:
            refuse_unpriced(chat, targets)
            most, families = cost_bound(chat, targets), tuple(target.family for target in targets)
            floor = smallest_cost_bound(chat, targets) if config.when_short == "clamp" else None
        windows = await self._windows(ctx, principal, families)
        prospect = await self._ledger.foresee(most, windows, floor_nanousd=floor)
        rooms = tuple(_room(window, *left) for window, left in zip(windows, prospect.left, strict=True))
        if chat is None or not most:
            return Forecast(rooms=rooms)
        granted = prospect.granted_nanousd
        clamped = prospect.refusal is None and granted < most
        cap = affordable_cap(chat, targets, granted) if clamped else None
        return Forecast(rooms=rooms, refusal=prospect.refusal, output_cap=cap)

    async def _windows(self, ctx: RequestContext, principal: Principal, families: Iterable[str]) -> Sequence[Window]:
        """Every window with a limit that something for these families falls into, the widest first."""
        now_s = self._clock.now_ns() // SECOND_NS
        gateway = ctx.snapshot.gateway_budget
        limited: tuple[str, ...] = ()
        if principal.family_budgets:
            limited = tuple(family for family in dict.fromkeys(families) if family in principal.family_budgets)
        known = self._known.get(principal.id)
        # The same until midnight, for one request of a key after the other.
        if (
            known is None
            or known.principal is not principal
            or known.gateway is not gateway
            or known.families != limited
            or not known.from_s <= now_s < known.until_s
        ):
            await self._calendar.load(principal.timezone)
            windows = self._all(gateway, principal, limited, now_s)
            spans = [(window.start_s, window.end_s) for window in windows] or [LIFETIME]
            from_s, until_s = max(start for start, _ in spans), min(end for _, end in spans)
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            known = self._known[principal.id] = _Known(principal, gateway, limited, from_s, until_s, windows)
        return known.windows

    def _all(self, gateway: Limits, principal: Principal, families: Iterable[str], now_s: int) -> list[Window]:
        key = f"key:{principal.id}"
        windows = [*self._of("gateway", "gateway", gateway, "UTC", now_s)]
        windows += self._of(key, "key", principal.budget, principal.timezone, now_s)
        for family in families:
            limits = principal.family_budgets[family]
            windows += self._of(f"{key}/family:{family}", "family", limits, principal.timezone, now_s)
        if principal.wallet is not None:
            windows.append(wallet_window(principal.wallet))
        return windows

    def _of(self, scope: str, level: str, limits: Limits, zone: str, now_s: int) -> Iterator[Window]:
        """level: how a refusal names it, "key" of "key.daily"."""
        if limits.daily_nanousd is not None:
            yield _window(scope, level, "daily", limits.daily_nanousd, self._calendar.day(now_s, zone))
        if limits.monthly_nanousd is not None:
            yield _window(scope, level, "monthly", limits.monthly_nanousd, self._calendar.month(now_s, zone))


def _room(window: Window, left_nanousd: int, end_s: int) -> Room:
    lasting = window.period == "lifetime"
    return Room(
        scope=window.scope,
        param=window.param,
        unit="nano-USD",
        limit=None if lasting else window.limit_nanousd,
        left=left_nanousd,
        resets_s=None if lasting else end_s,
    )


def _window(scope: str, level: str, period: str, limit_nanousd: int, span: tuple[int, int]) -> Window:
    return Window(
        scope=scope,
        period=period,
        start_s=span[0],
        end_s=span[1],
        limit_nanousd=limit_nanousd,
        param=f"{level}.{period}",
    )
