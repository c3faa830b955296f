from decimal import Decimal
from pathlib import Path

import pytest

from proxy.config import PluginEntry, PluginLoadError
from proxy.configfile import load, parse
from proxy.errors import ConfigError
from tests.fakes.sections import AccessLogOptions, BudgetOptions, FakeSections, QuotaOptions, config_of, problems_of

ROOT = Path(__file__).parents[2]
BASE = """\
providers: {p: {adapter: simulator}}
models: {m: {family: f, free: true, routes: [{provider: p, model: x}]}}
"""

ILLUSTRATION = """\
# yaml-language-server: $schema=./gateway.schema.json
server: {host: 127.0.0.1, port: 8080, workers: 1, max_body_bytes: 20971520, drain_timeout_s: 30}   # 0 = one per core
store:
  url: sqlite:///paifang.db     # or postgresql://user:password@host/db
  durability: power             # power: survives power loss | process: survives SIGKILL
  retention_days: 400           # of usage rows; ledger entries are kept
redis: {url: null}
admin: {token: ${PAIFANG_ADMIN_TOKEN:-}}
defaults:
  timeouts: {connect_s: 5, first_byte_s: 120, idle_s: 120, total_s: 1800}
  retry: {attempts: 3}
  on_disconnect: cancel
exchange_rates: {CNY: {usd: 0.1406, date: 2026-11-20}}
budget: {daily_usd: 50, monthly_usd: 500}
providers:
  ark:      {adapter: ark, base_url: https://ark.cn-beijing.volces.com/api/v3, api_key: ${ARK_API_KEY:-}}
  byteplus: {adapter: ark, base_url: https://ark.ap-southeast.bytepluses.com/api/v3, api_key: ${BYTEPLUS_API_KEY:-}}
  ark-aksk: {adapter: ark, access_key: ${VOLC_ACCESSKEY:-}, secret_key: ${VOLC_SECRETKEY:-}, region: cn-beijing}
  msgs:     {adapter: ark_messages, base_url: https://ark.cn-beijing.volces.com/api/compatible, api_key: ${ARK_API_KEY:-}}
  bot:      {adapter: coze, base_url: https://api.coze.cn, api_key: ${COZE_TOKEN:-}}
  relay:    {adapter: openai_chat, base_url: https://aggregator.example/v1, api_key: ${RELAY_KEY:-}}
  deepseek: {adapter: deepseek, api_key: ${DEEPSEEK_API_KEY:-}}            # a profile: base URL and quirks are known
  simulator: {adapter: simulator, delay_ms: 0}
models:
  doubao-seed:
    family: doubao
    aliases: [doubao]
    context_tokens: 262144
    max_output_tokens: 16384
    price: {input: 0.70, output: 2.80, cached_input: 0.14}
    fallbacks: [deepseek-chat]
    routes:
      - {name: ark-lite, provider: ark, model: doubao-seed-2-0-lite-260215, priority: 1, weight: 3, cost: {currency: CNY, input: 0.6, output: 3.6}}
      - {name: relay, provider: relay, model: doubao-seed, priority: 1, weight: 1, limits: {requests_per_minute: 600, concurrent: 50}}
      - {name: sim, provider: simulator, model: doubao-seed, priority: 9}
  deepseek-chat:
    family: deepseek
    price: {currency: CNY, tiers: [{up_to_input_tokens: 32000, input: 0.6, cached_input: 0.12, output: 3.6}]}
    routes: [{provider: deepseek, model: deepseek-chat}]
wallets: {team-a: {}}
keys:
  - {name: ci, key: ${CI_KEY:-}, families: [doubao], models: [doubao-seed], wallet: team-a, expires_at: 2027-01-01, timezone: Asia/Singapore,
     budget: {daily_usd: 1.0, monthly_usd: 20.0, families: {doubao: {daily_usd: 0.5}}},
     rate_limit: {requests_per_minute: 60, tokens_per_minute: 100000, concurrent: 8}}
plugins:
  - virtual_keys
  - model_scope
  - rate_limit
  - budget: {when_short: clamp}
  - routing
  - metering
  - metrics
  - access_log: {format: console}
  - ./my_policy.py: {fields: [email]}
"""  # noqa: E501


def test_the_illustration_of_the_contract_loads(tmp_path: Path) -> None:
    config = config_of(ILLUSTRATION, tmp_path, {"ARK_API_KEY": "hunter2", "CI_KEY": "k" * 24})
    assert config.providers["ark"].api_key.reveal() == "hunter2"
    assert config.providers["byteplus"].api_key.reveal() == ""
    assert config.models["doubao-seed"].routes[1].limits is not None
    assert config.keys[0].budget.families["doubao"].daily_usd == Decimal("0.5")
    assert config.plugins is not None
    assert config.plugins[3] == PluginEntry(name="budget", options=BudgetOptions(when_short="clamp"))
    assert config.plugins[7] == PluginEntry(name="access_log", options=AccessLogOptions(format="console"))
    assert config.plugins[8] == PluginEntry(name="./my_policy.py", options={"fields": ["email"]})


def test_the_shipped_file_needs_no_variable() -> None:
    config = load(ROOT / "gateway.yaml", {}, lambda names, folder: FakeSections())
    model = config.models["doubao-seed"]
    assert [(route.name, route.provider, route.model) for route in model.routes] == [
        ("ark-lite", "ark", "doubao-seed-2-0-lite-260428"),
        ("relay", "relay", "doubao-seed"),
        ("sim", "simulator", "doubao-seed"),
    ]
    assert config.providers["relay"].base_url == "https://aggregator.example/v1"
    assert (config.keys, config.plugins, model.aliases) == ((), None, ("doubao",))


EVERYTHING_WRONG = """\
server: {port: 8080, prot: 1}
server: {}
providers:
  ark: {adapter: arc, api_key: *key}
  relay: {adapter: openai_chat, api_key: ${MISSING}}
models:
  doubao-seed:
    famly: doubao
    price: {input: 010, output: true}
    routes:
      - {provider: rely, model: x, weight: 0}
      - {provider: relay, model: 12:30:45}
keys:
  - {name: ci, key: tooshort, models: [doubao]}
plugins: [virtual_keys, model_scop, {budget: {when: clamp}}]
"""


def test_every_problem_at_once_by_line(tmp_path: Path) -> None:
    assert problems_of(EVERYTHING_WRONG, tmp_path) == [
        '1:22: server.prot: unknown key "prot": did you mean "port"?',
        '2:1: server: the key "server" is there twice, first in line 1: remove one',
        '4:18: providers.ark.adapter: found "arc", expected a name out of the adapters: did you mean "ark"?',
        "4:32: providers.ark.api_key: aliases are not read here: write the value of *key out",
        "5:3: providers.relay: base_url is missing: the adapter openai_chat knows none of its own",
        "5:42: providers.relay.api_key: the environment variable MISSING is not set: "
        "set it, or write ${MISSING:-default} (${MISSING:-} for an empty one)",
        "7:3: models.doubao-seed.family: required, but missing: "
        "The family it belongs to, such as doubao; keys may be bound to families.",
        '8:5: models.doubao-seed.famly: unknown key "famly": did you mean "family"?',
        "9:20: models.doubao-seed.price.input: 010 is read as 8 by YAML 1.1 and as 10 by YAML 1.2: "
        'write 8, 10 or, for text, "010" in quotes',
        "9:33: models.doubao-seed.price.output: found true, expected a number",
        '11:20: models.doubao-seed.routes[0].provider: found "rely", expected a name out of providers: did you mean "relay"?',
        "11:44: models.doubao-seed.routes[0].weight: found 0, expected at least 1: "
        'write "enabled: false" to switch a route off',
        "12:34: models.doubao-seed.routes[1].model: 12:30:45 is read as 45045 by YAML 1.1 and as text by YAML 1.2: "
        'write 45045 or, for text, "12:30:45" in quotes',
        "14:21: keys[0].key: found a key of 8 characters, expected at least 24",
        '14:40: keys[0].models[0]: found "doubao", expected a name out of models: did you mean "doubao-seed"?',
        '15:25: plugins[1]: no plugin is called "model_scop": did you mean "model_scope"?',
        '15:47: plugins[2].budget.when: unknown key "when": did you mean "when_short"?',
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["1:1: providers: required, but missing: Accounts at vendors."]),
        ("- a\n", ["1:1: found a list, expected a mapping with providers, models and others"]),
        ("port 8080\n", ['1:1: found "port 8080", expected a mapping with providers, models and others']),
        ("providers:\nmodels: {}\n", ["1:11: providers: found nothing, expected a mapping"]),
        ("providers: {a: 5}\nmodels: {}\n", ["1:16: providers.a: found 5, expected a mapping"]),
        ("providers: {a: {adaptor: ark}}\nmodels: {}\n", [
            "1:13: providers.a.adapter: required, but missing: The dialect the provider speaks.",
            '1:17: providers.a.adaptor: unknown key "adaptor": did you mean "adapter"?',
        ]),
    ],
)
def test_a_file_without_the_main_sections(text: str, expected: list[str], tmp_path: Path) -> None:
    assert problems_of(text, tmp_path)[: len(expected)] == expected


@pytest.mark.parametrize(
    ("plugins", "expected"),
    [
        ("", ["3:1: plugins: found nothing, expected a list of plugins; left out, the built-in ones run; []: none"]),
        ("{a: 1}", ["3:1: plugins: found a mapping, expected a list of plugins; left out, the built-in ones run; []: none"]),
        ("[5]", ['3:11: plugins[0]: found 5, expected "- name" or "- name: {option: value}"']),
        ("[{a: 1, b: 2}]", ['3:11: plugins[0]: found a mapping, expected "- name" or "- name: {option: value}"']),
        ("[routing, routing:]", ['3:20: plugins[1]: the plugin "routing" is listed twice: remove one']),
        (
            "[zzz]",
            [
                '3:11: plugins[0]: no plugin is called "zzz": expected one of access_log, budget, metering, metrics, '
                "model_scope, quota, rate_limit, routing, virtual_keys, watcher, or the path of a .py file"
            ],
        ),
        ("[./gone.py]", ["3:11: plugins[0]: the file ./gone.py does not exist"]),
        ("[routing: {a: 1}]", ['3:11: plugins[0].routing: the plugin "routing" has no options: remove them']),
        ("[access_log: json]", ['3:11: plugins[0].access_log: found "json", expected a mapping of options']),
        (
            "[access_log: {format: jsn}]",
            ['3:32: plugins[0].access_log.format: found "jsn", expected json or console: did you mean "json"?'],
        ),
        ("[quota]", ["3:11: plugins[0].fields: required, but missing"]),
        (
            "[quota: {fields: [a], groups: {x: true}, feilds: 1}]",
            [
                "3:44: plugins[0].quota.groups.x: found true, expected a number",
                '3:51: plugins[0].quota.feilds: unknown key "feilds": did you mean "fields"?',
            ],
        ),
    ],
)
def test_wrong_plugins(plugins: str, expected: list[str], tmp_path: Path) -> None:
    assert problems_of(f"{BASE}plugins: {plugins}\n", tmp_path) == expected


def test_plugins_with_and_without_options(tmp_path: Path) -> None:
    config = config_of(BASE + "plugins: [routing, access_log:, quota: {fields: [a]}, watcher: {any: 1}]\n", tmp_path)
    assert config.plugins == (
        PluginEntry(name="routing", options={}),
        PluginEntry(name="access_log", options=AccessLogOptions()),
        PluginEntry(name="quota", options=QuotaOptions(fields=("a",))),
        PluginEntry(name="watcher", options={"any": 1}),
    )


def test_an_empty_chain_is_a_chain(tmp_path: Path) -> None:
    assert config_of(BASE + "plugins: []\n", tmp_path).plugins == ()


def test_the_dotenv_beside_the_file_is_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORT=81\nHOST=file\n", encoding="utf-8")
    config = config_of(BASE + "server: {port: ${PORT}, host: ${HOST}}\n", tmp_path, {"HOST": "real"})
    assert (config.server.port, config.server.host) == (81, "real")


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    assert problems_of("\ufeff" + BASE + "prot: 1\n", tmp_path) == [
        '3:1: prot: unknown key "prot", expected one of admin, budget, defaults, exchange_rates, health, keys, metrics, '
        "models, plugins, providers, redis, server, store, wallets"
    ]


def test_files_that_can_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusal(path: Path) -> str:
        with pytest.raises(ConfigError) as caught:
            parse(path, {})
        return str(caught.value)

    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"a: 1\nb: caf\xe9\n")
    monkeypatch.chdir(tmp_path)
    assert refusal(Path("gateway.yaml")) == (
        "gateway.yaml: there is no such file: write it with `paifang init`, or name another with --config"
    )
    assert refusal(tmp_path) == f"{tmp_path}: this is a folder: name the file in it"
    assert refusal(latin) == f"{latin}:2:7: this is not UTF-8: save the file in that encoding"


def test_a_dotenv_that_can_not_be_read_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A='1\n", encoding="utf-8")
    found = problems_of(BASE + "bogus: 1\n", tmp_path)
    assert [problem.partition(": ")[0] for problem in found] == ["3:1", f"{tmp_path}/.env:1"]


def test_sections_are_made_for_the_listed_plugins(tmp_path: Path) -> None:
    asked: list[object] = []
    (tmp_path / "gateway.yaml").write_text(BASE + "plugins: [routing, ./my_policy.py: {a: 1}]\n", encoding="utf-8")

    def sections_for(names: object, folder: Path) -> FakeSections:
        asked.append((names, folder))
        return FakeSections()

    load(tmp_path / "gateway.yaml", {}, sections_for)
    assert asked == [(["routing", "./my_policy.py"], tmp_path)]


def test_an_installation_that_can_not_be_loaded_is_told_with_the_other_problems(tmp_path: Path) -> None:
    def sections_for(names: object, folder: Path) -> FakeSections:
        raise PluginLoadError("two packages offer x")

    file = tmp_path / "gateway.yaml"
    file.write_text("a: 010\nplugins: [x]\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(file, {}, sections_for)
    assert [problem.message for problem in caught.value.problems] == [
        '010 is read as 8 by YAML 1.1 and as 10 by YAML 1.2: write 8, 10 or, for text, "010" in quotes',
        "two packages offer x",
    ]
