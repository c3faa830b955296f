"""Virtual keys as the admin API takes and shows them: strict JSON in, KeyRecord, JSON without secrets out."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, StrictStr, ValidationError, WithJsonSchema
from pydantic_core import PydanticCustomError

from proxy.config import BUILT_IN_PLUGINS
from proxy.configtypes import did_you_mean
from proxy.context import Limits, RateLimit
from proxy.errors import BadRequest
from proxy.money import MAX_BUDGET_USD, nano_to_usd, usd_to_nano
from proxy.registry import Registry
from proxy.snapshot import Snapshot
from proxy.storage.keys import KeyRecord

T = TypeVar("T", bound=BaseModel)

_DECIMAL = re.compile(r"[0-9]{1,10}(\.[0-9]{1,9})?")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_DUTIES = {
    "families": ("model_scope", "authorize"),
    "models": ("model_scope", "authorize"),
    "wallet": ("budget", "reserve"),
    "budget": ("budget", "reserve"),
    "rate_limit": ("rate_limit", "reserve"),
}
"""{what a key may have: (the built-in plugin that enforces it, the hook by which another may)}."""


def _money(value: Any) -> Any:
    if value is None:
        return None
    text = repr(value) if type(value) in (int, float) else value
    if not isinstance(text, str) or not _DECIMAL.fullmatch(text):
        raise PydanticCustomError("money", 'expected an amount of USD such as "1.50", with at most nine decimals')
    return Decimal(text)


Usd = Annotated[
    Annotated[Decimal, Field(le=MAX_BUDGET_USD)] | None,
    BeforeValidator(_money),
    WithJsonSchema({"type": ["string", "number", "null"], "examples": ["1.50"]}),
]
Count = Annotated[StrictInt, Field(ge=1, le=10**12)] | None
Names = Annotated[list[StrictStr], Field(min_length=1, max_length=1000)] | None


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class WindowsForm(_Form):
    """Budgets of a day and a month; null: no limit."""

    daily_usd: Usd = None
    """USD a day, with at most nine decimals."""
    monthly_usd: Usd = None
    """USD a month."""


class BudgetForm(WindowsForm):
    """Budgets of a key and of its families; a family with null loses its own."""

    families: dict[str, WindowsForm | None] = {}
    """By family."""


class RateLimitForm(_Form):
    """null: no limit."""

    requests_per_minute: Count = None
    """Requests in any minute."""
    tokens_per_minute: Count = None
    """Tokens in any minute, input and output."""
    concurrent: Count = None
    """Requests at once."""


class KeyChanges(_Form):
    """PATCH of a key: what is left out stays, null takes a limit away."""

    families: Names = None
    """Families it may use; null: all."""
    models: Names = None
    """Models it may use; null: all."""
    wallet: StrictStr | None = None
    """The wallet it draws on."""
    timezone: StrictStr = "UTC"
    """Where its days and months begin."""
    expires_at: StrictStr | None = None
    """When it ends: a date such as 2027-01-01, or a time, in its own time zone."""
    budget: BudgetForm = BudgetForm()
    """What it may spend."""
    rate_limit: RateLimitForm = RateLimitForm()
    """What it may do in a minute and at once."""


class KeyForm(KeyChanges):
    """POST of a key."""

    name: StrictStr
    """Unique: 1 to 64 letters, digits, dots, dashes or underscores."""


def read_form(form: type[T], body: Any) -> T:
    """Raises: BadRequest: the first thing wrong with the body, and where."""
    try:
        return form.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        if first["type"] == "extra_forbidden":
            known = did_you_mean(str(first["loc"][-1]), form.model_fields)
            raise BadRequest(_sentence(f"There is no field {place!r}{known}"), param=place) from None
        said = first["msg"].removeprefix("Input should be ")
        said = said if said != first["msg"] or said.startswith("expected") else f"{said[:1].lower()}{said[1:]}"
        raise BadRequest(f"{place or 'the body'}: {said}.", param=place or None) from None


def record_of(form: KeyForm, digest: str, hint: str, now_s: int) -> KeyRecord:
    """A new key as its form says. Raises: BadRequest."""
    if not _NAME.fullmatch(form.name):
        raise BadRequest("A key's name has 1 to 64 letters, digits, dots, dashes or underscores.", param="name")
    blank = KeyRecord(name=form.name, digest=digest, hint=hint, created_s=now_s)
    return replace(blank, **changes_of(form, blank))


def changes_of(form: KeyChanges, record: KeyRecord) -> dict[str, Any]:
    """{field of KeyRecord: new value} of everything that the form names. Raises: BadRequest."""
    changes: dict[str, Any] = {}
    given = form.model_fields_set
    for name in ("families", "models"):
        if name in given:
            names = getattr(form, name)
            changes[name] = None if names is None else frozenset(names)
    if "wallet" in given:
        changes["wallet"] = form.wallet
    if "timezone" in given:
        changes["timezone"] = zone(form.timezone).key
    if "expires_at" in given:
        where = zone(changes.get("timezone", record.timezone))
        end = form.expires_at
        changes["expires_s"] = None if end is None else instant(end, where, "expires_at")
    if "budget" in given:
        changes["budget"] = _limits(form.budget, record.budget)
        budgets = {**record.family_budgets}
        for family, windows in form.budget.families.items():
            budgets[family] = Limits() if windows is None else _limits(windows, budgets.get(family, Limits()))
        changes["family_budgets"] = {family: limits for family, limits in budgets.items() if limits != Limits()}
    if "rate_limit" in given:
        limits = {name: getattr(form.rate_limit, name) for name in form.rate_limit.model_fields_set}
        changes["rate_limit"] = record.rate_limit._replace(**limits)
    return changes


def check_fits(record: KeyRecord, snapshot: Snapshot, registry: Registry, wallets: Iterable[str]) -> None:
    """wallets: those a key may draw on. Raises: BadRequest: the key names what isn't there, or has a limit that no plugin
    enforces.
    """
    families = {entry.family for entry in snapshot.models.values()}
    _all_known("families", record.families or (), families, "family of gateway.yaml's models")
    _all_known("budget.families", record.family_budgets, families, "family of gateway.yaml's models")
    for model in record.models or ():
        if model in snapshot.aliases and model not in snapshot.models:
            own = snapshot.aliases[model]
            raise BadRequest(f"{model!r} is an alias: name the model itself, {own!r}.", param="models")
    _all_known("models", record.models or (), snapshot.models, "model of gateway.yaml")
    if record.wallet is not None:
        _all_known("wallet", (record.wallet,), wallets, "wallet")
    asked = {
        "families": record.families,
        "models": record.models,
        "wallet": record.wallet,
        "budget": record.budget != Limits() or record.family_budgets,
        "rate_limit": record.rate_limit != RateLimit(),
    }
    for field, value in asked.items():
        plugin, hook = _DUTIES[field]
        if value and not _enforced(plugin, hook, registry):
            remedy = f'add "- {plugin}" to plugins in gateway.yaml'
            if plugin not in registry.plugin_names():
                remedy = f"this installation has no plugin {plugin!r}; leave it out"
            raise BadRequest(f"Nothing enforces a key's {field}: {remedy}.", param=field)


def key_body(record: KeyRecord, source: str, now_s: int) -> dict[str, Any]:
    """A key as JSON: what it may, never what it is. source: "store" or "gateway.yaml"."""
    state = "active"
    if record.revoked_s is not None:
        state = "revoked"
    elif record.expires_s is not None and now_s >= record.expires_s:
        state = "expired"
    limits = record.rate_limit
    return {
        "name": record.name,
        "hint": f"…{record.hint}" if record.hint else "",
        "source": source,
        "state": state,
        "families": None if record.families is None else sorted(record.families),
        "models": None if record.models is None else sorted(record.models),
        "wallet": record.wallet,
        "timezone": record.timezone,
        "budget": {
            **_windows(record.budget),
            "families": {family: _windows(limits) for family, limits in sorted(record.family_budgets.items())},
        },
        "rate_limit": {
            "requests_per_minute": limits.requests_per_minute,
            "tokens_per_minute": limits.tokens_per_minute,
            "concurrent": limits.concurrent,
        },
        "expires_at": _iso(record.expires_s),
        "created_at": _iso(record.created_s or None),
        "revoked_at": _iso(record.revoked_s),
    }


def _all_known(param: str, names: Iterable[str], known: Iterable[str], what: str) -> None:
    known = sorted(known)
    for name in names:
        if name not in known:
            nearest = did_you_mean(name, known) or f" ({', '.join(known[:20]) or 'there are none'})"
            raise BadRequest(_sentence(f"{name[:64]!r} is no {what}{nearest}"), param=param)


def _enforced(plugin: str, hook: str, registry: Registry) -> bool:
    others = (name for name in registry.names if name not in BUILT_IN_PLUGINS)
    return plugin in registry.names or any(hook in registry.plugin_hooks(name) for name in others)


def zone(name: str) -> zoneinfo.ZoneInfo:
    """Reads the system's zone files. Raises: BadRequest."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        nearest = did_you_mean(name, zoneinfo.available_timezones()) or " such as Asia/Singapore"
        raise BadRequest(_sentence(f"{name[:64]!r} is no time zone{nearest}"), param="timezone") from None


def instant(text: str, timezone: zoneinfo.ZoneInfo, param: str) -> int:
    """Unix seconds: a date is its first instant in this zone, a time without a zone is in this one. Raises: BadRequest."""
    try:
        if not re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            raise ValueError
        moment = datetime.fromisoformat(text)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=timezone)).timestamp())
    except (ValueError, OverflowError):
        expected = "a date such as 2027-01-01 or a time such as 2027-01-01T18:00:00"
        raise BadRequest(f"{text[:64]!r} is not {expected}.", param=param) from None


def _sentence(text: str) -> str:
    return text if text.endswith("?") else f"{text}."


def _limits(form: WindowsForm, before: Limits) -> Limits:
    def window(name: str, kept: int | None) -> int | None:
        if f"{name}_usd" not in form.model_fields_set:
            return kept
        amount: Decimal | None = getattr(form, f"{name}_usd")
        return None if amount is None else usd_to_nano(amount)

    return Limits(
        daily_nanousd=window("daily", before.daily_nanousd), monthly_nanousd=window("monthly", before.monthly_nanousd)
    )


def _windows(limits: Limits) -> Mapping[str, str | None]:
    return {
        "daily_usd": None if limits.daily_nanousd is None else nano_to_usd(limits.daily_nanousd),
        "monthly_usd": None if limits.monthly_nanousd is None else nano_to_usd(limits.monthly_nanousd),
    }


def _iso(unix_s: int | None) -> str | None:
    return None if unix_s is None else datetime.fromtimestamp(unix_s, UTC).isoformat().replace("+00:00", "Z")
