"""A small installation for tests of gateway.yaml: dialects and plugins without importing any of them."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from proxy.adapter import Adapter, Exchange, NoOptions
from proxy.config import Config, PluginLoadError
from proxy.configfile import load
from proxy.errors import ConfigError


class SimulatorOptions(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    delay_ms: int = Field(0, ge=0, description="Milliseconds before each piece.")
    ratio: float = 1.0
    loud: bool = False
    sizes: tuple[int, ...] = ()


class BudgetOptions(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    when_short: Literal["clamp", "reject"] = Field("clamp", description="What to do when little is left.")


class AccessLogOptions(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["json", "console"] = "json"


class QuotaOptions(BaseModel):
    """Of somebody else's plugin; says nothing of unknown keys."""

    groups: Mapping[str, int] = {}
    fields: tuple[str, ...]


class FakeAdapter:
    def __init__(self, name: str, base_url: str | None, signer: str, options: type[BaseModel] = NoOptions) -> None:
        self.name, self.base_url, self.signer, self.options = name, base_url, signer, options
        self.simulated = signer == "none"
        self.prompt_overhead_tokens = 0

    def open(self, chat: Any, target: Any) -> Exchange:
        raise NotImplementedError


ADAPTERS: Mapping[str, Adapter] = {
    adapter.name: adapter
    for adapter in (
        FakeAdapter("ark", "https://ark.cn-beijing.volces.com/api/v3", "volcengine"),
        FakeAdapter("ark_messages", None, "x-api-key"),
        FakeAdapter("coze", None, "bearer"),
        FakeAdapter("deepseek", "https://api.deepseek.com", "bearer"),
        FakeAdapter("openai_chat", None, "bearer"),
        FakeAdapter("simulator", None, "none", SimulatorOptions),
    )
}

PLUGINS: Mapping[str, type[BaseModel] | None] = {
    "access_log": AccessLogOptions,
    "budget": BudgetOptions,
    "metering": None,
    "metrics": None,
    "model_scope": None,
    "quota": QuotaOptions,
    "rate_limit": None,
    "routing": None,
    "virtual_keys": None,
    "watcher": None,
}
HOOKS = {"quota": {"reserve", "meter"}, "watcher": {"observe"}}
FILES = {"./my_policy.py"}


class FakeSections:
    """without: plugins that are not installed."""

    missing_adapters: Sequence[str] = ()

    def __init__(self, without: Collection[str] = ()) -> None:
        self._plugins = {name: model for name, model in PLUGINS.items() if name not in without}

    def adapter_names(self) -> Sequence[str]:
        return sorted(ADAPTERS)

    def adapter(self, name: str) -> Adapter | None:
        return ADAPTERS.get(name)

    def plugin_names(self) -> Sequence[str]:
        return sorted(self._plugins)

    def plugin_model(self, name: str) -> type[BaseModel] | None:
        if name.endswith(".py"):
            if name not in FILES:
                raise PluginLoadError(f"the file {name} does not exist")
            return None
        return self._plugins[name]

    def plugin_hooks(self, name: str) -> Collection[str]:
        return {"authorize", "route"} if name in FILES else HOOKS[name]


def config_of(text: str, folder: Path, environ: Mapping[str, str] | None = None, *, without: Collection[str] = ()) -> Config:
    """Load `text` as gateway.yaml in `folder`."""
    file = folder / "gateway.yaml"
    file.write_text(text, encoding="utf-8")
    return load(file, environ or {}, lambda names, beside: FakeSections(without))


def problems_of(
    text: str, folder: Path, environ: Mapping[str, str] | None = None, *, without: Collection[str] = ()
) -> list[str]:
    """The problems of `text`, as `LINE:COL: path: message`; none: it loads."""
    try:
        config_of(text, folder, environ, without=without)
    except ConfigError as error:
        return [problem.render("").lstrip(": ") for problem in error.problems]
    return []
