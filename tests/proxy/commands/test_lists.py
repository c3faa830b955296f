"""`paifang routes`: a standing as people read it."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.commands.lists import as_told


@pytest.mark.parametrize(
    ("route", "next_try"),
    [
        ({"state": "probing", "next_try": None}, "with its next request"),
        ({"state": "serving", "next_try": None}, None),
        ({"state": "open", "next_try": "2026-11-22T00:00:05.000Z"}, "2026-11-22T00:00:05.000Z"),
    ],
)
def test_when_a_route_is_tried_again(route: dict[str, Any], next_try: str | None) -> None:
    assert as_told(route) == {"state": route["state"], "next_try": next_try}
