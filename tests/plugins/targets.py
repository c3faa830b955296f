"""Targets and contexts for tests of plugins, made of real values."""

from dataclasses import replace
from typing import Any

from multidict import CIMultiDict

from proxy.adapter import NoOptions
from proxy.context import RequestContext, Target
from proxy.health import RouteHealth
from proxy.money import FREE

TARGET = Target(
    route="a",
    label="a",
    model="doubao-seed",
    family="doubao",
    provider="ark",
    adapter="openai_chat",
    upstream_model="doubao-seed-2-0-lite-260428",
    price=FREE,
    cost=None,
    max_output_tokens=100,
    output_cap=100,
    options=NoOptions(),
)


def target(route: str, **changes: Any) -> Target:
    return replace(TARGET, **{"route": route, "label": route, "health": RouteHealth(route), **changes})


def context(**members: Any) -> RequestContext:
    return RequestContext(**{"request_id": "req_1", "snapshot": None, "received_ns": 0, "headers": CIMultiDict(), **members})
