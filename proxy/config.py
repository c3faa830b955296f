"""gateway.yaml as frozen models: what each section may hold. Attributes are named as in the file.

configfile.py reads a file into these models, configchecks.py compares its sections with each other, schema.py tells
editors. A description of a field is what an editor shows for its key.
"""

from __future__ import annotations

import datetime as dt
import re
import zoneinfo
from collections.abc import Collection, Sequence
from typing import Annotated, Any, Literal, Protocol

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    SkipValidation,
    Strict,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from proxy.adapter import Adapter, NoOptions
from proxy.chat import Task
from proxy.configsections import (
    AdminConfig,
    BudgetConfig,
    DefaultsConfig,
    ExchangeRateConfig,
    HealthConfig,
    LimitsConfig,
    MetricsConfig,
    OnDisconnect,
    PartialTimeouts,
    RedisConfig,
    Section,
    ServerConfig,
    StoreConfig,
    TlsConfig,
)
from proxy.configtypes import (
    Amount,
    BaseUrl,
    Count,
    Credential,
    Currency,
    Date,
    EmptyIsNone,
    Factor,
    Flag,
    HeaderName,
    Name,
    ProxyUrl,
    Rate,
    Region,
    Text,
    Weight,
    did_you_mean,
    whole,
    wrong,
)
from proxy.secret import Secret

BUILT_IN_PLUGINS = frozenset(
    {"virtual_keys", "model_scope", "rate_limit", "budget", "routing", "metering", "metrics", "access_log"}
)

ACCESS_KEYS = frozenset({"access_key", "secret_key", "region", "project", "control_url"})
"""Keys of a provider that belong to an AK/SK."""


class PluginLoadError(Exception):
    """A plugin is installed or named by its file, and can't be loaded. The message says why."""


class Sections(Protocol):
    """What plugins and adapters contribute to gateway.yaml."""

    def adapter_names(self) -> Sequence[str]:
        """Every adapter that `adapter:` may name."""
        ...

    def adapter(self, name: str) -> Adapter | None: ...

    @property
    def missing_adapters(self) -> Sequence[str]:
        """Why adapters of installed packages are not among them, a line for each package."""
        ...

    def plugin_names(self) -> Sequence[str]:
        """Every installed plugin; files are not among them."""
        ...

    def plugin_model(self, name: str) -> type[BaseModel] | None:
        """The model of a plugin's options; None: it names none. Raises: LookupError, PluginLoadError."""
        ...

    def plugin_hooks(self, name: str) -> Collection[str]:
        """The hooks that a plugin of the list implements."""
        ...


class ProviderConfig(Section):
    """An account at a vendor: where it is, which dialect it speaks, with what credentials."""

    adapter: Text = Field(description="The dialect the provider speaks.")
    base_url: Annotated[BaseUrl | None, EmptyIsNone] = Field(
        None, description="Address that the dialect's paths are appended to; some adapters know their own."
    )
    api_key: Credential = Field(Secret(""), description="The credential; empty: the provider is off.")
    access_key: Credential = Field(
        Secret(""), description="Of an AK/SK of Volcengine, instead of an api_key: API keys are made with it as needed."
    )
    secret_key: Credential = Field(Secret(""), description="The other half of the AK/SK.")
    region: Region = Field("cn-beijing", description="Where the AK/SK makes API keys.")
    project: Annotated[Name | None, EmptyIsNone] = Field(
        None, description="The project in which the AK/SK calls models by their own ids; endpoints and bots need none."
    )
    control_url: Annotated[BaseUrl | None, EmptyIsNone] = Field(
        None, description="Address of the control plane that makes API keys; left out: Volcengine's in the region."
    )
    timeouts: PartialTimeouts | None = Field(None, description="Timeouts that differ from defaults.timeouts.")
    on_disconnect: OnDisconnect | None = Field(None, description="What to do when the client hangs up.")
    tls: TlsConfig = Field(TlsConfig(), description="Certificates, where the system's do not do.")
    proxy: Annotated[ProxyUrl | None, EmptyIsNone] = Field(
        None, description="Proxy to reach it through: http://host:port or http://user:password@host:port."
    )
    prompt_overhead_tokens: Annotated[int, *whole(0, 10**9)] | None = Field(
        None, description="Most tokens the provider adds to a prompt; left out: what the adapter knows."
    )
    options: Annotated[SkipValidation[BaseModel], WithJsonSchema({})] = NoOptions()
    """The section's other keys, as the adapter's own model."""


class ExtraRates(Section):
    """Prices of tokens that cost other than plain input and output; per 1M tokens."""

    cached_input: Rate | None = Field(None, description="Input read from a cache; left out: as input.")
    cache_write: Rate | None = Field(None, description="Input written to a cache; left out: as input.")
    reasoning: Rate | None = Field(None, description="Reasoning; left out: as output.")
    audio_input: Rate | None = Field(None, description="Audio in; left out: as input.")
    audio_output: Rate | None = Field(None, description="Audio out; left out: as output.")


class TierConfig(ExtraRates):
    """Rates of requests up to a length; the first tier that a request fits is that of all its tokens."""

    up_to_input_tokens: Count | None = Field(None, description="Input tokens at most; left out: any number.")
    up_to_output_tokens: Count | None = Field(None, description="Output tokens at most; left out: any number.")
    input: Rate = Field(description="Input, per 1M tokens.")
    output: Rate = Field(description="Output, per 1M tokens.")


class PriceConfig(ExtraRates):
    """What tokens cost: input and output per 1M tokens, or tiers by length."""

    currency: Currency = Field("USD", description="USD, or a currency of exchange_rates.")
    input: Rate | None = Field(None, description="Input, per 1M tokens.")
    output: Rate | None = Field(None, description="Output, per 1M tokens.")
    tiers: tuple[TierConfig, ...] = Field((), description="Rates by length, shortest first, instead of input and output.")
    tools: dict[Name, Amount] = Field({}, description="Each call of a provider's built-in tool, by its name.")
    service_tiers: dict[Name, Factor] = Field({}, description="Factor on the price, by service tier.")
    date: Date | None = Field(None, description="The day it is of; `paifang check` tells when that is more than 90 days ago.")


class RouteConfig(Section):
    """One place where a model's requests can go."""

    name: HeaderName | None = Field(None, description="Unique within the model; left out: the provider's name.")
    provider: Text = Field(description="A name out of providers.")
    model: Name = Field(description="What the provider calls it: a model, an endpoint or a bot.")
    priority: Annotated[int, *whole(0, 10**6)] = Field(1, description="Lower is tried first.")
    weight: Weight = Field(1, description="Share among the routes of one priority.")
    enabled: Flag | None = Field(None, description="false: never; true: a simulator serves beside real routes, too.")
    cost: PriceConfig | None = Field(None, description="What the provider takes from you.")
    limits: LimitsConfig | None = Field(None, description="How much it may carry; at a limit the next route is asked.")
    retry_ambiguous: Flag = Field(
        False, description="true: what may have been served here, and lost, is sent again; it may be paid for twice."
    )
    timeouts: PartialTimeouts | None = Field(None, description="Timeouts that differ from the provider's.")


USUAL_OUTPUT_CAP = 16_384


class ModelConfig(Section):
    """A model that clients ask for, and the pool of routes that answers."""

    preset: Name | None = Field(
        None, description="A model of the catalogue, for what is left out here: family, limits, price, the routes' models."
    )
    family: Name = Field(description="The family it belongs to, such as doubao; keys may be bound to families.")
    task: Task = Field("chat", description="What it is for, and so the endpoint that serves it.")
    aliases: tuple[Name, ...] = Field((), description="Other names that clients may ask for.")
    context_tokens: Count | None = Field(None, description="Tokens that input and output may have together.")
    max_output_tokens: Count | None = Field(
        None,
        description="Output tokens at most; sent to the provider when the client gives no cap. Left out: 16384, or half of "
        "context_tokens where that is less.",
    )
    price: PriceConfig | None = Field(None, description="What the caller is debited.")
    free: Flag = Field(False, description="true instead of a price: the caller is debited nothing.")
    fallbacks: tuple[Text, ...] = Field((), description="Models that answer when no route of this one can.")
    sticky: Literal["prompt_cache_key"] | None = Field(
        None,
        description="Requests that name one `prompt_cache_key` (one `user`, if they have none) stay on one route, as its "
        "provider caches their prompts.",
    )
    routes: tuple[RouteConfig, ...] = Field(min_length=1, description="Where its requests can go.")

    @property
    def output_cap(self) -> int:
        """Output tokens at most. A cap as large as the whole context would leave a prompt no room."""
        if self.max_output_tokens is not None:
            return self.max_output_tokens
        return USUAL_OUTPUT_CAP if self.context_tokens is None else min(USUAL_OUTPUT_CAP, max(1, self.context_tokens // 2))


class WalletConfig(Section):
    """A wallet; its balance is in the store."""


class KeyBudgetConfig(BudgetConfig):
    """What a key may spend, in all and by family."""

    families: dict[Name, BudgetConfig] = Field({}, description="Budgets of single families.")


class KeyConfig(Section):
    """A virtual key that clients send."""

    name: Name = Field(description="Unique; budgets and usage are kept under it.")
    key: Secret = Field(description="The key itself, at least 24 characters; empty: this key is off.")
    families: tuple[Text, ...] | None = Field(None, description="Families it may use; left out: all.")
    models: tuple[Text, ...] | None = Field(None, description="Models it may use; left out: all.")
    wallet: Text | None = Field(None, description="The wallet it draws on, a name out of wallets.")
    timezone: Text = Field("UTC", description="Where its days and months begin, such as Asia/Singapore.")
    expires_at: Annotated[
        Annotated[dt.datetime, Strict()] | None, EmptyIsNone, WithJsonSchema({"type": ["string", "null"]})
    ] = Field(None, description="When it ends: 2027-01-01 (its first instant in the key's timezone), or a date and time.")
    budget: KeyBudgetConfig = Field(KeyBudgetConfig(), description="What it may spend.")
    rate_limit: LimitsConfig | None = Field(None, description="How much it may send.")

    @field_validator("key")
    @classmethod
    def _long_enough(cls, value: Secret) -> Secret:
        text = value.reveal()
        if text and len(text) < 24:
            raise wrong(f"found a key of {len(text)} characters, expected at least 24")
        if not re.fullmatch(r"[!-~]*", text):
            raise wrong("found a key with spaces or characters beyond ASCII, which no client can send: use another")
        return value

    @field_validator("families", "models")
    @classmethod
    def _not_empty(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value == ():
            raise wrong("found an empty list, which would allow nothing: leave the key out to allow all")
        return value

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            zoneinfo.ZoneInfo(value)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            raise wrong(
                f'found "{value}", expected a time zone such as Asia/Singapore'
                + did_you_mean(value, zoneinfo.available_timezones())
            ) from None
        return value

    @field_validator("expires_at", mode="before")
    @classmethod
    def _first_instant(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, str) or not re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
            return value
        try:
            moment = dt.datetime.fromisoformat(value)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=zoneinfo.ZoneInfo(info.data.get("timezone", "UTC")))
            return moment.astimezone(dt.UTC)
        except (ValueError, OverflowError):
            raise wrong(f"found {value}, expected a date such as 2027-01-01 or 2027-01-01T18:00:00") from None


class PluginEntry(Section):
    """One entry of the chain."""

    name: Text
    """Of the entry point, or the path of a file."""
    options: Any = None
    """The plugin's section: an instance of its model, or the mapping where it has none."""


class Config(Section):
    """gateway.yaml of Paifang."""

    server: ServerConfig = Field(ServerConfig(), description="Where Paifang listens.")
    store: StoreConfig = Field(StoreConfig(), description="Where keys, budgets and usage are kept.")
    redis: RedisConfig = Field(RedisConfig(), description="Shared rate limits of several replicas.")
    admin: AdminConfig = Field(AdminConfig(), description="The admin API over TCP.")
    defaults: DefaultsConfig = Field(DefaultsConfig(), description="What holds where nothing else is said.")
    health: HealthConfig = Field(HealthConfig(), description="Whether routes are checked without requests.")
    exchange_rates: dict[Currency, ExchangeRateConfig] = Field(
        {}, description="What other currencies are worth, for prices in them."
    )
    budget: BudgetConfig = Field(BudgetConfig(), description="What the whole gateway may spend.")
    metrics: MetricsConfig = Field(MetricsConfig(), description="Where metrics are served.")
    providers: dict[HeaderName, ProviderConfig] = Field(min_length=1, description="Accounts at vendors.")
    models: dict[Name, ModelConfig] = Field(min_length=1, description="What clients ask for.")
    wallets: dict[Name, Annotated[WalletConfig, BeforeValidator(lambda value: {} if value is None else value)]] = Field(
        {}, description="Accounts with a balance that keys draw on."
    )
    keys: tuple[KeyConfig, ...] = Field((), description="Static keys; more are made with `paifang keys create`.")
    plugins: tuple[PluginEntry, ...] | None = Field(
        None, description="The chain, in order. Left out: the built-in one. What is not named is off."
    )
