"""Headers that plugins want: what can be sent of them, and no more than clients take."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.replyheaders import MOST, MOST_CHARACTERS, sendable


@pytest.mark.parametrize(
    ("wanted", "sent"),
    [
        ({"X-Team": "blue", "x-greeting": "grüß dich"}, {"x-team": "blue", "x-greeting": "grüß dich"}),
        ({"x-a": "1", "X-A": "2"}, {"x-a": "2"}),
        ({5: "x", "x-n": 5, "x-none": None}, {}),
        ({"x-split": "a\r\nb: c", "x\n": "a", "x y": "a", "": "a", "x-odd": "\udcff"}, {}),
        ({"Content-Length": "3", "transfer-encoding": "gzip", "connection": "close", "content-encoding": "gzip"}, {}),
    ],
)
def test_what_can_be_sent(wanted: dict[Any, Any], sent: dict[str, str]) -> None:
    assert sendable(wanted) == sent


def test_no_more_than_clients_take() -> None:
    assert len(sendable({f"x-{number}": "" for number in range(5000)})) == MOST
    sent = sendable({f"x-{number}": "v" * 1000 for number in range(9)})
    assert len(sent) == MOST_CHARACTERS // 1003
    assert sendable({"x-long": "v" * MOST_CHARACTERS}) == {}
