"""GET /admin/v1/openapi.json: the admin API described, by the same models that read what is sent to it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from proxy.adminevents import FILTERS as EVENT_FILTERS
from proxy.explainform import ExplainForm
from proxy.keyforms import KeyChanges, KeyForm
from proxy.ledgerquery import ReconcileForm
from proxy.spanquery import SPAN
from proxy.storage.reports import GROUPS
from proxy.storage.requestlog import FILTERS
from proxy.usagequery import SUM_FILTERS
from proxy.walletforms import MoveForm, WalletForm

PREFIX = "/admin/v1/"
PARAMETERS: Mapping[str, str] = {
    "since": "From this day or time on, such as 2026-11-20 or 2026-11-20T18:00:00.",
    "until": "Until before this day or time.",
    "day": "This day alone, such as 2026-11-20.",
    "month": "This month alone, such as 2026-11.",
    "timezone": "Whose days they are, such as Asia/Singapore; left out: UTC.",
    "by": f"What to add up by, with commas between: {', '.join(GROUPS)}. Left out: key,model.",
    "limit": "How many at most.",
    "after": "The `next` of the page before.",
    "account": "One account, such as wallet:team-a.",
    "kind": "One kind of entry, such as charge or topup.",
    "errors": "true: only requests that were refused or failed.",
}


@dataclass(frozen=True, slots=True)
class Operation:
    """What one method on one path does."""

    summary: str
    answer: str
    """What comes back, in words."""
    form: type[BaseModel] | None = None
    """Reads the body; None: there is none."""
    query: tuple[str, ...] = ()
    media_type: str = "application/json"


OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("GET", "status"): Operation(
        "Which process serves",
        "`pid`, `version`, `address`, `started_at`, `problem`: why it takes no new requests, or null; `config`: the path of "
        "its gateway.yaml, and `config_problem`: why it refused that file as it is now and goes on with an earlier one, "
        "or null.",
    ),
    ("GET", "keys"): Operation("List the keys", "`keys`: those of gateway.yaml and those of the store, without their secrets."),
    ("POST", "keys"): Operation(
        "Make a key",
        "The key as in the list, with `key`, which nobody can tell again, and `example`: a line to try it.",
        KeyForm,
    ),
    ("GET", "keys/{name}"): Operation("Show a key", "What it may, its `state`, and `left`: what its limits have left now."),
    ("PATCH", "keys/{name}"): Operation("Change a key, from its next request on", "The key as it is now.", KeyChanges),
    ("DELETE", "keys/{name}"): Operation("End a key for good, from its next request on", "The key, revoked."),
    ("GET", "models"): Operation("List the models", "`models`: each with its aliases, limits, price, routes and fallbacks."),
    ("GET", "routes"): Operation(
        "List the routes",
        "`routes`: each with its `state` and, where it does not serve, the `reason`. `running`: whether a gateway serves.",
    ),
    ("GET", "plugins"): Operation(
        "List the plugins",
        "`plugins`: those of the chain in their order, then those that are off. `switched_off`: hooks that took too long too "
        "often, and are called no more until the next reload.",
    ),
    ("GET", "usage"): Operation(
        "Add up usage", "`rows`: a group each, with counts and exact amounts.", query=("by", *SPAN, *SUM_FILTERS)
    ),
    ("GET", "usage/requests"): Operation(
        "List requests, the newest first",
        "`requests`, and `next`: what `after` continues with, or null.",
        query=(*SPAN, *FILTERS, "limit", "after"),
    ),
    ("GET", "wallets"): Operation(
        "List the wallets",
        "`wallets`: each with its balance, what is held and what is available; `funded_usd` is what was credited and adjusted.",
    ),
    ("POST", "wallets"): Operation("Make a wallet", "The wallet.", WalletForm),
    ("GET", "wallets/{name}"): Operation("Show a wallet", "The wallet, its `keys` and its latest `entries`."),
    ("POST", "wallets/{name}/credits"): Operation(
        "Credit a wallet", "The operation's `id` and the new `balance_usd`.", MoveForm
    ),
    ("POST", "wallets/{name}/adjustments"): Operation(
        "Correct a wallet, up or down", "The operation's `id` and the new `balance_usd`.", MoveForm
    ),
    ("GET", "ledger/entries"): Operation(
        "List entries of the ledger, the oldest first",
        "`entries`, and `next`: what `after` continues with, or null.",
        query=(*SPAN, "account", "kind", "limit", "after"),
    ),
    ("GET", "ledger/verify"): Operation(
        "Compute the ledger anew", "`problems`: each disagreement in words; empty if there is none."
    ),
    ("GET", "ledger/exposure"): Operation(
        "Add up what providers may bill although no caller pays for it",
        "`exposure`: what is open, by day, provider and model, and `amount_usd` of all.",
        query=(*SPAN, "provider"),
    ),
    ("POST", "ledger/exposure/reconciliations"): Operation(
        "Close exposure by what the provider's bill has of it",
        "`requests`, `billed_usd`, and `returned_usd`: what was not billed.",
        ReconcileForm,
    ),
    ("POST", "explain"): Operation(
        "Say what would happen to a request, without calling anyone",
        "The `steps` of the chain, what is `left` of each limit, the `refusal`, the `routes` in their order, `dropped` fields, "
        "and whether a gateway is `running`.",
        ExplainForm,
    ),
    ("POST", "reload"): Operation(
        "Take gateway.yaml as it is now, whole or not at all", "`status`: ok. 400 `invalid_config` says what is wrong."
    ),
    ("GET", "diagnosis"): Operation(
        "Look at the store, file limits, clock and plugins", "`findings`: what was found, and what to do about it."
    ),
    ("POST", "probes"): Operation(
        "Call each provider once with the cheapest request; costs a few tokens",
        "`probes`: what came of each. A credential and a route that answer are `refused` or `open` no longer, in all workers.",
    ),
    ("GET", "events"): Operation(
        "Follow live requests",
        "Server-sent events: `request` for each that is over, and `lost` with their number where this client was too slow.",
        query=EVENT_FILTERS,
        media_type="text/event-stream",
    ),
    ("POST", "handover"): Operation(
        "Hand the listening sockets over to a process that takes this one's place; on the control socket alone",
        "`status`: ok.",
    ),
    ("GET", "openapi.json"): Operation("This description", "An OpenAPI 3.1 document."),
}
"""{(method, path under /admin/v1/): what it does}."""


def meaning(parameter: str) -> str:
    """What a parameter of a query means."""
    return PARAMETERS.get(parameter, f"Only this {parameter}, exactly.")


def document(version: str) -> dict[str, Any]:
    """The OpenAPI document of this version."""
    forms = {operation.form for operation in OPERATIONS.values() if operation.form is not None}
    schemas = models_json_schema(
        [(form, "validation") for form in sorted(forms, key=lambda form: form.__name__)],
        ref_template="#/components/schemas/{model}",
    )[1]["$defs"]
    paths: dict[str, dict[str, Any]] = {}
    for (method, path), operation in OPERATIONS.items():
        paths.setdefault(PREFIX + path, {})[method.lower()] = _operation(method, path, operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Paifang's admin API", "version": version, "license": {"name": "Apache-2.0"}},
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": {**schemas, "Error": ERROR},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "`admin.token` of gateway.yaml."}},
        },
    }


def _operation(method: str, path: str, operation: Operation) -> dict[str, Any]:
    parameters = [_parameter("path", name, "Its name.") for name in re.findall(r"{(\w+)}", path)]
    parameters += [_parameter("query", name, meaning(name)) for name in operation.query]
    described: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "_", f"{method.lower()}_{path}").strip("_"),
        "summary": operation.summary,
        "parameters": parameters,
        "responses": {
            "200": {"description": operation.answer, "content": {operation.media_type: {"schema": _answer(operation)}}},
            "default": {
                "description": "Refused, in the one shape of every error.",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
            },
        },
    }
    if operation.form is not None:
        reference = {"$ref": f"#/components/schemas/{operation.form.__name__}"}
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": reference}}}
    return described


def _answer(operation: Operation) -> dict[str, Any]:
    return {"type": "object" if operation.media_type == "application/json" else "string"}


def _parameter(place: str, name: str, description: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": place,
        "required": place == "path",
        "description": description,
        "schema": {"type": "string"},
    }


ERROR: Mapping[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": "string"},
            },
        }
    },
}
