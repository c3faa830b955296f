"""The sections of gateway.yaml that are about the gateway itself; config.py has providers, models, keys and plugins."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationInfo, field_validator, model_validator

from proxy.configtypes import (
    Budget,
    Count,
    Credential,
    Date,
    EmptyIsNone,
    ExchangeRate,
    Listen,
    Name,
    Pause,
    Seconds,
    Text,
    whole,
    wrong,
)
from proxy.secret import Secret
from proxy.trust import Trust, TrustError, read_trust

OnDisconnect = Literal["cancel", "drain", "finish"]
OptionalCount = Annotated[Count | None, EmptyIsNone]
OptionalBudget = Annotated[Budget | None, EmptyIsNone]
OptionalSeconds = Annotated[Seconds | None, EmptyIsNone]
OptionalSecret = Annotated[Secret | None, EmptyIsNone]
OptionalText = Annotated[Text | None, EmptyIsNone]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ServerLimitsConfig(Section):
    """The most that one process takes on; beyond it new requests get 503 `overloaded`, and those that run go on."""

    requests: Count = Field(2000, description="Requests in progress.")
    connections: Count = Field(
        4000, description="Connections of clients; half of the files that the process may open, if that is less."
    )
    connections_per_client: OptionalCount = Field(
        None, description="Connections from one address; left out: any number, as they may all come through one proxy."
    )
    loop_lag_ms: Count = Field(1000, description="Milliseconds that the event loop may lag, half a second long.")
    memory_mb: OptionalCount = Field(
        None, description="MiB of memory (Linux); left out: 85 % of what there is, shared by the workers, and 256 at least."
    )


class ServerConfig(Section):
    """Where Paifang listens."""

    host: Name = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for every network.")
    port: Annotated[int, *whole(0, 65535)] = Field(8080, description="Port to listen on; 0: any free one.")
    workers: Annotated[int, *whole(0, 1024)] = Field(1, description="Processes that serve; 0: one per core.")
    max_body_bytes: Count = Field(20_971_520, description="Largest request body that is read.")
    drain_delay_s: Pause = Field(
        0, description="Seconds at shutdown in which /readyz says no and requests are still taken: for load balancers."
    )
    drain_timeout_s: Seconds = Field(30, description="Seconds that running answers get at shutdown.")
    hang_s: Seconds = Field(
        30, description="Seconds that one of several workers may answer nothing before it is killed and replaced."
    )
    limits: ServerLimitsConfig = Field(ServerLimitsConfig(), description="The most that one process takes on.")
    stall_s: Seconds = Field(
        1, description="Seconds that a plugin may hold up the event loop before the log names it, with its stack."
    )


class StoreConfig(Section):
    """Where keys, budgets and usage are kept."""

    url: Text = Field(
        "sqlite:///paifang.db",
        description="sqlite:///file, relative to this file.",
        repr=False,
    )
    durability: Literal["power", "process"] = Field(
        "power", description="power: spend survives power loss (fsync); process: it survives a killed process."
    )
    retention_days: Count = Field(400, description="Days that usage rows are kept; ledger entries stay.")

    @field_validator("url")
    @classmethod
    def _known_store(cls, value: str) -> str:
        if re.match(r"postgres(ql)?(\+[a-z0-9]+)?:", value):
            raise wrong("found PostgreSQL, and this version keeps its books in SQLite alone: write sqlite:///paifang.db")
        if not re.match(r"sqlite:///.", value):
            raise wrong("found no store that this version knows, expected one such as sqlite:///paifang.db")
        return value


class RedisConfig(Section):
    """Shared rate limits of several replicas."""

    url: OptionalSecret = Field(
        None, description="null: the processes of one gateway share rate limits; this version knows nothing else."
    )


class AdminConfig(Section):
    """The admin API over TCP."""

    token: Credential = Field(Secret(""), description="Bearer token of the admin API; empty: none over TCP.")


class PartialTimeouts(Section):
    """Timeouts that differ from those around; seconds."""

    connect_s: OptionalSeconds = Field(None, description="Until the connection stands.")
    first_byte_s: OptionalSeconds = Field(None, description="Until the first byte of a stream.")
    idle_s: OptionalSeconds = Field(None, description="Between two pieces of a stream.")
    total_s: OptionalSeconds = Field(None, description="Until the end of the answer.")


class TimeoutsConfig(Section):
    """How long a provider may take; seconds."""

    connect_s: Seconds = Field(5, description="Until the connection stands.")
    first_byte_s: Seconds = Field(120, description="Until the first byte of a stream.")
    idle_s: Seconds = Field(120, description="Between two pieces of a stream.")
    total_s: Seconds = Field(1800, description="Until the end of the answer.")


class TlsConfig(Section):
    """Certificates of a provider's connections: PEM files, their paths relative to this file."""

    ca: OptionalText = Field(None, description="Certificates to trust, instead of those that Python trusts.")
    cert: OptionalText = Field(None, description="Certificate that is shown to the provider.")
    key: OptionalText = Field(None, description="Its private key, without a password; left out: it is in cert.")
    _trust: Trust | None = PrivateAttr(None)

    @property
    def trust(self) -> Trust | None:
        """What the files hold; None: there are none."""
        return self._trust

    @model_validator(mode="after")
    def _read(self, info: ValidationInfo) -> Self:
        if self.key is not None and self.cert is None:
            raise wrong("found a key without cert: name the certificate that it belongs to")
        folder: Path = (info.context or {}).get("folder", Path())
        paths = [None if name is None else folder / name for name in (self.ca, self.cert, self.key)]
        try:
            self._trust = read_trust(*paths) if any(paths) else None
        except TrustError as error:
            raise wrong(str(error)) from None
        return self


class RetryConfig(Section):
    """How often a request is tried."""

    attempts: Annotated[int, *whole(1, 3)] = Field(3, description="Attempts at most, over all routes.")


class HealthConfig(Section):
    """Whether routes are checked without requests."""

    check_every_s: OptionalSeconds = Field(
        None, description="Ask each route for one token so often, which costs a little; left out: only requests find out."
    )


class DefaultsConfig(Section):
    """What holds where a provider or a route says nothing else."""

    timeouts: TimeoutsConfig = Field(TimeoutsConfig(), description="How long a provider may take.")
    retry: RetryConfig = Field(RetryConfig(), description="How often a request is tried.")
    on_disconnect: OnDisconnect = Field(
        "cancel",
        description="When the client hangs up: cancel the provider's answer, drain it for a while, or finish it.",
    )


class ExchangeRateConfig(Section):
    """What one unit of a currency is worth."""

    usd: ExchangeRate = Field(description="USD for one unit of the currency.")
    date: Date = Field(description="The day this rate is of, such as 2026-11-20.")


class BudgetConfig(Section):
    """What may be spent in a window of time."""

    daily_usd: OptionalBudget = Field(None, description="USD a day; left out: no limit.")
    monthly_usd: OptionalBudget = Field(None, description="USD a month; left out: no limit.")


class MetricsConfig(Section):
    """Where metrics are served."""

    listen: Annotated[Listen | None, EmptyIsNone] = Field(
        None, description='"host:port" of a listener for /metrics alone; left out: beside the API.'
    )


class LimitsConfig(Section):
    """How much may pass; what is left out is not limited."""

    requests_per_minute: OptionalCount = Field(None, description="Requests in a minute.")
    tokens_per_minute: OptionalCount = Field(None, description="Tokens in a minute, input and output.")
    concurrent: OptionalCount = Field(None, description="Requests at once.")
