"""The table of scenarios, on every adapter. A new adapter is a line of `DOORS`."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

import adapters
from proxy import Adapter
from proxy.testkit import FAILURES, SCENARIOS, AdapterConformance, Door, Failure, Scenario, converse
from tests.adapters.doors import DOORS

SAID = [(door, told) for door in DOORS for told in (*SCENARIOS, *FAILURES) if told.name in door.answers]


class TestConformance(AdapterConformance):
    doors = DOORS


def test_every_adapter_is_in_the_table() -> None:
    registered: list[Adapter] = []
    adapters.register_adapters(registered.append)
    assert {adapter.name for adapter in registered} == {door.adapter.name for door in DOORS}


@given(st.sampled_from(SAID), st.lists(st.integers(1, 80), min_size=1))
def test_chunks_of_any_sizes_come_to_the_same(said: tuple[Door, Scenario | Failure], sizes: Sequence[int]) -> None:
    door, told = said

    def cut(body: bytes) -> Sequence[bytes]:
        chunks = []
        for size in sizes:
            chunks.append(body[:size])
            body = body[size:]
        return [*chunks, body]

    whole, pieces = (converse(door.request(**told.fields), door.replies(told.name), *how) for how in ((), (cut,)))
    assert pieces.told() == whole.told()
