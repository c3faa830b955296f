"""The catalogue: what is known of the vendors' models, and the families compared. The figures are in catalogue.toml."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Annotated, Literal

from proxy.config import PriceConfig
from proxy.configsections import Section
from proxy.configtypes import Amount, Count, Date, Name, whole

Modality = Literal["text", "image", "audio", "video"]
Status = Literal["live", "preview", "retiring", "retired", "unverified"]
Score = Annotated[int, *whole(1, 5)]


class CataloguePrice(PriceConfig):
    """A vendor's price that has a day and a source."""

    date: Date
    source: Name


class CatalogueModel(Section):
    """A model as its vendor sells it. None: the source does not say."""

    family: Name
    context_tokens: Count | None = None
    max_output_tokens: Count | None = None
    modalities: tuple[Modality, ...] = ("text",)
    """What it takes; answers are text."""
    status: Status
    """unverified: it was listed once, and whether it still answers is not known."""
    ends: Date | None = None
    """The day it ends, or was to end, where its vendor named one."""
    price: CataloguePrice | None = None
    note: Name | None = None


class FamilyRow(Section):
    """A family in figures to choose by; nothing is debited by them."""

    name: Name
    context_k: Count
    """Thousands of tokens."""
    input_usd: Amount
    output_usd: Amount
    """Per 1M tokens."""
    reasoning: Score
    coding: Score
    best_for: Name


class Catalogue(Section):
    models: dict[Name, CatalogueModel]
    """By the id that the vendor's own endpoint takes."""
    families: dict[Name, FamilyRow]
    """By the name that `family:` has in gateway.yaml."""


@cache
def catalogue() -> Catalogue:
    """The one that comes with Paifang."""
    text = files("proxy").joinpath("catalogue.toml").read_text("utf-8")
    return Catalogue.model_validate(tomllib.loads(text, parse_float=Decimal))
