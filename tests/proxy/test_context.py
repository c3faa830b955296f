"""What hooks see is frozen; the pipeline alone writes; a target is lowered once for each cap."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from proxy.context import MOST_CAPS, advance
from tests.plugins.targets import context, target


def test_a_context_is_written_by_advance_alone() -> None:
    ctx = context()
    with pytest.raises(FrozenInstanceError):
        ctx.turn = 3  # type: ignore[misc]
    advance(ctx, "turn", 3)
    assert ctx.turn == 3


def test_a_target_is_lowered_once_for_each_cap() -> None:
    whole = target("a")
    lowered = whole.capped(7)
    assert (lowered.output_cap, lowered.health) == (7, whole.health)
    assert whole.capped(7) is lowered
    assert whole.capped(whole.output_cap) is whole


def test_a_door_that_takes_no_cap_is_left_alone() -> None:
    whole = target("a", caps_output=False)
    assert whole.capped(7) is whole


def test_not_every_cap_is_kept() -> None:
    whole = target("a")
    first = whole.capped(1)
    for cap in range(2, MOST_CAPS + 3):
        whole.capped(cap)
    assert whole.capped(1) is not first
