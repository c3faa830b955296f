"""A route of gateway.yaml as a Target: all that an attempt at it needs."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from proxy.config import Config, ModelConfig, ProviderConfig, RouteConfig
from proxy.context import RateLimit, Target, Timeouts
from proxy.health import Health
from proxy.money import Price
from proxy.pricing import compile_price

if TYPE_CHECKING:
    from proxy.snapshot import Provider


def compile_target(
    model: str,
    section: ModelConfig,
    route: RouteConfig,
    label: str,
    price: Price,
    config: Config,
    provider: Provider,
    provider_section: ProviderConfig,
    health: Health,
) -> Target:
    overhead = provider_section.prompt_overhead_tokens
    limits = rate_limit_of(route.limits)
    return Target(
        route=route_name_of(route),
        label=label,
        model=model,
        family=section.family,
        provider=provider.name,
        adapter=provider.adapter.name,
        upstream_model=route.model,
        price=price,
        cost=None if route.cost is None else compile_price(route.cost, config.exchange_rates),
        priority=route.priority,
        weight=route.weight,
        context_tokens=section.context_tokens,
        max_output_tokens=section.output_cap,
        output_cap=section.output_cap,
        caps_output=getattr(provider.adapter, "caps_output", True),
        counts_tool_calls=getattr(provider.adapter, "counts_tool_calls", False),
        calls_unasked=getattr(provider.adapter, "calls_unasked", False),
        prompt_overhead_tokens=provider.adapter.prompt_overhead_tokens if overhead is None else overhead,
        options=provider_section.options,
        timeouts=timeouts_of(config, provider_section, route),
        on_disconnect=provider_section.on_disconnect or config.defaults.on_disconnect,
        limits=limits,
        retry_ambiguous=route.retry_ambiguous,
        health=health.route(label, repr((model, route.model)), provider.health, None if limits == RateLimit() else limits),
    )


def route_name_of(route: RouteConfig) -> str:
    return route.name or route.provider


def label_of(model: str, route: str, names: Counter[str]) -> str:
    return route if names[route] == 1 else f"{model}/{route}"


def timeouts_of(config: Config, *sections: ProviderConfig | RouteConfig) -> Timeouts:
    """The defaults, overridden by the provider's, overridden by the route's."""
    values: dict[str, float] = config.defaults.timeouts.model_dump()
    for section in sections:
        if section.timeouts is not None:
            values.update({name: value for name, value in section.timeouts.model_dump().items() if value is not None})
    return Timeouts(**values)


def rate_limit_of(section: Any) -> RateLimit:
    """section: None, or anything with RateLimit's members."""
    if section is None:
        return RateLimit()
    return RateLimit(
        requests_per_minute=section.requests_per_minute,
        tokens_per_minute=section.tokens_per_minute,
        concurrent=section.concurrent,
    )
