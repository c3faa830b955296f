"""What one place of gateway.yaml says about another: names that must exist, prices, plugins that enforce.

The checks read the file's plain data, not the models, so that one wrong value hides no other; what has the wrong shape
is left to the models' own complaints.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from proxy.adapter import Embedder
from proxy.catalogue import CataloguePrice, catalogue
from proxy.config import ACCESS_KEYS, BUILT_IN_PLUGINS, PluginLoadError, Sections
from proxy.configtypes import did_you_mean
from proxy.configwords import found
from proxy.credentials import VOLCENGINE
from proxy.errors import Problem
from proxy.presets import is_free
from proxy.volcengine_keys import needs_project
from proxy.yamltext import Document, Place, render_path

_HOOK_OF_DUTY = {
    "virtual_keys": "authenticate",
    "model_scope": "authorize",
    "rate_limit": "reserve",
    "budget": "reserve",
    "metering": "meter",
}
"""{built-in plugin: the hook by which a plugin of somebody else's may do its duty}."""


@dataclass(frozen=True, slots=True)
class _Node:
    """A value of the file, that may be missing or of any shape."""

    path: Place
    value: Any

    def __getitem__(self, key: str) -> _Node:
        inner = self.value.get(key) if isinstance(self.value, dict) else None
        return _Node((*self.path, key), inner)

    def members(self) -> Iterator[tuple[str, _Node]]:
        for key, value in self.value.items() if isinstance(self.value, dict) else ():
            yield key, _Node((*self.path, key), value)

    def entries(self) -> Iterator[_Node]:
        for index, value in enumerate(self.value if isinstance(self.value, list) else ()):
            yield _Node((*self.path, index), value)

    @property
    def text(self) -> str:
        return self.value if isinstance(self.value, str) else ""

    @property
    def says_something(self) -> bool:
        if isinstance(self.value, dict):
            return any(inner.says_something for _, inner in self.members())
        return self.value not in (None, "", [])


def _task(model: _Node) -> str:
    return model["task"].text or "chat"


def cross_check(data: Any, document: Document, sections: Sections, plugins: Sequence[str] | None) -> list[Problem]:
    """Every disagreement between sections. plugins: names of the `plugins:` list; None: it is left out."""
    checks = _Checks(_Node((), data), document, sections, plugins)
    checks.providers()
    checks.models()
    checks.keys()
    checks.duties()
    return checks.problems


class _Checks:
    def __init__(self, root: _Node, document: Document, sections: Sections, plugins: Sequence[str] | None) -> None:
        self.problems: list[Problem] = []
        self._root = root
        self._document = document
        self._sections = sections
        self._plugins = plugins
        self._models = dict(root["models"].members())
        self._signed: set[str] = set()
        """Providers that have an AK/SK."""

    def _complain(self, node: _Node, message: str, *, at_key: bool = False) -> None:
        place = self._document.key_place(node.path) if at_key else self._document.place(node.path)
        self.problems.append(Problem(render_path(node.path), message, *place))

    def _known(self, node: _Node, names: Iterable[str], where: str, remedy: str = "") -> None:
        """Complain unless the text of `node`, where it is one, is among `names`. remedy: where none of them is meant."""
        known = list(names)
        if node.text and node.text not in known:
            choice = did_you_mean(node.text, known) or f" ({', '.join(known[:20]) or 'there are none'})"
            if remedy:
                choice += f" If not, {remedy}" if choice.endswith("?") else f": {remedy}"
            self._complain(node, f"found {found(node.value)}, expected a name out of {where}{choice}")

    def providers(self) -> None:
        for _, provider in self._root["providers"].members():
            named = provider["adapter"]
            adapter = self._sections.adapter(named.text) if named.text else None
            if named.text and adapter is None:
                self._known(named, self._sections.adapter_names(), "the adapters", "; ".join(self._sections.missing_adapters))
            needs_address = adapter is not None and adapter.base_url is None and adapter.signer != "none"
            if needs_address and provider["base_url"].value in (None, ""):
                message = f"base_url is missing: the adapter {named.text} knows none of its own"
                self._complain(provider, message, at_key=True)
            if adapter is not None and adapter.signer == VOLCENGINE:
                self._access(provider)

    def _access(self, provider: _Node) -> None:
        """An AK/SK is a pair, and comes instead of an api_key."""
        access, secret = provider["access_key"], provider["secret_key"]
        if access.says_something and secret.says_something:
            self._signed.add(str(provider.path[-1]))
            if provider["api_key"].says_something:
                self._complain(provider["api_key"], "found an api_key beside an AK/SK: remove one of them", at_key=True)
        elif access.says_something or secret.says_something:
            given, other = ("access_key", "secret_key") if access.says_something else ("secret_key", "access_key")
            self._complain(provider[given], f"found no {other} to it: an AK/SK is a pair, write both", at_key=True)
        elif not {"access_key", "secret_key"} & provider.value.keys():
            for key in (key for key in provider.value if key in ACCESS_KEYS):
                self._complain(provider[key], "this belongs to an AK/SK: write access_key and secret_key", at_key=True)

    def models(self) -> None:
        taken: dict[str, str] = {}
        for name, model in self._models.items():
            self._preset(model["preset"])
            self._routes(model)
            for fallback in model["fallbacks"].entries():
                if fallback.text == name:
                    self._complain(fallback, "a model can't be its own fallback: remove it")
                self._known(fallback, self._models, "models")
                if fallback.text in self._models and _task(self._models[fallback.text]) != _task(model):
                    self._complain(fallback, f"{fallback.text} is for {_task(self._models[fallback.text])}, this model is not")
            for alias in model["aliases"].entries():
                if alias.text in self._models:
                    self._complain(alias, f'"{alias.text}" is the name of a model: an alias must be another name')
                elif alias.text in taken:
                    self._complain(alias, f'"{alias.text}" is an alias of {taken[alias.text]} already: remove one')
                elif alias.text:
                    taken[alias.text] = name
            self._debit(model)

    def _preset(self, preset: _Node) -> None:
        if preset.text and preset.text not in catalogue().models:
            choice = did_you_mean(preset.text, catalogue().models) or ": `paifang models --catalogue` lists them"
            self._complain(preset, f"found {found(preset.value)}, expected a model of the catalogue{choice}")

    def _routes(self, model: _Node) -> None:
        names: set[str] = set()
        for route in model["routes"].entries():
            self._known(route["provider"], (name for name, _ in self._root["providers"].members()), "providers")
            self._task(model, route["provider"])
            name = route["name"].text or route["provider"].text
            if name and name in names:
                place = route["name"] if route["name"].text else route
                self._complain(place, f'another route of this model is called "{name}": give this one a name')
            names.add(name)
            self._project(route)
            if isinstance(route["cost"].value, dict):
                self._price(route["cost"], embeds=_task(model) == "embeddings")

    def _task(self, model: _Node, provider: _Node) -> None:
        named = self._root["providers"][provider.text]["adapter"].text
        adapter = self._sections.adapter(named) if named else None
        if _task(model) == "embeddings" and adapter is not None and not isinstance(adapter, Embedder):
            self._complain(provider, f"the adapter {named} of this provider has no embeddings: name another provider")

    def _project(self, route: _Node) -> None:
        name, called = route["provider"].text, route["model"]
        if not (name in self._signed and called.text and needs_project(called.text)):
            return
        if not self._root["providers"][name]["project"].text:
            message = f"with an AK/SK, a model's own id needs providers.{name}.project: write it, or call an endpoint (ep-…)"
            self._complain(called, message)

    def _debit(self, model: _Node) -> None:
        free = is_free(model["free"].value)
        if isinstance(model["price"].value, dict):
            self._price(model["price"], embeds=_task(model) == "embeddings")
            if free:
                self._complain(model["price"], 'the model is free and has a price: remove "free: true" or the price')
        elif isinstance(model["price"].value, CataloguePrice):
            self._preset_price(model["preset"], model["price"].value.currency)
        elif isinstance(model.value, dict) and model["price"].value is None and not free:
            preset = model["preset"].text
            what = f'the preset "{preset}" has no price' if preset else "a price is missing"
            message = f'{what}: add "price: {{input: …, output: …}}" in USD per 1M tokens, or "free: true"'
            self._complain(model, message, at_key=True)

    def _preset_price(self, preset: _Node, currency: str) -> None:
        if currency not in self._currencies():
            remedy = f'add "exchange_rates: {{{currency}: {{usd: …, date: …}}}}", or a price in USD to this model'
            self._complain(preset, f'the price of the preset "{preset.text}" is in {currency}: {remedy}')

    def _currencies(self) -> list[str]:
        return ["USD", *(name for name, _ in self._root["exchange_rates"].members())]

    def _price(self, price: _Node, *, embeds: bool) -> None:
        rates = [price[side] for side in ("input", "output") if price[side].value is not None]
        if price["tiers"].says_something:
            for rate in rates:
                self._complain(rate, "the price has tiers: write the rate into them, or remove the tiers")
            self._tiers(price["tiers"])
        elif len(rates) < 2 and not (embeds and price["input"].value is not None):
            self._complain(price, "expected both input and output, or tiers", at_key=True)
        currency = price["currency"].text
        if len(currency) == 3 and currency.isupper() and currency not in self._currencies():
            message = f"no exchange rate for {currency}: add exchange_rates.{currency} with usd and date"
            self._complain(price["currency"], message)

    def _tiers(self, tiers: _Node) -> None:
        longest: tuple[float, float] = (0, 0)
        for tier in tiers.entries():
            bounds = [tier[f"up_to_{side}_tokens"].value for side in ("input", "output")]
            if not all(bound is None or isinstance(bound, int) for bound in bounds):
                return
            length = tuple(float("inf") if bound is None else bound for bound in bounds)
            if length <= longest:
                self._complain(tier, "no request gets to this tier: order tiers from short to long, the open one last")
            longest = max(longest, (length[0], length[1]))

    def keys(self) -> None:
        families = [name for name in dict.fromkeys(model["family"].text for model in self._models.values()) if name]
        wallets = [name for name, _ in self._root["wallets"].members()]
        names: set[str] = set()
        secrets: set[str] = set()
        for key in self._root["keys"].entries():
            for seen, node, thing in ((names, key["name"], "name"), (secrets, key["key"], "secret")):
                if node.text and node.text in seen:
                    self._complain(node, f"another key has the same {thing}: each needs its own")
                seen.add(node.text)
            for model in key["models"].entries():
                self._key_model(model)
            for family in key["families"].entries():
                self._known(family, families, "the models' families")
            for family_name, budget in key["budget"]["families"].members():
                if family_name not in families:
                    message = f'no model is of the family "{family_name}"{did_you_mean(family_name, families)}'
                    self._complain(budget, message, at_key=True)
            remedy = f'add "{key["wallet"].text}: {{}}" under wallets, also if `wallet create` made it'
            self._known(key["wallet"], wallets, "wallets", remedy)

    def _key_model(self, node: _Node) -> None:
        for name, model in self._models.items():
            if node.text and any(alias.text == node.text for alias in model["aliases"].entries()):
                self._complain(node, f'"{node.text}" is an alias: write the model\'s own name "{name}"')
                return
        self._known(node, self._models, "models")

    def duties(self) -> None:
        """What is limited must be enforced by a plugin that is in the chain."""
        root = self._root
        if root["keys"].says_something:
            self._enforced("virtual_keys", root["keys"])
        self._enforced("budget", root["budget"])
        self._enforced("budget", root["wallets"], always=root["wallets"].value not in (None, {}))
        for key in root["keys"].entries():
            self._enforced("model_scope", key["families"])
            self._enforced("model_scope", key["models"])
            self._enforced("budget", key["wallet"])
            self._enforced("budget", key["budget"])
            self._enforced("rate_limit", key["rate_limit"])
        if root["redis"]["url"].text:
            remedy = "remove url, or write null; the processes of server.workers share them without it"
            self._complain(root["redis"]["url"], f"this version shares no rate limits over Redis: {remedy}")
        if self._plugins is not None and "budget" in self._plugins:
            entry = _Node(("plugins", self._plugins.index("budget")), "budget")
            self._enforced("metering", entry, "no plugin of the chain says what a request cost, so nothing would be debited")

    def _enforced(self, duty: str, node: _Node, lacks: str = "", *, always: bool = False) -> None:
        """Complain where nobody does this duty. lacks: what that means, where `node` is not what is to be enforced."""
        if not (node.says_something or always) or self._is_enforced(duty):
            return
        if duty in self._sections.plugin_names():
            message = f'{lacks or "no plugin of the chain enforces this"}: add "- {duty}" to plugins'
        else:
            message = f"{lacks or 'no plugin of this installation enforces this'} ({duty} would): remove it"
        self._complain(node, message, at_key=True)

    def _is_enforced(self, duty: str) -> bool:
        if self._plugins is None:
            return duty in self._sections.plugin_names()
        others = (name for name in self._plugins if name not in BUILT_IN_PLUGINS)
        return duty in self._plugins or any(_HOOK_OF_DUTY[duty] in self._hooks(name) for name in others)

    def _hooks(self, name: str) -> Iterable[str]:
        try:
            return self._sections.plugin_hooks(name)
        except (LookupError, PluginLoadError):
            return _HOOK_OF_DUTY.values()  # the plugin itself is complained about; what it would enforce is unknown
