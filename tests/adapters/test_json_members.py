from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.json_members import edited, read_members, read_object
from proxy import UpstreamProtocolError


def test_places_cut_out_the_members() -> None:
    members = read_members(' { "a" : 1 , "b\\u0041":"x" ,\n"c":{"a":2}} ')
    assert members.values == {"a": 1, "bA": "x", "c": {"a": 2}}
    assert [members.text[place.start : place.end] for place in members.places] == [
        ' "a" : 1',
        ' "b\\u0041":"x"',
        '\n"c":{"a":2}',
    ]
    assert [members.text[place.value_start : place.end] for place in members.places] == ["1", '"x"', '{"a":2}']


@pytest.mark.parametrize(
    ("text", "changes", "expected"),
    [
        ('{"a":1,"b":2,"c":3}', {"b": "9"}, '{"a":1,"b":9,"c":3}'),
        ('{"a":1,"b":2,"c":3}', {"a": None}, '{"b":2,"c":3}'),
        ('{"a":1, "b":2, "c":3}', {"b": None}, '{"a":1, "c":3}'),
        ('{"a":1,"b":2,"c":3 }', {"c": None}, '{"a":1,"b":2 }'),
        ('{"a":1,"b":2,"c":3}', {"a": None, "b": None}, '{"c":3}'),
        ('{"a":1,"b":2,"c":3}', {"b": None, "c": None}, '{"a":1}'),
        ('{"a":1,"b":2,"c":3}', {"a": None, "b": "9", "c": None}, '{"b":9}'),
        ('{"a":1}', {"a": None}, "{}"),
        ('{"a":1,"b":2,"a":3}', {"a": None}, '{"b":2}'),
        ("{}", {"a": None}, "{}"),
    ],
)
def test_edits(text: str, changes: dict[str, str | None], expected: str) -> None:
    assert edited(text, changes, json.loads(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "{",
        "{}x",
        '{"a"}',
        '{"a":}',
        '{"a":1,}',
        "{,}",
        '{"a":1 "b":2}',
        "{1:2}",
        '{"a":1}{}',
        '{"a":NaN}',
        "[]",
        '"a"',
        '{"a":"\t"}',
        "[" * 9999,
        '{"a":' * 9999,
        '{"a":' + "9" * 5000 + "}",
    ],
)
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(UpstreamProtocolError):
        read_members(text)


def test_objects_with_lone_surrogates_and_broken_utf8_can_be_read() -> None:
    assert read_object('{"a":"\\ud800"}') == {"a": "\ud800"}
    assert read_object(b'{"a":"\xff"}') == {"a": "\ufffd"}


NAMES = st.sampled_from(["model", "usage", "a", "", 'q"', "你", "\\"])
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.sampled_from(["model", "m", '"model":"m"', "\\", "你"])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=8,
)


@given(
    st.dictionaries(NAMES, VALUES),
    st.dictionaries(NAMES, st.one_of(st.none(), st.just('"new"')), max_size=2),
    st.booleans(),
    st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t: ")]),
)
def test_edited_text_means_the_edited_object(
    value: dict[str, Any], changes: dict[str, str | None], ascii_only: bool, separators: tuple[str, str]
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, separators=separators)
    expected = {name: value[name] for name in value if changes.get(name, "") is not None}
    expected |= {name: "new" for name, new in changes.items() if name in value and new is not None}
    result = edited(text, changes, value)
    assert json.loads(result) == expected
    if not changes.keys() & value.keys():
        assert result == text
