"""Whatever stands where a provider has a value: an answer comes of it or an UpstreamError, never another fault."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from proxy.estimate import Tally
from proxy.jsontext import dumps
from proxy.testkit import FAILURES, SCENARIOS, Door, Heard, converse
from tests.adapters.doors import DOORS

ODD: tuple[Any, ...] = (None, True, -1, 1.5, "\ud800", [], ["x"], {"x": 1})
DIALECTS = [door for door in DOORS if door.adapter.name in {
    "openai_chat", "ark_bots", "ark_messages", "ark_responses", "coze", "dashscope", "minimax_messages", "sensenova", "spark",
}]  # fmt: skip
_DATA = re.compile(r"(?<=^data:).*$", re.MULTILINE)


def with_odd_values(body: bytes) -> Iterator[bytes]:
    """The body, JSON or events, with each of its values in turn replaced by each odd one."""
    text = body.decode()
    spans = [(0, len(text))] if text.startswith("{") else [found.span() for found in _DATA.finditer(text)]
    for start, end in spans:
        try:
            value = json.loads(text[start:end])
        except ValueError:
            continue  # [DONE], a web page
        for place in places(value):
            for odd in ODD:
                yield (text[:start] + json.dumps(put(value, place, odd)) + text[end:]).encode()


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, member in items:
        yield from places(member, (*at, name))


def put(value: Any, at: tuple[Any, ...], odd: Any) -> Any:
    if not at:
        return odd
    changed = dict(value) if isinstance(value, dict) else list(value)
    changed[at[0]] = put(value[at[0]], at[1:], odd)
    return changed


def sound(heard: Heard) -> None:
    """What came is of the kinds that the gateway counts and writes."""
    tally = Tally()
    for part in heard.parts:
        tally.add(part)
    if heard.fault is not None:
        dumps(heard.fault.body())
        heard.fault.headers()


@pytest.mark.parametrize("door", DIALECTS, ids=str)
def test_no_value_breaks_an_adapter(door: Door) -> None:
    for told in (*SCENARIOS, *FAILURES):
        replies = door.replies(told.name) if told.name in door.answers else ()
        for at, reply in enumerate(replies):
            for body in with_odd_values(reply.body):
                sequel = [*replies[:at], replace(reply, body=body), *replies[at + 1 :]]
                try:
                    sound(converse(door.request(**told.fields), sequel))
                except AssertionError:
                    assert len(replies) > 1, "a job that is asked for once more, or once less, has too few or many replies"
