import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.jsontext import MAX_DEPTH, JsonError, copied, dumps, loads
from tests.markdown import ROOT

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


WITHIN_500_MIB = """
import resource, sys
from proxy.jsontext import loads
if sys.platform == "linux":  # elsewhere this limit is not kept
    resource.setrlimit(resource.RLIMIT_AS, (500 * 2**20, resource.RLIM_INFINITY))
raw = b"[" + b"{}," * 65 + b'"' + sys.argv[1].encode() * (10_000_000 // len(sys.argv[1])) + b'"]'
sys.exit(len(loads(raw)) != 66)
"""


@pytest.mark.parametrize("content", ["x", "\\n"])
def test_a_long_string_among_many_brackets_takes_little_memory(content: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHIN_500_MIB, content], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.timeout(10)
def test_a_string_without_an_end_is_read_once() -> None:
    with pytest.raises(JsonError, match="Unterminated string"):
        loads(b"[" + b"{}," * 65 + b'"' + b'\\"' * 1_000_000)


def test_a_lone_surrogate_leaves_as_it_came() -> None:
    assert dumps(loads(b'{"a":"\\ud800"}')) == b'{"a":"\\ud800"}'


def test_a_copy_shares_nothing_that_can_change() -> None:
    read = {"messages": [{"role": "user", "n": 2**70}], "user": "\ud800"}
    copy = copied(read)
    assert copy == read
    copy["messages"][0]["role"] = "system"
    copy["messages"].append(1)
    assert read == {"messages": [{"role": "user", "n": 2**70}], "user": "\ud800"}
