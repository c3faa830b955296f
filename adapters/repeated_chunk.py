"""Chunks of a stream that differ from an earlier one in their text alone, as nearly all do: known by their bytes.

What an earlier chunk said with other words in the same place need not be parsed again. A chunk without a backslash spells
all of its strings as they are; if its text stands there once between quotes, that is where it stands, and whatever has the
same bytes before and after a text that needs no escape says the same of that text.
"""

from __future__ import annotations

from proxy import ReasoningDelta, TextDelta, Verbatim


class RepeatedChunk:
    """Learns one chunk after another; knows those like the last one."""

    def __init__(self) -> None:
        self._before, self._after = b"", b""
        """The chunk as it came, around its text."""
        self._new_before, self._new_after = b"", b""
        """The same as it is passed on."""
        self._untouched = True
        self._kind: type[TextDelta | ReasoningDelta] = TextDelta
        self._index = 0

    def learn(self, raw: bytes, passed: bytes, part: TextDelta | ReasoningDelta) -> None:
        """raw: an event as it came. passed: as it is passed on. part: all that it says."""
        text = b'"%b"' % part.text.encode(errors="replace")
        plain = raw.endswith(b"\n\n") and b"\\" not in raw and b"\r" not in raw
        if not plain or raw.count(text) != 1 or passed.count(text) != 1:
            return
        self._before, self._after = _around(raw, text)
        self._new_before, self._new_after = _around(passed, text)
        self._untouched = passed == raw
        self._kind, self._index = type(part), part.index

    def find(self, data: bytes, at: int) -> tuple[Verbatim, int] | None:
        """The event at this place of the stream's bytes, and where it ends, if it is one like the last."""
        before, after = self._before, self._after
        if not before or not data.startswith(before, at):
            return None
        start = at + len(before)
        end = data.find(b'"', start)
        if end < 0 or not data.startswith(after, end):
            return None
        try:
            text = data[start:end].decode()
        except UnicodeDecodeError:
            return None
        # Of what may not stand in JSON as it is, nothing is printable.
        if not text or "\\" in text or not text.isprintable():
            return None
        stop = end + len(after)
        if self._untouched:
            raw = data[at:stop]
        else:
            raw = b"%b%b%b" % (self._new_before, data[start:end], self._new_after)
        return Verbatim(raw, (self._kind(text, self._index),)), stop


def _around(raw: bytes, text: bytes) -> tuple[bytes, bytes]:
    before, _, after = raw.partition(text)
    return before + b'"', b'"' + after
