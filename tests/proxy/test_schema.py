import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from proxy.registry import Registry
from proxy.schema import json_schema, schema_text
from proxy.yamltext import read
from tests.fakes.sections import FakeSections
from tests.proxy.test_configfile import BASE, ILLUSTRATION

ROOT = Path(__file__).parents[2]
SCHEMA = json_schema(FakeSections())


def complaints(text: str, schema: dict[str, Any] = SCHEMA) -> list[str]:
    """JSON paths of what the schema refuses in the file as it is written, references not expanded."""
    validator = jsonschema.Draft202012Validator(schema)
    return sorted({error.json_path for error in validator.iter_errors(read(text, "gateway.yaml").data)})


def test_the_shipped_schema_is_current() -> None:
    assert (ROOT / "gateway.schema.json").read_text(encoding="utf-8") == schema_text(Registry(None, ROOT))


def test_the_shipped_file_fits_the_shipped_schema() -> None:
    schema = json.loads((ROOT / "gateway.schema.json").read_text(encoding="utf-8"))
    assert complaints((ROOT / "gateway.yaml").read_text(encoding="utf-8"), schema) == []


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert schema_text(FakeSections()).endswith("}\n")


def test_the_illustration_of_the_contract_fits() -> None:
    assert complaints(ILLUSTRATION) == []


@pytest.mark.parametrize(
    ("line", "paths"),
    [
        ("server: {port: ${PORT:-80}, drain_timeout_s: ${S}}", []),
        ("store: {durability: ${HOW}}", []),
        ("exchange_rates: {CNY: {usd: ${RATE}, date: ${DAY}}}", []),
        ("server: {port: '80'}", ["$.server.port"]),
        ("server: {port: 70000}", ["$.server.port"]),
        ("server: {prot: 1}", ["$.server"]),
        ("sever: {}", ["$"]),
        ("store: {durability: powr}", ["$.store.durability"]),
        ("budget: {daily_usd: -1}", ["$.budget.daily_usd"]),
        ("keys: [{name: a}]", ["$.keys[0]"]),
        ("plugins: [routing, access_log:, budget: {when_short: reject}, ./mine.py, /x/y.py: {a: 1}]", []),
        ("plugins: [budget: {when_short: ${HOW}}]", []),
        ("plugins: [roting]", ["$.plugins[0]"]),
        ("plugins: [routing: {a: 1}]", ["$.plugins[0]"]),
        ("plugins: [budget: {when_shot: clamp}]", ["$.plugins[0]"]),
        ("plugins: [routing, routing]", ["$.plugins"]),
    ],
)
def test_other_sections(line: str, paths: list[str]) -> None:
    assert complaints(BASE + line) == paths


@pytest.mark.parametrize(
    ("model", "paths"),
    [
        ("preset: deepseek-chat, routes: [{provider: p}]", []),
        ("preset: ${WHICH}, routes: [{provider: p}]", []),
        ("family: f, routes: [{provider: p, model: x}]", []),
        ("preset: deepseek-chatt, routes: [{provider: p}]", ["$.models.m.preset"]),
        ("routes: [{provider: p, model: x}]", ["$.models.m"]),
    ],
)
def test_a_preset_stands_in_for_what_is_required(model: str, paths: list[str]) -> None:
    assert complaints(f"providers: {{p: {{adapter: simulator}}}}\nmodels: {{m: {{{model}}}}}\n") == paths


@pytest.mark.parametrize(
    ("provider", "paths"),
    [
        ("adapter: simulator, delay_ms: 5, sizes: [1]", []),
        ("adapter: simulator, delay_ms: ${MS}", []),
        ("adapter: ark, region: cn-beijing, access_key: ${A}, api_key: x, timeouts: {idle_s: 1}", []),
        ("adapter: ${WHICH}, anything: 1", []),
        ("adapter: simulator, region: cn-beijing", ["$.providers.p"]),
        ("adapter: simulator, delay_ms: -1", ["$.providers.p.delay_ms"]),
        ("adapter: arc", ["$.providers.p.adapter"]),
        ("api_key: x", ["$.providers.p"]),
    ],
)
def test_a_providers_keys_follow_its_adapter(provider: str, paths: list[str]) -> None:
    assert complaints(BASE.replace("adapter: simulator", provider)) == paths


def test_every_key_is_described() -> None:
    """Except those whose section has the same words, and those of plugins and adapters."""
    models = {name: schema for name, schema in SCHEMA["$defs"].items() if name.endswith("Config")}
    sections = [(name, key, member) for name, schema in models.items() for key, member in schema["properties"].items()]
    assert [(name, key) for name, key, member in sections if "description" not in member and "$ref" not in member] == []
