import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.jsontext import MAX_DEPTH, JsonError, dumps, loads

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_what_is_written_reads_the_same(value: object) -> None:
    assert loads(dumps(value)) == value


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"{", "Expecting property name"),
        (b'{"a": 1, "a": 2}', "the key 'a' is there twice in one object"),
        (b"[NaN]", "NaN is not JSON"),
        (b"[-Infinity]", "-Infinity is not JSON"),
        (b"[1e999]", "1e999 is out of range"),
        (b"[" * 100_000, "nested deeper than 64 levels"),
        (b"1" * 5_000, "too many digits"),
        ('{"a": "é"}'.encode("latin-1"), "not UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
        (b"\xef\xbb\xbf{}", "Expecting value"),
    ],
)
def test_what_is_refused_says_why(raw: bytes, why: str) -> None:
    with pytest.raises(JsonError, match=why):
        loads(raw)


def test_depth_counts_brackets_outside_of_strings_only() -> None:
    flat = json.dumps(["[[[{{{" * 100, '\\"[[' * 50]).encode()
    assert loads(flat) == json.loads(flat)
    assert loads(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH) is not None
    with pytest.raises(JsonError):
        loads(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1))


def test_a_lone_surrogate_leaves_as_it_came() -> None:
    assert dumps(loads(b'{"a":"\\ud800"}')) == b'{"a":"\\ud800"}'
