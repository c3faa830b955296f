"""What hooks see of a request, and what they answer with: frozen values, written by the pipeline alone.

RequestContext   one request as far as it has come
Principal        who asks, and what they may
Target           one place a request can go: a route of a model, compiled
Hold             something reserved for a request, settled or voided at its end
Forecast         what reserving would come to, with the Room that each limit has left
Outcome          how it ended
Charge           what it costs
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from proxy.chat import ChatRequest, Usage
from proxy.health import RouteHealth

if TYPE_CHECKING:
    from multidict import CIMultiDict, CIMultiDictProxy
    from pydantic import BaseModel

    from proxy.errors import GatewayError
    from proxy.money import Price
    from proxy.snapshot import ModelEntry, Snapshot
    from proxy.storage.keys import KeyRecord


class Limits(NamedTuple):
    """A budget in nano-USD; None: no limit."""

    daily_nanousd: int | None = None
    monthly_nanousd: int | None = None


class RateLimit(NamedTuple):
    """What a key or a route may do in a minute and at once; None: no limit."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who asks. Made by `authenticate`."""

    id: str
    """Stable, unique; budgets and usage are kept under it. For a key, its name."""
    families: frozenset[str] | None = None
    """Model families it may use; None: all."""
    models: frozenset[str] | None = None
    """Models it may use; None: all."""
    wallet: str | None = None
    timezone: str = "UTC"
    """Where its days and months begin."""
    budget: Limits = Limits()
    family_budgets: Mapping[str, Limits] = field(default_factory=dict)
    rate_limit: RateLimit = RateLimit()
    record: KeyRecord | None = field(default=None, compare=False, repr=False)
    """The store's key that it was made of: what that allows when something is reserved is what counts. None: no such key."""

    def may_use(self, model: str, family: str) -> bool:
        """Whether its scope covers a model of a family, byte for byte."""
        return (self.models is None or model in self.models) and (self.families is None or family in self.families)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds. first_byte_s and idle_s are for streams."""

    connect_s: float = 5
    first_byte_s: float = 120
    idle_s: float = 120
    total_s: float = 1800


MOST_CAPS = 256
"""Kept for each route."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Target:
    """One route of a model, with all that an attempt needs."""

    route: str
    """The route's name, unique in its model."""
    label: str
    """The route's name for metrics, unique in the file."""
    model: str
    """The gateway's model it belongs to."""
    family: str
    provider: str
    adapter: str
    upstream_model: str
    """What the provider calls it: a model, an endpoint or a bot."""
    price: Price
    """What the caller is debited."""
    cost: Price | None
    """What the provider takes from the operator, where known."""
    priority: int = 1
    weight: int = 1
    context_tokens: int | None = None
    max_output_tokens: int
    """The model's own cap."""
    output_cap: int
    """The cap of this request, to be written upstream in the door's own words."""
    caps_output: bool = True
    """False: the door takes no cap, so that output_cap is always max_output_tokens."""
    counts_tool_calls: bool = False
    """The door's answers tell how often each of the provider's own tools was called."""
    calls_unasked: bool = False
    """The door may call any tool that has a price, whatever the request asks for."""
    prompt_overhead_tokens: int = 0
    options: BaseModel
    """The provider's keys that its adapter declared in `options`."""
    timeouts: Timeouts = Timeouts()
    on_disconnect: Literal["cancel", "drain", "finish"] = "cancel"
    limits: RateLimit = RateLimit()
    lacking: tuple[str, ...] = ()
    """Of a simulated route: what to set for other routes of its pool to serve, as `ARK_API_KEY`; any of them will do."""
    retry_ambiguous: bool = False
    """What may have been served here, and lost, may be sent again."""
    health: RouteHealth = field(default_factory=RouteHealth, repr=False)
    """How the route fares now, for `route` to ask: one for all copies of a target."""
    _capped: dict[int, Target] = field(default_factory=dict, init=False, repr=False)

    def capped(self, cap: int) -> Target:
        """The target with this output cap, if its door takes one. Kept, as few caps are asked for often."""
        if self.output_cap == cap or not self.caps_output:
            return self
        known = self._capped.get(cap)
        if known is None:
            if len(self._capped) >= MOST_CAPS:
                self._capped.clear()
            known = self._capped[cap] = replace(self, output_cap=cap)
        return known


class Hold(Protocol):
    """Something reserved for a request. Methods may be plain or async.

    Exactly one of settle and void is called, once; a hold of the ledger answers with a Posting, and all are committed in one
    transaction. A hold may also have `output_cap`, the tokens per choice that it covers (None: all that were asked for);
    `dispatched()`, called before each Send to a provider, those of further attempts and of polls included;
    `checkpoint(charge)`, called at most every two seconds of a stream with what it has come to so far; and
    `expose(exposures)`, called before the request is sent once more with all that providers may bill for it beside its
    charge, which raises if that is too much.
    """

    def settle(self, charge: Charge) -> Any:
        """The request cost this much."""

    def void(self) -> Any:
        """The request came to nothing: give back what was held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What is left of one limit."""

    scope: str
    """Whose it is: "gateway", "key:ci", "key:ci/family:doubao", "wallet:team-a"."""
    param: str
    """What a refusal names: "key.daily", "wallet", "requests_per_minute"."""
    unit: Literal["nano-USD", "requests", "tokens"]
    limit: int | None
    """None: a balance, which is all that there is."""
    left: int
    """Below 0 where more was spent."""
    resets_s: int | None
    """Unix seconds when the whole limit is free again if nothing more is taken; None: at no set time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a plugin's `reserve` would come to now."""

    rooms: tuple[Room, ...] = ()
    refusal: GatewayError | None = None
    output_cap: int | None = None
    """Tokens per choice, where the hold would cover no more than that."""


class Charge(NamedTuple):
    """What a request costs."""

    amount_nanousd: int
    """Debited from the caller."""
    usage: Usage
    cost_nanousd: int | None = None
    """Taken by the provider, where known."""
    price_line: str = ""
    """How the amount came about, for people: "20,000 × ¥3.20/M + …"."""
    price: str = ""
    """The price and exchange rate that made it, as JSON."""
    family: str = ""
    """The model family that served: of a key's family budgets only this one is charged. "": all that were held."""


class Attempt(NamedTuple):
    """One try at one route."""

    target: Target
    outcome: str
    """"ok", the code of the error, "client_gone", or "shutdown"."""
    latency_s: float
    first_token_s: float | None = None


EndReason = Literal["complete", "failed", "denied", "client_gone", "shutdown"]
"""complete: answered to the end. denied: a RequestError before any route was tried. failed: any other error. client_gone: the
client left. shutdown: the gateway stopped before."""


class Outcome(NamedTuple):  # which is made in a third of the time of a frozen dataclass, twice a request
    """How a request ended."""

    end: EndReason
    status: int
    """HTTP status: 200, the error's (where a stream had begun, its client has seen 200), or 499 where the client was gone."""
    code: str = ""
    """The error's code, "" without one."""
    stage: str = ""
    """The stage that failed or denied: "auth", "scope", "budget", "routing", "adapter", "metering". "" without an error, and
    where it came before the first of them or while the body was read."""
    error: GatewayError | None = None
    target: Target | None = None
    """The route that answered, or the last one tried."""
    attempts: tuple[Attempt, ...] = ()
    usage: Usage | None = None
    """Reported, or estimated from what was received; None: nothing was served."""
    anomalies: tuple[str, ...] = ()
    """What was wrong with the provider's counts: "unusable", "parts", "falling", "zero". The usage is mended already."""
    charge: Charge | None = None
    """Set for `observe`, None in `meter`."""
    latency_s: float = 0.0
    first_token_s: float | None = None
    overhead_s: float = 0.0
    """Spent in this process, not waiting for a provider or a client."""


@dataclass(slots=True)
class Timeline:
    """Where this process spent its time on a request."""

    stages_ns: list[tuple[str, int]] = field(default_factory=list)
    """(stage, nanoseconds of this process's own) of every stage that is over; one that was entered again comes again."""
    hooks_ns: list[tuple[tuple[str, str], int]] = field(default_factory=list)
    """((plugin, hook), nanoseconds) of every call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestContext:
    """One request, as far as it has come. Frozen for everyone but the pipeline, which calls `advance`."""

    request_id: str
    """Ours, unique."""
    client_request_id: str = ""
    """The client's own, never an identity."""
    snapshot: Snapshot
    """The configuration this request lives under from start to end."""
    received_ns: int
    """Unix time in nanoseconds."""
    client_ip: str = ""
    headers: CIMultiDictProxy[str] | CIMultiDict[str]
    """The client's headers; names are case-insensitive, and `getall` tells of those that came twice."""
    endpoint: str = "/v1/chat/completions"
    principal: Principal | None = None
    chat: ChatRequest | None = None
    model: ModelEntry | None = None
    """What the asked name resolved to; None before `authorize`."""
    candidates: tuple[Target, ...] = ()
    """Every route the request may take: its pool, then its fallbacks."""
    target: Target | None = None
    """The route being tried."""
    turn: int = 0
    """From `route` on: how many requests for this model took a turn in this process before. Routes share by it."""
    timeline: Timeline = field(default_factory=Timeline)
    state: dict[str, Any] = field(default_factory=dict)
    """Scratch space for plugins, by plugin name."""
    reply_headers: dict[str, str] = field(default_factory=dict)
    """Headers a plugin wants on the answer."""


advance: Callable[[RequestContext, str, Any], None] = object.__setattr__
"""The pipeline's pen: a request learns something new, told (ctx, name, value). A copy at every stage would cost more than the
stages do."""
