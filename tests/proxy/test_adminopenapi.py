"""/admin/v1/openapi.json: every route of the admin API, as it really is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from proxy.admin import AdminEndpoints
from proxy.adminopenapi import OPERATIONS, PREFIX, document
from proxy.control import AdminRefusal
from tests.proxy.gateways import SIMULATED, WITH_STATIC_KEY, opened


async def test_every_route_is_described_and_nothing_else(tmp_path: Path) -> None:
    async with opened(tmp_path, SIMULATED) as (gateway, caller):
        served = {(route.method, route.path) for route in AdminEndpoints(gateway).routes(None)}
        described: Any = await caller.call("GET", "openapi.json")
    assert {(method, PREFIX + path) for method, path in OPERATIONS} == served
    assert {(method.upper(), path) for path, methods in described["paths"].items() for method in methods} == served
    assert described["info"]["version"] == gateway.app.version


def test_it_holds_together() -> None:
    whole = json.loads(json.dumps(document("1.0")))
    schemas = whole["components"]["schemas"]
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    references = set(re.findall(r'"\$ref": "#/components/schemas/(\w+)"', json.dumps(whole)))
    assert references and references <= schemas.keys()
    names = [operation["operationId"] for methods in whole["paths"].values() for operation in methods.values()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("wallets/team/credits", {"amount_usd": "5.00", "reason": "test"}),
        ("wallets/team/credits", {"amount_usd": 5, "reason": "test"}),
        ("wallets/team/credits", {"amount_usd": "5.00"}),
        ("keys", {"name": "a", "budget": {"daily_usd": "1.50", "families": {"doubao": {"monthly_usd": 3}}}}),
        ("keys", {"name": "b", "budget": {"daily_usd": True}}),
        ("keys", {"name": "c", "rate_limit": {"concurrent": 0}}),
        ("explain", {"model": "seed", "typo": 1}),
    ],
)
async def test_a_form_is_taken_if_it_fits_its_schema(tmp_path: Path, path: str, form: dict[str, Any]) -> None:
    described = document("1.0")
    name = next(
        operation.form.__name__
        for (method, template), operation in OPERATIONS.items()
        if operation.form and method == "POST" and re.fullmatch(re.sub(r"{\w+}", r"\\w+", template), path)
    )
    schema = {"$ref": f"#/components/schemas/{name}", "components": described["components"]}
    fits = Draft202012Validator(schema).is_valid(form)
    async with opened(tmp_path, WITH_STATIC_KEY) as (_, caller):
        try:
            await caller.call("POST", path, form)
        except AdminRefusal as refused:
            assert (refused.status, fits) == (400, False)
        else:
            assert fits


async def test_queries_take_the_parameters_that_are_described(tmp_path: Path) -> None:
    values = {"by": "key", "limit": "1", "after": "1-a", "errors": "true", "since": "2026-01-01", "until": "2026-02-01",
              "timezone": "UTC", "key": "ci", "wallet": "team", "model": "seed", "family": "doubao", "route": "real",
              "provider": "relay", "account": "operator", "kind": "charge"}  # fmt: skip
    async with opened(tmp_path, WITH_STATIC_KEY) as (_, caller):
        for (method, path), operation in OPERATIONS.items():
            if operation.query and operation.media_type == "application/json":
                known = {name: values.get(name, "x") for name in operation.query if name not in ("day", "month")}
                known |= {"after": "1"} if path == "ledger/entries" else {}
                await caller.call(method, path, **known)
                with pytest.raises(AdminRefusal):
                    await caller.call(method, path, bogus="1")
