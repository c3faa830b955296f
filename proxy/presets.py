"""`preset: NAME` under a model of gateway.yaml: what the catalogue says stands in for what the file leaves out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from proxy.catalogue import CatalogueModel, catalogue
from proxy.yamltext import SPOILT


def with_presets(data: Mapping[str, Any]) -> dict[str, Any]:
    """The file's data, of any shape, with every preset filled in. A value in the file goes before the preset's.

    What an unknown preset would have said is SPOILT, so that nobody is told that it is missing as well.
    """
    models = data.get("models")
    if not isinstance(models, dict):
        return dict(data)
    return {**data, "models": {name: _filled(model) for name, model in models.items()}}


def is_free(value: Any) -> bool:
    """Whether `free` of a model has this value and says so; text comes out of the environment."""
    return value is True or value == "true"


def _filled(model: Any) -> Any:
    if not isinstance(model, dict) or model.get("preset") is None:
        return model
    preset = model["preset"]
    known = catalogue().models.get(preset) if isinstance(preset, str) else None
    said = {"family": SPOILT, "price": SPOILT} if known is None else _said(known)
    if is_free(model.get("free")):
        said.pop("price", None)
    filled = {**said, **{key: value for key, value in model.items() if value is not None}}
    if isinstance(model.get("routes"), list):
        filled["routes"] = [_routed(route, SPOILT if known is None else preset) for route in model["routes"]]
    return filled


def _said(known: CatalogueModel) -> dict[str, Any]:
    """What the catalogue has for the keys of gateway.yaml; the price as the model it is already."""
    facts = {
        "family": known.family,
        "context_tokens": known.context_tokens,
        "max_output_tokens": known.max_output_tokens,
        "price": known.price,
    }
    return {key: value for key, value in facts.items() if value is not None}


def _routed(route: Any, upstream_model: Any) -> Any:
    if not isinstance(route, dict) or route.get("model") is not None:
        return route
    return {**route, "model": upstream_model}
