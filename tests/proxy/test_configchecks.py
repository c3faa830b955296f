from pathlib import Path

import pytest

from tests.fakes.sections import problems_of

KEY = "k" * 24
PROVIDERS = "providers: {p: {adapter: simulator}, q: {adapter: simulator}}\n"


def complaints(text: str, folder: Path) -> list[str]:
    """The problems without their places."""
    return [problem.partition(": ")[2] for problem in problems_of(text, folder)]


def models(inside: str) -> str:
    """A file with the model m, and other members or models behind it."""
    return f"{PROVIDERS}models:\n  m: {{family: f, free: true, routes: [{{provider: p, model: x}}]}}\n{inside}\n"


def other(inside: str, routes: str = "[{provider: p, model: x}]") -> str:
    return models(f"  o: {{family: g, routes: {routes}, {inside}}}")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            other("free: true", "[{provider: pp, model: x}]"),
            'models.o.routes[0].provider: found "pp", expected a name out of providers: did you mean "p"?',
        ),
        (
            other("free: true", "[{provider: zzz, model: x}]"),
            'models.o.routes[0].provider: found "zzz", expected a name out of providers (p, q)',
        ),
        (
            other("free: true", "[{provider: p, model: x}, {provider: p, model: y}]"),
            'models.o.routes[1]: another route of this model is called "p": give this one a name',
        ),
        (
            other("free: true", "[{provider: p, model: x}, {name: p, provider: q, model: y}]"),
            'models.o.routes[1].name: another route of this model is called "p": give this one a name',
        ),
        (other("free: true, fallbacks: [o]"), "models.o.fallbacks[0]: a model can't be its own fallback: remove it"),
        (
            other("free: true, fallbacks: [x]"),
            'models.o.fallbacks[0]: found "x", expected a name out of models (m, o)',
        ),
        (
            other("free: true, aliases: [m]"),
            'models.o.aliases[0]: "m" is the name of a model: an alias must be another name',
        ),
        (
            other("free: true, aliases: [a, a]"),
            'models.o.aliases[1]: "a" is an alias of o already: remove one',
        ),
        (
            other("max_output_tokens: 5"),
            'models.o: a price is missing: add "price: {input: …, output: …}" in USD per 1M tokens, or "free: true"',
        ),
        (
            other("free: true, price: {input: 1, output: 1}"),
            'models.o.price: the model is free and has a price: remove "free: true" or the price',
        ),
        (other("price: {input: 1}"), "models.o.price: expected both input and output, or tiers"),
        (
            other("price: {input: 1, tiers: [{input: 1, output: 1}]}"),
            "models.o.price.input: the price has tiers: write the rate into them, or remove the tiers",
        ),
        (
            other("price: {tiers: [{input: 1, output: 1}, {up_to_input_tokens: 5, input: 1, output: 1}]}"),
            "models.o.price.tiers[1]: no request gets to this tier: order tiers from short to long, the open one last",
        ),
        (
            other("price: {currency: CNY, input: 1, output: 1}"),
            "models.o.price.currency: no exchange rate for CNY: add exchange_rates.CNY with usd and date",
        ),
        (
            other("free: true", "[{provider: p, model: x, cost: {currency: EUR, output: 1, input: 1}}]"),
            "models.o.routes[0].cost.currency: no exchange rate for EUR: add exchange_rates.EUR with usd and date",
        ),
        (
            models("").replace("q: {adapter: simulator}", "q: {adapter: openai_chat}"),
            "providers.q: base_url is missing: the adapter openai_chat knows none of its own",
        ),
        (
            models("").replace("q: {adapter: simulator}", "q: {adapter: deepsek}"),
            'providers.q.adapter: found "deepsek", expected a name out of the adapters: did you mean "deepseek"?',
        ),
    ],
)
def test_what_places_say_about_each_other(text: str, problem: str, tmp_path: Path) -> None:
    assert complaints(text, tmp_path) == [problem]


@pytest.mark.parametrize(
    "text",
    [
        models(""),
        other("free: ${FREE:-true}, fallbacks: [m], aliases: [a, b]"),
        other("price: {tiers: [{up_to_input_tokens: 5, up_to_output_tokens: 2, input: 1, output: 1}, "
              "{up_to_input_tokens: 5, input: 1, output: 2}, {input: 2, output: 2}]}"),
        other("price: {currency: CNY, input: 1, output: 1}") + "exchange_rates: {CNY: {usd: 0.14, date: 2026-11-20}}\n",
        models("").replace("q: {adapter: simulator}", "q: {adapter: deepseek}"),
    ],
)  # fmt: skip
def test_what_agrees(text: str, tmp_path: Path) -> None:
    assert problems_of(text, tmp_path) == []


def keys(*entries: str, more: str = "") -> str:
    listed = "".join(f"- {{{entry}}}\n" for entry in entries)
    return f"{models('')}{more}keys:\n{listed}"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            keys(f"name: a, key: {KEY}", f"name: a, key: {KEY}x"),
            "keys[1].name: another key has the same name: each needs its own",
        ),
        (
            keys(f"name: a, key: {KEY}", f"name: b, key: {KEY}"),
            "keys[1].key: another key has the same secret: each needs its own",
        ),
        (keys(f"name: a, key: {KEY}, models: [mm]"), 'keys[0].models[0]: found "mm", expected a name out of models: '),
        (
            keys(f"name: a, key: {KEY}, models: [al]").replace("family: f,", "family: f, aliases: [al],"),
            'keys[0].models[0]: "al" is an alias: write the model\'s own name "m"',
        ),
        (
            keys(f"name: a, key: {KEY}, families: [z]"),
            'keys[0].families[0]: found "z", expected a name out of the models\' families (f)',
        ),
        (
            keys(f"name: a, key: {KEY}, budget: {{families: {{z: {{daily_usd: 1}}}}}}"),
            'keys[0].budget.families.z: no model is of the family "z"',
        ),
        (
            keys(f"name: a, key: {KEY}, wallet: w"),
            'keys[0].wallet: found "w", expected a name out of wallets (there are none): '
            'add "w: {}" under wallets, also if `wallet create` made it',
        ),
        (
            keys(f"name: a, key: {KEY}, wallet: teem") + "wallets: {team: {}}\n",
            'keys[0].wallet: found "teem", expected a name out of wallets: did you mean "team"? '
            'If not, add "teem: {}" under wallets, also if `wallet create` made it',
        ),
    ],
)
def test_what_keys_refer_to(text: str, problem: str, tmp_path: Path) -> None:
    (found,) = complaints(text, tmp_path)
    assert found.startswith(problem)


def test_keys_that_are_off_do_not_clash(tmp_path: Path) -> None:
    assert problems_of(keys("name: a, key: ${A:-}", "name: b, key: ${B:-}"), tmp_path) == []


CHAIN = "virtual_keys, model_scope, rate_limit, budget, routing, metering"


def without(plugin: str) -> str:
    return f"plugins: [{', '.join(name for name in CHAIN.split(', ') if name != plugin)}]\n"


@pytest.mark.parametrize(
    ("plugin", "text", "paths"),
    [
        ("virtual_keys", keys(f"name: a, key: {KEY}"), ["keys"]),
        ("model_scope", keys(f"name: a, key: {KEY}, models: [m]"), ["keys[0].models"]),
        ("model_scope", keys(f"name: a, key: {KEY}, families: [f]"), ["keys[0].families"]),
        ("rate_limit", keys(f"name: a, key: {KEY}, rate_limit: {{concurrent: 1}}"), ["keys[0].rate_limit"]),
        ("budget", keys(f"name: a, key: {KEY}, budget: {{daily_usd: 1}}"), ["keys[0].budget"]),
        ("budget", keys(f"name: a, key: {KEY}, wallet: w") + "wallets: {w: {}}\n", ["keys[0].wallet", "wallets"]),
        ("budget", models("budget: {monthly_usd: 1}\n"), ["budget"]),
    ],
)
def test_limits_that_no_plugin_enforces(plugin: str, text: str, paths: list[str], tmp_path: Path) -> None:
    message = f'no plugin of the chain enforces this: add "- {plugin}" to plugins'
    assert complaints(text + f"plugins: [{CHAIN}]\n", tmp_path) == []
    assert complaints(text + without(plugin), tmp_path) == [f"{path}: {message}" for path in paths]


def test_a_budget_that_nobody_meters_for_names_what_is_missing(tmp_path: Path) -> None:
    assert complaints(models("") + without("metering"), tmp_path) == [
        'plugins[3]: no plugin of the chain says what a request cost, so nothing would be debited: add "- metering" to plugins'
    ]


def test_a_limit_of_a_plugin_that_is_not_installed(tmp_path: Path) -> None:
    text = keys(f"name: a, key: {KEY}, rate_limit: {{concurrent: 1}}")
    assert problems_of(text, tmp_path) == []
    assert problems_of(text, tmp_path, without={"rate_limit"}) == [
        "6:44: keys[0].rate_limit: no plugin of this installation enforces this (rate_limit would): remove it"
    ]


def test_limits_that_nothing_built_in_enforces(tmp_path: Path) -> None:
    assert complaints(models("redis: {url: 'redis://cache:6379/0'}\n"), tmp_path) == [
        "redis.url: this version shares no rate limits over Redis: remove url, or write null; the processes of server.workers "
        "share them without it"
    ]


def test_a_plugin_of_somebody_else_may_enforce_by_its_hooks(tmp_path: Path) -> None:
    text = models("budget: {daily_usd: 1}\nplugins: [{quota: {fields: []}}]")
    assert problems_of(text, tmp_path) == []
    assert problems_of(text.replace("{quota: {fields: []}}", "watcher"), tmp_path) == [
        '4:1: budget: no plugin of the chain enforces this: add "- budget" to plugins'
    ]


def test_empty_limits_need_no_plugin(tmp_path: Path) -> None:
    text = keys(f"name: a, key: {KEY}, budget: {{}}, rate_limit: {{}}", more="budget: {daily_usd: }\nplugins: [virtual_keys]\n")
    assert problems_of(text, tmp_path) == []


def signed(provider: str, model: str = "ep-1") -> str:
    routes = f"[{{provider: p, model: {model}}}]"
    return f"providers: {{p: {{adapter: ark, {provider}}}}}\nmodels: {{m: {{family: f, free: true, routes: {routes}}}}}"


PAIR = "access_key: a, secret_key: s"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (signed("access_key: a"), "providers.p.access_key: found no secret_key to it: an AK/SK is a pair, write both"),
        (
            signed("access_key: ${NO_SUCH:-}, secret_key: s"),
            "providers.p.secret_key: found no access_key to it: an AK/SK is a pair, write both",
        ),
        (signed(f"{PAIR}, api_key: k"), "providers.p.api_key: found an api_key beside an AK/SK: remove one of them"),
        (
            signed("api_key: k, region: cn-beijing"),
            "providers.p.region: this belongs to an AK/SK: write access_key and secret_key",
        ),
        (
            signed(PAIR, "doubao-seed-1-8-251228"),
            "models.m.routes[0].model: with an AK/SK, a model's own id needs providers.p.project: write it, or call an "
            "endpoint (ep-…)",
        ),
        (signed(f"{PAIR}, region: a/b"), 'providers.p.region: found "a/b", expected a region such as cn-beijing'),
        (
            signed(PAIR).replace("ark", "deepseek"),
            'providers.p.access_key: unknown key "access_key", expected one of adapter, api_key, base_url, on_disconnect, '
            "prompt_overhead_tokens, proxy, timeouts, tls",
        ),
    ],
)
def test_an_ak_sk_is_whole_and_alone(text: str, problem: str, tmp_path: Path) -> None:
    assert problem in complaints(text, tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        signed(PAIR),
        signed(f"{PAIR}, api_key: ${{NO_SUCH:-}}, region: cn-shanghai"),
        signed(f"{PAIR}, project: default", "doubao-seed-1-8-251228"),
        signed(PAIR, "bot-1"),
        signed("access_key: ${NO_SUCH:-}, secret_key: ${NO_SUCH:-}, region: cn-beijing", "doubao-seed-1-8-251228"),
        signed("api_key: k", "doubao-seed-1-8-251228"),
    ],
)
def test_a_whole_ak_sk_agrees(text: str, tmp_path: Path) -> None:
    assert complaints(text, tmp_path) == []
