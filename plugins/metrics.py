"""observe: Prometheus metrics at /metrics. Labels hold nothing that a client can invent.

Everything is counted on one event loop, so plain numbers do: no locks and no objects for a series, which at some thirty
observations a request would cost more than the request's own way through the chain. Where several processes serve, each counts
for itself, and whichever is scraped adds all of them up, with what those that have ended had counted.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from aiohttp import web
from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from proxy import App, Attempt, Outcome, RequestContext, Timeline, hookimpl

LATENCY_S = (0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300, 600)
OVERHEAD_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1)
ANOMALIES = ("unusable", "parts", "falling", "zero")
ROUTE_STATES = ("serving", "full", "cooling", "open", "probing", "refused", "resting")
HEALTHY = frozenset({"serving", "full"})
COUNT_AT = 64
SORT_AT = 512
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Counts:
    """A counter with labels."""

    def __init__(self, name: str, help_text: str, *labels: str) -> None:
        self._about = (name, help_text, labels)
        self.values: defaultdict[tuple[str, ...], float] = defaultdict(float)
        """{labels: count}."""

    def state(self) -> list[Any]:
        return list(self.values.items())

    def absorb(self, state: list[Any]) -> None:
        for labels, count in state:
            self.values[tuple(labels)] += count

    def family(self) -> Metric:
        name, help_text, labels = self._about
        family = CounterMetricFamily(name, help_text, labels=labels)
        for values, count in self.values.items():
            family.add_metric(values, count)
        return family


class Spread:
    """A histogram with labels, of seconds. Values are kept as they come and sorted into their buckets some hundreds at a
    time: that is a quarter of the work."""

    def __init__(self, name: str, help_text: str, bounds_s: tuple[float, ...], *labels: str, unit_s: float = 1) -> None:
        """unit_s: of the values that are new."""
        self._about = (name, help_text, labels)
        self._unit_s = unit_s
        self._bounds = tuple(round(bound_s / unit_s, 9) for bound_s in bounds_s)
        self._names = [*map(str, map(float, bounds_s)), "+Inf"]
        self.new: defaultdict[tuple[str, ...] | str, list[float]] = defaultdict(list)
        """{labels, or the one there is: values to be sorted}."""
        self._values: dict[tuple[str, ...], tuple[list[int], float]] = {}

    def sort(self, least: int = 1) -> None:
        """Put the values into their buckets, where there are so many at least."""
        for labels, new in self.new.items():
            if len(new) >= least:
                self._sort((labels,) if isinstance(labels, str) else labels, new)

    def _sort(self, labels: tuple[str, ...], new: list[float]) -> None:
        new.sort()
        upto = [bisect_right(new, bound) for bound in self._bounds]
        self._grow(labels, [*upto, len(new)], sum(new) * self._unit_s)
        new.clear()

    def _grow(self, labels: tuple[str, ...], upto: Sequence[int], seconds: float) -> None:
        counts, total = self._values.get(labels, ([0] * len(self._names), 0.0))
        self._values[labels] = ([before + more for before, more in zip(counts, upto, strict=True)], total + seconds)

    def state(self) -> list[Any]:
        self.sort()
        return list(self._values.items())

    def absorb(self, state: list[Any]) -> None:
        for labels, (counts, total) in state:
            self._grow(tuple(labels), counts, total)

    def family(self) -> Metric:
        name, help_text, labels = self._about
        family = HistogramMetricFamily(name, help_text, labels=labels)
        for values, (counts, total) in self.state():
            family.add_metric(values, list(zip(self._names, counts, strict=True)), total)
        return family


class Totals:
    """What requests have come to."""

    def __init__(self) -> None:
        self._requests = Counts("paifang_requests", "Requests answered.", "model", "route", "status", "code")
        self._latency = Spread(
            "paifang_route_latency_seconds",
            "Time of one attempt at a route, failures included.",
            LATENCY_S,
            "model",
            "route",
            "stream",
            "outcome",
        )
        self._first_token = Spread(
            "paifang_route_first_token_seconds",
            "Time from the start of an attempt to its first token.",
            LATENCY_S,
            "model",
            "route",
        )
        self._overhead = Spread(
            "paifang_overhead_seconds", "This process's own time in a request, by stage.", OVERHEAD_S, "stage", unit_s=1e-9
        )
        self._tokens = Counts("paifang_tokens", "Tokens metered.", "model", "route", "kind")
        self._anomalies = Counts(
            "paifang_usage_anomalies", "Answers whose provider counted what can't be true.", "route", "kind"
        )
        self._cost = Counts("paifang_cost_usd", "USD debited.", "model", "family", "route")
        self._attempts = Counts("paifang_route_attempts", "Attempts at a route.", "route", "outcome")
        self._fallbacks = Counts(
            "paifang_fallbacks", "Attempts that followed a failed one, at another route.", "model", "from", "to", "reason"
        )
        self._denied = Counts("paifang_denied", "Requests refused, by stage.", "stage", "code")
        self._plugins = Spread("paifang_plugin_seconds", "Time in a plugin's hook.", OVERHEAD_S, "plugin", "hook", unit_s=1e-9)

    def count(self, model: str, stream: bool, timeline: Timeline, outcome: Outcome) -> None:
        route = outcome.target.label if outcome.target else ""
        self._requests.values[model, route, str(outcome.status), outcome.code] += 1
        stages, hooks = self._overhead.new, self._plugins.new
        for stage, own_ns in timeline.stages_ns:
            stages[stage].append(own_ns)
        for hook, spent_ns in timeline.hooks_ns:
            hooks[hook].append(spent_ns)
        if outcome.end == "denied" and outcome.stage:
            self._denied.values[outcome.stage, outcome.code] += 1
        self._count_attempts(model, stream, outcome.attempts)
        for kind in outcome.anomalies:
            self._anomalies.values[route, kind] += 1
        if outcome.charge is not None and outcome.target is not None:
            usage, tokens = outcome.charge.usage, self._tokens.values
            tokens[model, route, "input"] += usage.input_tokens
            tokens[model, route, "cached_input"] += usage.cached_input_tokens
            tokens[model, route, "output"] += usage.output_tokens
            tokens[model, route, "reasoning"] += usage.reasoning_tokens
            # Prometheus knows only floats; the ledger's integer is what counts.
            self._cost.values[model, outcome.target.family, route] += outcome.charge.amount_nanousd / 1e9

    def _count_attempts(self, model: str, stream: bool, attempts: tuple[Attempt, ...]) -> None:
        for target, outcome, latency_s, first_token_s in attempts:
            self._attempts.values[target.label, outcome] += 1
            self._latency.new[model, target.label, "true" if stream else "false", outcome].append(latency_s)
            if first_token_s is not None:
                self._first_token.new[model, target.label].append(first_token_s)
        for failed, next_one in pairwise(attempts):
            if next_one.target.label != failed.target.label:
                self._fallbacks.values[model, failed.target.label, next_one.target.label, failed.outcome] += 1

    def sort(self) -> None:
        """Keep the memory of a busy gateway small."""
        for spread in (self._latency, self._first_token, self._overhead, self._plugins):
            spread.sort(SORT_AT)

    def expect_anomalies(self, routes: Iterable[str]) -> None:
        for route in routes:
            for kind in ANOMALIES:
                self._anomalies.values[route, kind] += 0

    def state(self) -> list[Any]:
        """All of it, as `absorb` takes it."""
        return [series.state() for series in self._series()]

    def absorb(self, state: list[Any]) -> None:
        """Add what another process has counted."""
        for series, its_state in zip(self._series(), state, strict=True):
            series.absorb(its_state)

    def families(self) -> Iterator[Metric]:
        for series in self._series():
            yield series.family()

    def _series(self) -> tuple[Counts | Spread, ...]:
        return (
            self._requests, self._tokens, self._anomalies, self._cost, self._attempts, self._fallbacks, self._denied,
            self._latency, self._first_token, self._overhead, self._plugins,
        )  # fmt: skip


class Metrics:
    """Counts what requests report, and shows the state of the gateway at each scrape."""

    _app: App

    def __init__(self) -> None:
        self._totals = Totals()
        self._uncounted: list[tuple[str, bool, Timeline, Outcome]] = []

    @hookimpl
    def startup(self, app: App) -> None:
        self._app = app
        app.fleet.offer("metrics", self._read, self._absorb)

    @hookimpl
    def register_routes(self, register: Callable[..., None]) -> None:
        register("GET", "/metrics", self.scrape, listener="metrics")

    async def scrape(self, request: web.Request) -> web.StreamResponse:
        gather = self._app.fleet.gather
        names = ("metrics", "faults", "off", "stale_connections")
        scrape = Scrape(self._app, *[await gather(name) for name in names])
        body = generate_latest(scrape)
        return web.Response(body=body, headers={"content-type": CONTENT_TYPE})

    @hookimpl
    def observe(self, ctx: RequestContext, outcome: Outcome) -> None:
        # Counted some dozens at a time: code that runs in a row runs several times as fast as between two requests.
        stream = ctx.chat is not None and ctx.chat.stream
        self._uncounted.append((ctx.model.name if ctx.model else "", stream, ctx.timeline, outcome))
        if len(self._uncounted) >= COUNT_AT:
            self._count_all()

    def _count_all(self) -> None:
        uncounted, self._uncounted = self._uncounted, []
        for request in uncounted:
            self._totals.count(*request)
        self._totals.sort()

    def _read(self) -> dict[str, Any]:
        self._count_all()
        app, snapshot = self._app, self._app.current()
        now_ns = app.clock.monotonic_ns()
        return {
            "totals": self._totals.state(),
            "in_flight": dict(app.in_flight()),
            "routes": {label: state for label, (state, _, _) in snapshot.standings(now_ns).items()},
            "credentials": {
                provider.name: provider.health.state(now_ns) == "serving"
                for provider in snapshot.providers.values()
                if provider.active
            },
            "reloads": dict(app.reloads.outcomes),
            "last_reload_s": app.reloads.last_success_s,
            "unsettled": app.ledger.unsettled,
            "workers": app.fleet.workers,
            "restarts": app.fleet.restarts,
        }

    def _absorb(self, state: dict[str, Any]) -> None:
        self._totals.absorb(state["totals"])


class Scrape(Collector):
    """Everything there is to scrape, once.

    Requests are added up over the processes; what is the same in all is the most that any of them knows: the owner of the store
    knows it first. How routes fare it alone knows whole, and it comes first.
    """

    def __init__(
        self,
        app: App,
        states: Sequence[dict[str, Any]],
        faults: Sequence[dict[str, Any]],
        off: Sequence[list[list[str]]],
        stale: Sequence[dict[str, int]],
    ) -> None:
        self._app = app
        self._states = states
        self._faults = faults
        self._off = off
        self._stale = stale

    def collect(self) -> Iterator[Metric]:
        totals = Totals()
        # Alerts watch how a series grows: they would miss the first anomaly of a series that begins with it.
        totals.expect_anomalies(self._app.current().routes)
        in_flight: Counter[str] = Counter()
        for state in self._states:
            totals.absorb(state["totals"])
            in_flight.update(state["in_flight"])
        yield from totals.families()
        up = GaugeMetricFamily("paifang_route_up", "1 if it is enabled, has a credential and is healthy.", labels=("route",))
        flying = GaugeMetricFamily("paifang_route_in_flight", "Requests that are with the route.", labels=("route",))
        standing = GaugeMetricFamily("paifang_route_state", "1 for the state that the route is in.", labels=("route", "state"))
        for label, found in self._states[0]["routes"].items():
            up.add_metric((label,), 1.0 if found in HEALTHY else 0.0)
            flying.add_metric((label,), in_flight[label])
            for each in ROUTE_STATES:
                standing.add_metric((label, each), 1.0 if each == found else 0.0)
        yield up
        yield standing
        yield flying
        credentials = GaugeMetricFamily("paifang_credential_up", "1 unless the provider refuses it.", labels=("provider",))
        for name, taken in self._states[0]["credentials"].items():
            credentials.add_metric((name,), 1.0 if taken else 0.0)
        yield credentials
        reloads = CounterMetricFamily("paifang_config_reloads", "Reloads of gateway.yaml.", labels=("outcome",))
        for outcome in self._app.reloads.outcomes:
            reloads.add_metric((outcome,), max(state["reloads"][outcome] for state in self._states))
        yield reloads
        yield GaugeMetricFamily(
            "paifang_config_last_reload_success_timestamp_seconds",
            "When a configuration was last taken.",
            value=self._most("last_reload_s"),
        )
        yield self._fault_counts("paifang_plugin_failures", "Hooks that raised, waited too long or answered junk.", "failures")
        yield self._fault_counts("paifang_loop_stalls", "Times that the event loop was held up, by hook.", "stalls")
        yield self._switched_off()
        yield self._stale_connections()
        yield GaugeMetricFamily(
            "paifang_ledger_unsettled", "Holds that are neither settled nor void.", value=self._states[0]["unsettled"]
        )
        yield GaugeMetricFamily("paifang_workers", "Processes that serve.", value=self._most("workers"))
        yield CounterMetricFamily(
            "paifang_worker_restarts", "Processes that ended by themselves and were replaced.", value=self._most("restarts")
        )
        build = GaugeMetricFamily("paifang_build_info", "The version that runs.", labels=("version",))
        build.add_metric((self._app.version,), 1)
        yield build

    def _fault_counts(self, name: str, help_text: str, kind: str) -> Metric:
        counts = Counts(name, help_text, "plugin", "hook")
        for state in self._faults:
            counts.absorb(state[kind])
        return counts.family()

    def _switched_off(self) -> Metric:
        help_text = "Processes that call the hook no more, as it took too long too often."
        family = GaugeMetricFamily("paifang_plugin_switched_off", help_text, labels=("plugin", "hook"))
        for hook, count in Counter(tuple(hook) for off in self._off for hook in off).items():
            family.add_metric(hook, count)
        return family

    def _stale_connections(self) -> Metric:
        stale = Counter({provider.name: 0 for provider in self._app.current().providers.values() if provider.active})
        for counts in self._stale:
            stale.update(counts)
        help_text = "Requests that met a kept connection which the provider had closed, and were sent over a new one."
        family = CounterMetricFamily("paifang_stale_connections", help_text, labels=("provider",))
        for provider, count in stale.items():
            family.add_metric((provider,), count)
        return family

    def _most(self, name: str) -> float:
        return max(float(state[name]) for state in self._states)
