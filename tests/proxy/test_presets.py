"""`preset:` in gateway.yaml: what it fills in, what goes before it, what is said of a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.boot import compile_loaded, load
from proxy.config import Config
from proxy.context import Principal
from proxy.endpoints.models import one
from proxy.money import Price
from proxy.pricing import compile_price
from tests.fakes.sections import config_of, problems_of
from tests.proxy.gateways import write

PROVIDERS = "providers: {p: {adapter: simulator}, q: {adapter: simulator}}\n"
RATES = "exchange_rates: {CNY: {usd: 0.14, date: 2026-11-20}}\n"


def model(inside: str) -> str:
    return f"{PROVIDERS}models:\n  m: {{{inside}}}\n"


def price_of(config: Config) -> Price:
    price = config.models["m"].price
    assert price is not None
    return compile_price(price, config.exchange_rates)


def test_a_preset_says_all_but_the_provider(tmp_path: Path) -> None:
    config = config_of(model("preset: deepseek-v4-pro, routes: [{provider: p}, {provider: q, model: ds-pro}]"), tmp_path)
    m = config.models["m"]
    assert (m.family, m.context_tokens, m.max_output_tokens) == ("deepseek", 1_048_576, 393_216)
    assert [route.model for route in m.routes] == ["deepseek-v4-pro", "ds-pro"]
    assert price_of(config).per_million() == {"currency": "USD", "input": "1.32", "cached_input": "0.044", "output": "3.96"}


def test_what_the_file_says_goes_first(tmp_path: Path) -> None:
    inside = "preset: deepseek-v4-pro, family: ds, context_tokens: 1000, max_output_tokens: 100, price: {input: 2, output: 4}"
    config = config_of(model(f"{inside}, routes: [{{provider: p}}]"), tmp_path)
    m = config.models["m"]
    assert (m.family, m.context_tokens, m.max_output_tokens) == ("ds", 1000, 100)
    assert price_of(config).per_million() == {"currency": "USD", "input": "2.00", "output": "4.00"}


def test_what_is_free_here_has_no_price(tmp_path: Path) -> None:
    text = model("preset: deepseek-v4-pro, free: true, routes: [{provider: p}]")
    assert config_of(text, tmp_path).models["m"].price is None


def test_a_price_in_another_currency_uses_the_rates_of_the_file(tmp_path: Path) -> None:
    text = model("preset: doubao-seed-2-0-mini-260428, routes: [{provider: p}]")
    assert price_of(config_of(text + RATES, tmp_path)).per_million()["exchange_rate"] == {"usd": "0.14", "date": "2026-11-20"}
    assert problems_of(text, tmp_path) == [
        '3:15: models.m.preset: the price of the preset "doubao-seed-2-0-mini-260428" is in CNY: add "exchange_rates: '
        '{CNY: {usd: …, date: …}}", or a price in USD to this model'
    ]
    assert problems_of(text.replace("routes", "price: {input: 1, output: 2}, routes"), tmp_path) == []


@pytest.mark.parametrize(
    ("inside", "problem"),
    [
        (
            "preset: deepseek-chatt",
            '3:15: models.m.preset: found "deepseek-chatt", expected a model of the catalogue: did you mean "deepseek-chat"?',
        ),
        (
            "preset: '0'",
            '3:15: models.m.preset: found "0", expected a model of the catalogue: `paifang models --catalogue` lists them',
        ),
        ("preset: 5", '3:15: models.m.preset: found 5, expected text: write "5" in quotes'),
        ("preset: [a]", "3:15: models.m.preset: found a list, expected text"),
        (
            "preset: moonshot-v1-8k",
            '3:3: models.m: the preset "moonshot-v1-8k" has no price: add "price: {input: …, output: …}" in USD per 1M tokens, '
            'or "free: true"',
        ),
    ],
)
def test_a_wrong_preset_is_one_problem(inside: str, problem: str, tmp_path: Path) -> None:
    assert problems_of(model(f"{inside}, routes: [{{provider: p}}]"), tmp_path) == [problem]


def test_without_a_preset_family_and_upstream_model_are_required(tmp_path: Path) -> None:
    problems = problems_of(model("free: true, preset: , routes: [{provider: p}]"), tmp_path)
    assert [problem.split(": ")[1:3] for problem in problems] == [
        ["models.m.family", "required, but missing"],
        ["models.m.routes[0].model", "required, but missing"],
    ]


@pytest.mark.parametrize("models", ["[]", "{m: 5}", "{m: {preset: glm-5, routes: 5}}", "{m: {preset: glm-5, routes: [5]}}"])
def test_other_shapes_are_complained_of_as_ever(models: str, tmp_path: Path) -> None:
    (problem,) = problems_of(f"{PROVIDERS}models: {models}\n", tmp_path)
    assert "expected a " in problem


def test_clients_see_what_the_preset_says(tmp_path: Path) -> None:
    snapshot = compile_loaded(load(write(tmp_path, model("preset: glm-5, routes: [{provider: p}]")), {}))
    assert one(snapshot, Principal(id="k"), "m") == {
        "id": "m", "object": "model", "created": 0, "owned_by": "glm", "family": "glm", "context_tokens": None,
        "max_output_tokens": 16_384,
        "pricing": {"currency": "USD", "input": "1.00", "cached_input": "0.20", "output": "3.20"},
    }  # fmt: skip
