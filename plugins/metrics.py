"""observe: Prometheus metrics at /metrics. Labels hold nothing that a client can invent.

Everything is counted on one event loop, so plain numbers do: no locks and no objects for a series, which at some thirty
observations a request would cost more than the request's own way through the chain.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from proxy import App, Outcome, RequestContext, Timeline, hookimpl

LATENCY_S = (0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300, 600)
OVERHEAD_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1)
ANOMALIES = ("unusable", "parts", "falling", "zero")
COUNT_AT = 64
SORT_AT = 512
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Counts:
    """A counter with labels."""

    def __init__(self, name: str, help_text: str, *labels: str) -> None:
        self._about = (name, help_text, labels)
        self._values: defaultdict[tuple[str, ...], float] = defaultdict(float)

    def add(self, amount: float, *labels: str) -> None:
        self._values[labels] += amount

    def family(self) -> Metric:
        name, help_text, labels = self._about
        family = CounterMetricFamily(name, help_text, labels=labels)
        for values, count in self._values.items():
            family.add_metric(values, count)
        return family


class Spread:
    """A histogram with labels, of seconds. Values are kept as they come and sorted into their buckets some hundreds at a
    time: that is a quarter of the work."""

    def __init__(self, name: str, help_text: str, bounds_s: tuple[float, ...], *labels: str) -> None:
        self._about = (name, help_text, labels)
        self._bounds_s = bounds_s
        self._names = [*map(str, map(float, bounds_s)), "+Inf"]
        self._new: defaultdict[tuple[str, ...], list[float]] = defaultdict(list)
        self._values: dict[tuple[str, ...], tuple[list[int], float]] = {}

    def add(self, seconds: float, *labels: str) -> None:
        new = self._new[labels]
        new.append(seconds)
        if len(new) >= SORT_AT:
            self._sort(labels, new)

    def _sort(self, labels: tuple[str, ...], new: list[float]) -> None:
        new.sort()
        upto = [bisect_right(new, bound_s) for bound_s in self._bounds_s]
        counts, total = self._values.get(labels, ([0] * len(self._names), 0.0))
        cumulative = [before + more for before, more in zip(counts, [*upto, len(new)], strict=True)]
        self._values[labels] = (cumulative, total + sum(new))
        new.clear()

    def family(self) -> Metric:
        name, help_text, labels = self._about
        for values, new in self._new.items():
            self._sort(values, new)
        family = HistogramMetricFamily(name, help_text, labels=labels)
        for values, (counts, total) in self._values.items():
            family.add_metric(values, list(zip(self._names, counts, strict=True)), total)
        return family


class Metrics(Collector):
    """Counts what requests report, and shows the state of the gateway at each scrape."""

    _app: App

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
            "paifang_overhead_seconds", "This process's own time in a request, by stage.", OVERHEAD_S, "stage"
        )
        self._tokens = Counts("paifang_tokens", "Tokens metered.", "model", "route", "kind")
        self._anomalies = Counts(
            "paifang_usage_anomalies", "Answers whose provider counted what can't be true.", "route", "kind"
        )
        self._cost = Counts("paifang_cost_usd", "USD debited.", "model", "family", "route")
        self._attempts = Counts("paifang_route_attempts", "Attempts at a route.", "route", "outcome")
        self._fallbacks = Counts(
            "paifang_fallbacks", "Attempts that followed a failed one.", "model", "from", "to", "reason"
        )
        self._denied = Counts("paifang_denied", "Requests refused, by stage.", "stage", "code")
        self._plugins = Spread("paifang_plugin_seconds", "Time in a plugin's hook.", OVERHEAD_S, "plugin", "hook")
        self._uncounted: list[tuple[str, bool, Timeline, Outcome]] = []
        self._registry = CollectorRegistry()

    @hookimpl
    def startup(self, app: App) -> None:
        self._app = app
        self._registry.register(self)

    @hookimpl
    def register_routes(self, register: Callable[..., None]) -> None:
        register("GET", "/metrics", self.scrape, listener="metrics")

    async def scrape(self, request: web.Request) -> web.StreamResponse:
        return web.Response(body=generate_latest(self._registry), headers={"content-type": CONTENT_TYPE})

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
            self._count(*request)

    def _count(self, model: str, stream: bool, timeline: Timeline, outcome: Outcome) -> None:
        route = outcome.target.label if outcome.target else ""
        self._requests.add(1, model, route, str(outcome.status), outcome.code)
        for stage, own_ns in timeline.stages_ns():
            self._overhead.add(own_ns / 1e9, stage)
        for plugin, hook, spent_ns in timeline.hooks_ns:
            self._plugins.add(spent_ns / 1e9, plugin, hook)
        if outcome.end == "denied" and outcome.stage:
            self._denied.add(1, outcome.stage, outcome.code)
        self._count_attempts(model, stream, outcome)
        for kind in outcome.anomalies:
            self._anomalies.add(1, route, kind)
        if outcome.charge is not None and outcome.target is not None:
            usage = outcome.charge.usage
            self._tokens.add(usage.input_tokens, model, route, "input")
            self._tokens.add(usage.cached_input_tokens, model, route, "cached_input")
            self._tokens.add(usage.output_tokens, model, route, "output")
            self._tokens.add(usage.reasoning_tokens, model, route, "reasoning")
            # Prometheus knows only floats; the ledger's integer is what counts.
            self._cost.add(outcome.charge.amount_nanousd / 1e9, model, outcome.target.family, route)

    def _count_attempts(self, model: str, stream: bool, outcome: Outcome) -> None:
        for attempt in outcome.attempts:
            label = attempt.target.label
            self._attempts.add(1, label, attempt.outcome)
            self._latency.add(attempt.latency_s, model, label, "true" if stream else "false", attempt.outcome)
            if attempt.first_token_s is not None:
                self._first_token.add(attempt.first_token_s, model, label)
        for failed, next_one in pairwise(outcome.attempts):
            self._fallbacks.add(1, model, failed.target.label, next_one.target.label, failed.outcome)

    def collect(self) -> Iterator[Metric]:
        """Everything there is to scrape."""
        self._count_all()
        # Alerts watch how a series grows: they would miss the first anomaly of a series that begins with it.
        for route in self._app.current().routes:
            for kind in ANOMALIES:
                self._anomalies.add(0, route, kind)
        counts = (self._requests, self._tokens, self._anomalies, self._cost, self._attempts, self._fallbacks, self._denied)
        for series in counts:
            yield series.family()
        for spread in (self._latency, self._first_token, self._overhead, self._plugins):
            yield spread.family()
        yield from _state(self._app)


def _state(app: App) -> Iterator[Metric]:
    up = GaugeMetricFamily("paifang_route_up", "1 if the route is enabled and has a credential.", labels=("route",))
    flying = GaugeMetricFamily("paifang_route_in_flight", "Requests that are with the route.", labels=("route",))
    in_flight = app.in_flight()
    for label, serves in app.current().routes.items():
        up.add_metric((label,), 1.0 if serves else 0.0)
        flying.add_metric((label,), in_flight.get(label, 0))
    yield up
    yield flying
    reloads = CounterMetricFamily("paifang_config_reloads", "Reloads of gateway.yaml.", labels=("outcome",))
    for outcome, count in app.reloads.outcomes.items():
        reloads.add_metric((outcome,), count)
    yield reloads
    yield GaugeMetricFamily(
        "paifang_config_last_reload_success_timestamp_seconds",
        "When a configuration was last taken.",
        value=app.reloads.last_success_s,
    )
    yield GaugeMetricFamily(
        "paifang_ledger_unsettled", "Holds that are neither settled nor void.", value=app.ledger.unsettled
    )
    build = GaugeMetricFamily("paifang_build_info", "The version that runs.", labels=("version",))
    build.add_metric((app.version,), 1)
    yield build
