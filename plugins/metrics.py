"""observe: Prometheus metrics at /metrics. Labels hold nothing that a client can invent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from proxy import App, Outcome, RequestContext, hookimpl

LATENCY_S = (0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300, 600)
OVERHEAD_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counts what requests report, and shows the state of the gateway at each scrape."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._series: dict[tuple[Any, tuple[str, ...]], Any] = {}
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "paifang_requests", "Requests answered.", ("model", "route", "status", "code"), registry=registry
        )
        self._latency = Histogram(
            "paifang_route_latency_seconds",
            "Time of one attempt at a route, failures included.",
            ("model", "route", "stream", "outcome"),
            buckets=LATENCY_S,
            registry=registry,
        )
        self._first_token = Histogram(
            "paifang_route_first_token_seconds",
            "Time from the start of an attempt to its first token.",
            ("model", "route"),
            buckets=LATENCY_S,
            registry=registry,
        )
        self._overhead = Histogram(
            "paifang_overhead_seconds",
            "This process's own time in a request, by stage.",
            ("stage",),
            buckets=OVERHEAD_S,
            registry=registry,
        )
        self._tokens = Counter("paifang_tokens", "Tokens metered.", ("model", "route", "kind"), registry=registry)
        self._cost = Counter("paifang_cost_usd", "USD debited.", ("model", "family", "route"), registry=registry)
        self._attempts = Counter(
            "paifang_route_attempts", "Attempts at a route.", ("route", "outcome"), registry=registry
        )
        self._fallbacks = Counter(
            "paifang_fallbacks", "Attempts that followed a failed one.", ("model", "from", "to", "reason"), registry=registry
        )
        self._denied = Counter("paifang_denied", "Requests refused, by stage.", ("stage", "code"), registry=registry)
        self._plugins = Histogram(
            "paifang_plugin_seconds", "Time in a plugin's hook.", ("plugin", "hook"), buckets=OVERHEAD_S, registry=registry
        )

    @hookimpl
    def startup(self, app: App) -> None:
        self._registry.register(_State(app))

    @hookimpl
    def register_routes(self, register: Callable[..., None]) -> None:
        register("GET", "/metrics", self.scrape, listener="metrics")

    async def scrape(self, request: web.Request) -> web.StreamResponse:
        return web.Response(body=generate_latest(self._registry), headers={"content-type": CONTENT_TYPE})

    @hookimpl
    def observe(self, ctx: RequestContext, outcome: Outcome) -> None:
        model = ctx.model.name if ctx.model else ""
        route = outcome.target.label if outcome.target else ""
        self._of(self._requests, model, route, str(outcome.status), outcome.code).inc()
        for stage, own_ns in ctx.timeline.stages_ns.items():
            self._of(self._overhead, stage).observe(own_ns / 1e9)
        for plugin, hook, spent_ns in ctx.timeline.hooks_ns:
            self._of(self._plugins, plugin, hook).observe(spent_ns / 1e9)
        if outcome.end == "denied" and outcome.stage:
            self._of(self._denied, outcome.stage, outcome.code).inc()
        self._observe_attempts(ctx, outcome, model)
        if outcome.charge is not None and outcome.target is not None:
            usage = outcome.charge.usage
            for kind, count in (
                ("input", usage.input_tokens),
                ("cached_input", usage.cached_input_tokens),
                ("output", usage.output_tokens),
                ("reasoning", usage.reasoning_tokens),
            ):
                self._of(self._tokens, model, route, kind).inc(count)
            # Prometheus knows only floats; the ledger's integer is what counts.
            self._of(self._cost, model, outcome.target.family, route).inc(outcome.charge.amount_nanousd / 1e9)

    def _of(self, metric: Any, *labels: str) -> Any:
        """The series of these labels; prometheus_client takes a lock and builds a key for every look."""
        series = self._series.get((metric, labels))
        if series is None:
            series = self._series[metric, labels] = metric.labels(*labels)
        return series

    def _observe_attempts(self, ctx: RequestContext, outcome: Outcome, model: str) -> None:
        stream = "true" if ctx.chat is not None and ctx.chat.stream else "false"
        for attempt in outcome.attempts:
            label = attempt.target.label
            self._of(self._attempts, label, attempt.outcome).inc()
            self._of(self._latency, model, label, stream, attempt.outcome).observe(attempt.latency_s)
            if attempt.first_token_s is not None:
                self._of(self._first_token, model, label).observe(attempt.first_token_s)
        for failed, next_one in pairwise(outcome.attempts):
            self._of(self._fallbacks, model, failed.target.label, next_one.target.label, failed.outcome).inc()


class _State(Collector):
    """What is read at each scrape."""

    def __init__(self, app: App) -> None:
        self._app = app

    def collect(self) -> Iterator[Metric]:
        app = self._app
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
