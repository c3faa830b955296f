from __future__ import annotations

from typing import Any

import pytest

from adapters.profile_tools import ToolCalls


def call(name: str | None, arguments: str, **members: Any) -> dict[str, Any]:
    function = {"arguments": arguments} if name is None else {"name": name, "arguments": arguments}
    return {"type": "function", "function": function, **members}


def mended(*chunks: Any, objects: bool = False, member: str = "delta") -> list[Any]:
    """The calls of each chunk, after mending."""
    mend = ToolCalls(objects=objects)
    values = [{"id": "a", "choices": [{"index": 0, member: {"tool_calls": calls}}]} for calls in chunks]
    for value in values:
        mend(value, member)
    return [value["choices"][0][member]["tool_calls"] for value in values]


def places(*chunks: Any) -> list[tuple[Any, Any]]:
    return [(piece["index"], piece.get("id")) for calls in mended(*chunks) for piece in calls]


@pytest.mark.parametrize("lacking", [{"index": -1}, {}, {"index": None}])
def test_calls_are_numbered_as_they_begin(lacking: dict[str, Any]) -> None:
    pieces = [
        [call("f", "", id="x", **lacking)],
        [call(None, "{}", **lacking)],
        [call("g", "{}", id="y", **lacking)],
        [call(None, "", id="y", **lacking)],
    ]
    assert places(*pieces) == [(0, "x"), (0, None), (1, "y"), (1, "y")]


def test_two_calls_of_one_chunk() -> None:
    assert places([call("f", "{}", id="x", index=-1), call("g", "{}", id="y", index=-1)]) == [(0, "x"), (1, "y")]


def test_calls_with_an_index_stay_as_they_are() -> None:
    mend = ToolCalls(objects=False)
    whole = {"choices": [{"index": 0, "delta": {"tool_calls": [call("f", "", id="x", index=0)]}}]}
    more = {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}}]}
    assert (mend(whole, "delta"), mend(more, "delta")) == (False, False)


def test_a_call_without_an_id_gets_one_of_its_answer() -> None:
    first, more = mended(call("f", "{"), call(None, "}"), objects=True)
    assert first == [call("f", "{", index=0, id="call_a_0_0")]
    assert more == [call(None, "}", index=0)]


def test_an_object_in_a_whole_answer_becomes_a_list_without_index() -> None:
    assert mended(call("f", "{}"), objects=True, member="message") == [[call("f", "{}", id="call_a_0_0")]]


@pytest.mark.parametrize("junk", [None, 7, "x", [7], {}])
def test_what_is_no_call_does_no_harm(junk: Any) -> None:
    mended(junk, [call("f", "{}")], objects=False)
