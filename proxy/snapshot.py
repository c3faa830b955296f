"""Snapshot: gateway.yaml compiled for use. Immutable; a reload makes another and swaps it whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from proxy.adapter import Adapter, Adviser, Placed
from proxy.chain import Chain
from proxy.chat import Task
from proxy.circuit import Circuit
from proxy.config import Config, ModelConfig, ProviderConfig, RouteConfig
from proxy.context import Limits, Target
from proxy.credentials import AccessKey, access_key_of, credential_key, lacking
from proxy.errors import ModelNotFound
from proxy.health import Health
from proxy.money import FREE, Price, usd_to_nano
from proxy.pricing import compile_price
from proxy.redaction import secrets_of
from proxy.secret import Secret
from proxy.storage.keys import KeyRecord, digest_of
from proxy.targets import compile_target, label_of, rate_limit_of, route_name_of
from proxy.trust import Trust


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """An account at a vendor, as the transport needs it."""

    name: str
    adapter: Adapter
    base_url: str
    credential: Secret
    active: bool
    """False: its credential is empty, so none of its routes serve."""
    access: AccessKey | None = None
    """Instead of `credential`: what the transport gets one with."""
    signer: str = ""
    """Of the adapter's own choice for these options; "": its usual one."""
    proxy: Secret | None = None
    """URL of the HTTP proxy it is reached through."""
    trust: Trust | None = None
    """Its TLS, where it differs from Python's own."""
    health: Circuit = field(default_factory=lambda: Circuit("credential"), compare=False, repr=False)
    """How its credential fares."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """A model that clients ask for."""

    name: str
    task: Task
    family: str
    aliases: tuple[str, ...]
    pool: tuple[Target, ...]
    """Its routes that can serve; may be empty."""
    resting: Mapping[str, str]
    """{route: why it does not serve}."""
    fallbacks: tuple[str, ...]
    price: Price
    context_tokens: int | None
    max_output_tokens: int
    sticky: bool = False
    """Requests with one prompt_cache_key stay on one route while it can serve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One configuration, whole."""

    config: Config
    models: Mapping[str, ModelEntry]
    aliases: Mapping[str, str]
    """{alias or name: name}."""
    providers: Mapping[str, Provider]
    static_keys: Mapping[str, KeyRecord]
    """{SHA-256 of the key: what it may}."""
    gateway_budget: Limits
    outlives_clients: bool
    """Some provider is heard on when its client has left."""
    routes: Mapping[str, bool]
    """{route label: whether it serves}, of the whole file."""
    chain: Chain
    secrets: tuple[Secret, ...]
    """All that must not get into a log or an answer."""
    notices: tuple[str, ...]
    """What the operator should know at start: providers that are off, answers that are simulated."""

    def model(self, name: str) -> ModelEntry:
        """Raises: ModelNotFound."""
        resolved = self.aliases.get(name)
        if resolved is None:
            raise ModelNotFound(f"The model {name[:128]!r} does not exist; GET /v1/models lists yours.", param="model")
        return self.models[resolved]

    def standings(self, now_ns: int) -> dict[str, tuple[str, str, str | None]]:
        """{route label: (state, reason, time of the next try)} of the whole file; "resting": gateway.yaml has it so.

        now_ns: monotonic.
        """
        found: dict[str, tuple[str, str, str | None]] = dict.fromkeys(self.routes, ("resting", "", None))
        for entry in self.models.values():
            found |= {target.label: target.health.standing(now_ns) for target in entry.pool}
        return found

    def candidates(self, entry: ModelEntry) -> tuple[Target, ...]:
        """Its pool, then the pools of its fallbacks in their order."""
        if not entry.fallbacks:
            return entry.pool
        pools = (self.models[name].pool for name in (entry.name, *entry.fallbacks))
        return tuple(target for pool in pools for target in pool)


def compile_snapshot(
    config: Config, adapters: Mapping[str, Adapter], chain: Chain, health: Health | None = None
) -> Snapshot:
    """Build everything a request looks up, once. health: what is known of routes from before; None: nothing."""
    health = health or Health()
    providers = {name: _provider(name, section, config, adapters, health) for name, section in config.providers.items()}
    names = Counter(route_name_of(route) for model in config.models.values() for route in model.routes)
    models = {
        name: _model(name, section, config, providers, names, health)
        for name, section in config.models.items()
    }
    aliases = {alias: name for name, entry in models.items() for alias in (name, *entry.aliases)}
    return Snapshot(
        config=config,
        models=MappingProxyType(models),
        aliases=MappingProxyType(aliases),
        providers=MappingProxyType(providers),
        static_keys=MappingProxyType(_static_keys(config)),
        gateway_budget=limits_of(config.budget),
        outlives_clients=any(
            (section.on_disconnect or config.defaults.on_disconnect) != "cancel" for section in config.providers.values()
        ),
        routes=MappingProxyType(
            {
                label_of(name, route_name_of(route), names): any(
                    target.route == route_name_of(route) for target in models[name].pool
                )
                for name, section in config.models.items()
                for route in section.routes
            }
        ),
        chain=chain,
        secrets=secrets_of(config, providers.values()),
        notices=tuple(_notices(config, providers, models, chain)),
    )


def _provider(
    name: str, section: ProviderConfig, config: Config, adapters: Mapping[str, Adapter], health: Health
) -> Provider:
    adapter = adapters[section.adapter]
    placed = adapter if isinstance(adapter, Placed) else None
    known_url = adapter.base_url if placed is None else placed.place(section.options)
    base_url = section.base_url or known_url or ""
    # A credential that is written but empty is one that is missing; where none is written at all, it is a
    # provider that needs none, like a local server.
    written = section.model_fields_set & {"api_key", "access_key"}
    keyless = adapter.signer == "none" or (not written and section.base_url is not None)
    access = access_key_of(section)
    return Provider(
        name=name,
        adapter=adapter,
        base_url=base_url,
        credential=section.api_key,
        active=keyless or bool(section.api_key) or access is not None,
        access=access,
        signer="" if placed is None else placed.signed_by(section.options),
        proxy=section.proxy,
        trust=section.tls.trust,
        health=health.credential(name, _identity(adapter, base_url, section, access), renewed=access is not None),
    )


def _identity(adapter: Adapter, base_url: str, section: ProviderConfig, access: AccessKey | None) -> str:
    """What makes it another credential, in clear."""
    secrets = (section.api_key.reveal(), access and access.id.reveal(), access and access.secret.reveal())
    return repr((adapter.name, base_url, secrets, access, section.options))


def _model(
    name: str,
    section: ModelConfig,
    config: Config,
    providers: Mapping[str, Provider],
    names: Counter[str],
    health: Health,
) -> ModelEntry:
    price = FREE if section.price is None else compile_price(section.price, config.exchange_rates)
    real = any(_enabled(route, providers) and not providers[route.provider].adapter.simulated for route in section.routes)
    lacks = _lacking(section, config, providers)
    pool: list[Target] = []
    resting: dict[str, str] = {}
    for route in section.routes:
        provider, provider_section = providers[route.provider], config.providers[route.provider]
        route_name = route_name_of(route)
        if route.enabled is False:
            resting[route_name] = "disabled"
        elif not provider.active:
            resting[route_name] = f"provider {provider.name} has no credential"
        elif provider.adapter.simulated and real and route.enabled is not True:
            resting[route_name] = "simulated, and another route has a credential"
        else:
            label = label_of(name, route_name, names)
            target = compile_target(name, section, route, label, price, config, provider, provider_section, health)
            pool.append(replace(target, lacking=lacks) if provider.adapter.simulated else target)
    return ModelEntry(
        name=name,
        task=section.task,
        family=section.family,
        aliases=tuple(section.aliases),
        pool=tuple(pool),
        resting=MappingProxyType(resting),
        fallbacks=tuple(section.fallbacks),
        price=price,
        context_tokens=section.context_tokens,
        max_output_tokens=section.output_cap,
        sticky=section.sticky is not None,
    )


def _lacking(section: ModelConfig, config: Config, providers: Mapping[str, Provider]) -> tuple[str, ...]:
    """What to set, for each provider without a credential, so that its routes of this model serve."""
    resting = dict.fromkeys(
        route.provider for route in section.routes if route.enabled is not False and not providers[route.provider].active
    )
    return tuple(dict.fromkeys(lacking(name, config.providers[name]) for name in resting))


def _enabled(route: RouteConfig, providers: Mapping[str, Provider]) -> bool:
    return route.enabled is not False and providers[route.provider].active


def limits_of(section: Any) -> Limits:
    """section: anything with daily_usd and monthly_usd, Decimal or None."""

    def nano(amount: Decimal | None) -> int | None:
        return None if amount is None else usd_to_nano(amount)

    return Limits(daily_nanousd=nano(section.daily_usd), monthly_nanousd=nano(section.monthly_usd))


def _static_keys(config: Config) -> dict[str, KeyRecord]:
    records = {}
    for key in config.keys:
        if not key.key:
            continue
        digest = digest_of(key.key.reveal())
        records[digest] = KeyRecord(
            name=key.name,
            digest=digest,
            hint=key.key.reveal()[-4:],
            families=None if key.families is None else frozenset(key.families),
            models=None if key.models is None else frozenset(key.models),
            wallet=key.wallet,
            timezone=key.timezone,
            budget=limits_of(key.budget),
            family_budgets={family: limits_of(limits) for family, limits in key.budget.families.items()},
            rate_limit=rate_limit_of(key.rate_limit),
            expires_s=None if key.expires_at is None else int(key.expires_at.timestamp()),
        )
    return records


def _notices(
    config: Config, providers: Mapping[str, Provider], models: Mapping[str, ModelEntry], chain: Chain
) -> list[str]:
    notices = [
        f"provider {name} is off: its {credential_key(section)} is empty (set {lacking(name, section)})"
        for name, section in config.providers.items()
        if not providers[name].active
    ]
    notices += [
        f"provider {name}: {advice}"
        for name, provider in providers.items()
        if provider.active and isinstance(provider.adapter, Adviser)
        for advice in provider.adapter.advise(provider.base_url)
    ]
    for name, entry in models.items():
        if entry.pool and all(providers[target.provider].adapter.simulated for target in entry.pool):
            lacks = " or ".join(entry.pool[0].lacking)
            why = f"no other route of it has a credential ({lacks})" if lacks else "it has no other route that is enabled"
            notices.append(f"model {name} is answered by the simulator: {why}")
        elif not entry.pool:
            lacks = " or ".join(_lacking(config.models[name], config, providers))
            remedy = f" (set {lacks})" if lacks else ""
            notices.append(f"model {name} can't be served: none of its routes is enabled and has a credential{remedy}")
    for key in config.keys:
        if not key.key:
            remedy = f" (set {' and '.join(key.key.variables)})" if key.key.variables else ""
            notices.append(f"key {key.name} is off: its value is empty{remedy}")
    if not chain.has("authenticate"):
        notices.append("no plugin of the chain authenticates, so every request gets 401: add virtual_keys")
    if not chain.has("meter"):
        notices.append("no plugin of the chain meters, so nothing is debited: add metering")
    return notices
