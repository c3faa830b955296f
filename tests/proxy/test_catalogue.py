"""The data that comes with Paifang, held to its own rules."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from pydantic import ValidationError

from proxy.catalogue import CatalogueModel, CataloguePrice, catalogue
from proxy.configsections import ExchangeRateConfig
from proxy.pricing import compile_price

KNOWN = catalogue()
WRITTEN = dt.date(2026, 11, 22)
"""No figure is of a later day than the file."""
PRICED = {name: model.price for name, model in KNOWN.models.items() if model.price is not None}
TIERED = {name: price for name, price in PRICED.items() if price.tiers}
FAMILIES = """
DeepSeek    128  0.50  1.50  5  5  reasoning, coding, research
Kimi        256  0.60  2.50  4  4  long context, agents, research
Qwen        128  1.20  4.80  4  4  multilingual apps, structured output
GLM         128  0.80  3.20  4  4  enterprise tools, business workflows
Doubao      128  0.70  2.80  3  3  consumer chat, content workflows
ERNIE       128  0.90  3.60  4  3  Chinese knowledge, enterprise search
Hunyuan     128  0.80  3.20  4  4  enterprise assistants, Tencent Cloud routes
MiniMax     128  0.30  1.20  4  5  coding agents, developer automation
StepFun     128  0.50  2.00  4  4  coding tools, planning agents
Baichuan    32   1.50  1.50  4  3  domain QA, bilingual writing
Spark       64   0.70  2.80  4  4  Chinese reasoning, education
SenseNova   128  0.80  3.20  4  3  multimodal enterprise workflows
Pangu       32   1.00  4.00  4  3  industry NLP, private routes
360 Zhinao  32   0.40  1.00  4  3  security assistants, Chinese QA
Yi          32   0.90  0.90  4  4  bilingual writing, structured output
InternLM    200  0.20  0.80  4  5  self-hosted evals, research
LongCat     128  0.40  1.60  4  4  open model evals, multimodal prototypes
"""


def test_the_families_are_compared_by_these_figures() -> None:
    lines = [
        (row.name, row.context_k, row.input_usd, row.output_usd, row.reasoning, row.coding, row.best_for)
        for row in KNOWN.families.values()
    ]
    told = [line.split("  ", 1) for line in FAMILIES.strip().splitlines()]
    assert lines == [
        (name, int(k), Decimal(of_input), Decimal(of_output), int(reasoning), int(coding), best_for)
        for name, rest in told
        for k, of_input, of_output, reasoning, coding, best_for in [rest.split(maxsplit=5)]
    ]


def test_every_family_has_models_and_every_model_a_family() -> None:
    assert {model.family for model in KNOWN.models.values()} == set(KNOWN.families)


@pytest.mark.parametrize("name", PRICED)
def test_a_price_is_whole_and_has_a_past_day_and_a_source(name: str) -> None:
    price = PRICED[name]
    assert dt.date(2026, 7, 1) < price.date <= WRITTEN
    assert len(price.source) > 5
    assert bool(price.tiers) != (price.input is not None and price.output is not None)
    rates = price.tiers or (price,)
    assert all((rate.cached_input or Decimal(0)) <= (rate.input or Decimal(0)) <= (rate.output or Decimal(0)) for rate in rates)


@pytest.mark.parametrize("name", TIERED)
def test_tiers_are_strictly_longer_and_nowhere_cheaper_and_the_last_is_open(name: str) -> None:
    tiers = TIERED[name].tiers
    far = 10**12
    lengths = [(tier.up_to_input_tokens or far, tier.up_to_output_tokens or far) for tier in tiers]
    assert lengths == sorted(set(lengths))
    assert lengths[-1] == (far, far)
    assert [tier.output for tier in tiers] == sorted({tier.output for tier in tiers})
    assert [tier.input for tier in tiers] == sorted(tier.input for tier in tiers)


@pytest.mark.parametrize("name", PRICED)
def test_a_price_compiles(name: str) -> None:
    rate = ExchangeRateConfig(usd=Decimal("0.1406"), date=WRITTEN)
    assert compile_price(PRICED[name], {"CNY": rate}).currency in ("USD", "CNY")


@pytest.mark.parametrize("name", KNOWN.models)
def test_an_end_has_a_day_and_limits_fit_into_each_other(name: str) -> None:
    model = KNOWN.models[name]
    assert (model.ends is None) or model.status in ("retiring", "retired")
    assert model.status != "retired" or (model.ends is not None and model.ends <= WRITTEN and model.price is None)
    assert (model.max_output_tokens or 0) <= (model.context_tokens or 10**12)
    assert model.modalities[0] == "text"
    assert len(set(model.modalities)) == len(model.modalities)


@pytest.mark.parametrize("lacking", ["date", "source"])
def test_a_price_without_day_or_source_is_refused(lacking: str) -> None:
    price = {"input": 1, "output": 2, "date": WRITTEN, "source": "a price list"}
    CataloguePrice.model_validate(price)
    with pytest.raises(ValidationError, match=lacking):
        CataloguePrice.model_validate({key: value for key, value in price.items() if key != lacking})


def test_an_unknown_fact_is_refused() -> None:
    with pytest.raises(ValidationError, match="contxt"):
        CatalogueModel.model_validate({"family": "f", "status": "live", "contxt": 5})
