from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.sse import MAX_EVENT_BYTES, SseEvent, SseFramer
from proxy import UpstreamProtocolError


def frame(*chunks: bytes) -> list[SseEvent]:
    framer = SseFramer()
    events = [event for chunk in chunks for event in framer.feed(chunk)]
    last = framer.feed_eof()
    return [*events, last] if last else events


def told(stream: bytes) -> list[tuple[str, str | None]]:
    """(event, data) of a stream that is read whole and byte by byte."""
    events = frame(stream)
    assert events == frame(*[stream[at : at + 1] for at in range(len(stream))])
    return [(event.event, event.data) for event in events]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_every_line_end_frames_alike(end: bytes) -> None:
    stream = end.join([b"data: a", b"", b"event: note", b"data: b", b"data:c", b"", b"data: d", b"", b""])
    assert told(stream) == [("", "a"), ("note", "b\nc"), ("", "d")]
    assert b"".join(event.raw for event in frame(stream)) == stream


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data:a\n\n", [("", "a")]),
        (b"data:  a\n\n", [("", " a")]),
        (b"data\n\n", [("", "")]),
        (b"data:\n\n", [("", "")]),
        (b": comment\n\ndata: a\n\n", [("", None), ("", "a")]),
        (b": comment\ndata: a\n\n", [("", "a")]),
        (b"id: 7\nretry: 10\nevent:x\nevent: y\ndata: a\n\n", [("y", "a")]),
        (b"\xef\xbb\xbfdata: a\n\ndata: b\n\n", [("", "a"), ("", "b")]),
        (b"dataset: a\n\n", [("", None)]),
        (b"data: a\r\n\ndata: b\n\r\ndata: c\r\r", [("", "a"), ("", "b"), ("", "c")]),
        (b"data: a\n\ndata: cut off\n", [("", "a")]),
        (b"data: a\r\n\r", [("", "a")]),
        (b"", []),
    ],
)
def test_framing_is_the_standards(stream: bytes, expected: list[tuple[str, str | None]]) -> None:
    assert told(stream) == expected


def test_event_leaves_before_the_next_arrives() -> None:
    framer = SseFramer()
    assert [event.data for event in framer.feed(b"data: a\n\n")] == ["a"]
    assert [event.data for event in SseFramer().feed(b"data: a\r\n\r\n")] == ["a"]
    assert [event.data for event in SseFramer().feed(b"data: a\r\r")] == ["a"]


def test_byte_order_mark_does_not_reach_the_client() -> None:
    assert [event.raw for event in frame(b"\xef\xbb", b"\xbfdata: a\n\n")] == [b"data: a\n\n"]


def test_broken_utf8_is_replaced_in_data_and_raw() -> None:
    (event,) = frame(b"data: a\xffb\xe4\xb8\n\n")
    assert event.data == "a\ufffdb\ufffd"
    assert event.raw == "data: a\ufffdb\ufffd\n\n".encode()


def test_character_cut_in_two_is_whole_again() -> None:
    (event,) = frame(b"data: \xe4\xbd", b"\xa0\n\n")
    assert event.data == "你"


def test_lines_that_are_no_fields_do_not_pass() -> None:
    words = [b'{"error": "bad key sk-1"}', b"dataset: a", b"\xe4\xbd\xa0: b"]
    events = frame(b": c\r\nevent: e\r\n" + words[0] + b"\ndata\r\n\r\n", words[1] + b"\r\n\n", words[2] + b"\ndata: a\n\n")
    assert [(event.raw, event.data) for event in events] == [
        (b": c\r\nevent: e\r\ndata\r\n\r\n", ""), (b"\n", None), (b"data: a\n\n", "a")
    ]


def test_largest_event_passes_and_a_larger_one_does_not() -> None:
    data = b"x" * (MAX_EVENT_BYTES - len(b"data: \n\n"))
    assert len(frame(b"data: " + data + b"\n\n")) == 1
    for chunks in ([b"data: x" + data + b"\n\n"], [b"data: x" + data, b"\n\n"], [b"data: x" + data + b"yyy"]):
        with pytest.raises(UpstreamProtocolError, match="more than 4 MiB"):
            frame(*chunks)


def test_events_before_an_overlong_one_stand() -> None:
    events = SseFramer().feed(b"data: a\n\ndata: " + b"x" * MAX_EVENT_BYTES)
    assert next(events).data == "a"
    with pytest.raises(UpstreamProtocolError):
        next(events)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"data: {}\n\n", b"data: []\n\n"),
        (b"data:{}\n\n", b"data:[]\n\n"),
        (b": c\r\nevent: e\r\nid: 1\r\ndata: {\r\ndata: }\r\n\r\n", b": c\nevent: e\nid: 1\ndata: []\n\n"),
    ],
)
def test_with_data_keeps_the_other_lines(raw: bytes, expected: bytes) -> None:
    (event,) = frame(raw)
    assert event.with_data("[]") == expected


def test_with_data_of_several_lines_is_several_lines() -> None:
    (event,) = frame(b"event: e\ndata: {}\n\n")
    assert event.with_data("[\n]") == b"event: e\ndata: [\ndata: ]\n\n"


LINES = st.lists(st.sampled_from([b"data: a", b"data:b", b": c", b"event: e", b"x", b"", b"\xe4\xbd\xa0", b"\xff"]))
ENDS = st.sampled_from([b"\n", b"\r", b"\r\n"])


@given(st.lists(st.tuples(LINES, ENDS)), st.lists(st.integers(1, 9)))
@example([([b"data: a", b"", b"data: b", b""], b"\r\n")], [10])
@example([([b"data:b", b""], b"\n"), ([b"data: a"], b"\r")], [1, 7])
def test_cuts_never_show(groups: list[tuple[list[bytes], bytes]], sizes: list[int]) -> None:
    stream = b"".join(line + end for lines, end in groups for line in lines)
    chunks, rest = [], stream
    for size in sizes:
        chunks.append(rest[:size])
        rest = rest[size:]
    assert frame(*chunks, rest) == frame(stream)
    data = [event.data for event in frame(stream) if event.data is not None]
    assert data == by_the_standard(stream)


def by_the_standard(stream: bytes) -> list[str]:
    """The data of all events, by the standard's algorithm, line by line."""
    found: list[str] = []
    data: list[str] = []
    lines = re.split("\r\n|\n|\r", stream.decode(errors="replace"))
    for line in lines[:-1]:
        name, _, value = line.partition(":")
        if name == "data":
            data.append(value.removeprefix(" "))
        elif not line and data:
            found.append("\n".join(data))
            data = []
    return found
