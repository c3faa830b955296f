"""The table of scenarios, on every adapter. A new adapter is a line of `DOORS`."""

from __future__ import annotations

import adapters
from proxy import Adapter
from proxy.testkit import AdapterConformance
from tests.adapters.doors import DOORS


class TestConformance(AdapterConformance):
    doors = DOORS


def test_every_adapter_is_in_the_table() -> None:
    registered: list[Adapter] = []
    adapters.register_adapters(registered.append)
    assert {adapter.name for adapter in registered} == {door.adapter.name for door in DOORS}
