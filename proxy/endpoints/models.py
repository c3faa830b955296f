"""GET /v1/models and /v1/models/{id}: what a key may use, in OpenAI's shape and a little more. Pure."""

from __future__ import annotations

from typing import Any

from proxy.context import Principal
from proxy.errors import ModelNotFound
from proxy.pricelist import pricing
from proxy.snapshot import ModelEntry, Snapshot


def listing(snapshot: Snapshot, principal: Principal) -> dict[str, Any]:
    """{"object": "list", "data": [model, …]}: every model the key may use, under its name and under its aliases."""
    data = [
        _entry(name, snapshot.models[target])
        for name, target in snapshot.aliases.items()
        if principal.may_use(target, snapshot.models[target].family)
    ]
    return {"object": "list", "data": data}


def one(snapshot: Snapshot, principal: Principal, name: str) -> dict[str, Any]:
    """Raises: ModelNotFound, also for a model that the key may not use."""
    entry = snapshot.model(name)
    if not principal.may_use(entry.name, entry.family):
        raise ModelNotFound(f"The model {name[:128]!r} does not exist; GET /v1/models lists yours.", param="model")
    return _entry(name, entry)


def _entry(name: str, entry: ModelEntry) -> dict[str, Any]:
    caps = {"max_output_tokens": entry.max_output_tokens} if entry.task == "chat" else {}
    return {
        "id": name,
        "object": "model",
        "created": 0,
        "owned_by": entry.family,
        "family": entry.family,
        "context_tokens": entry.context_tokens,
        **caps,
        "pricing": pricing(entry.price, entry.task),
    }
