"""The test kit for authors of adapters and plugins: `from proxy.testkit import …`. See docs/plugins.md, "Tests".

It needs nothing but Paifang itself; pytest only where pytest runs it.
"""

from proxy.testkit.conformance import AdapterConformance, Check, checks_of
from proxy.testkit.door import LIMITS, Door
from proxy.testkit.fields import FIELDS, FieldCase, field_cases
from proxy.testkit.gateway import KEY, Answered, RunningGateway, running
from proxy.testkit.hearing import Heard, bytewise, converse, split_at, whole
from proxy.testkit.provider import provider_of
from proxy.testkit.scenarios import (
    CALLS,
    FAILURES,
    REASONING,
    SCENARIOS,
    TEXT,
    TOOL,
    VENDORS_WORDS,
    Call,
    Failure,
    Scenario,
)
from proxy.testkit.wire import Reply, json_reply, stream_reply

__all__ = [
    "CALLS",
    "FAILURES",
    "FIELDS",
    "KEY",
    "LIMITS",
    "REASONING",
    "SCENARIOS",
    "TEXT",
    "TOOL",
    "VENDORS_WORDS",
    "AdapterConformance",
    "Answered",
    "Call",
    "Check",
    "Door",
    "Failure",
    "FieldCase",
    "Heard",
    "Reply",
    "RunningGateway",
    "Scenario",
    "bytewise",
    "checks_of",
    "converse",
    "field_cases",
    "json_reply",
    "provider_of",
    "running",
    "split_at",
    "stream_reply",
    "whole",
]
