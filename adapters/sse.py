"""Server-sent events: bytes, cut anywhere, → events. Framing is WHATWG's (HTML standard, 9.2.5 and 9.2.6).

A line ends with LF, CRLF or CR; a blank line ends an event. The raws of all events, one after the other, are
the stream itself, so a relay may pass them on as they are. What whoever reads events ignores is left out: a byte
order mark, an unfinished last event, and lines that are neither a field nor a comment, which may be a proxy's
words. How the stream was cut into chunks never shows. An event leaves as soon as its blank line is known:

    after LF or CRLF   a lone CR may be half of a CRLF, so the next byte is waited for
    after a lone CR    the stream speaks CR, so the event leaves at once; should LF follow, the next event begins with it
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from proxy import UpstreamProtocolError

MAX_EVENT_BYTES = 4 * 1024 * 1024

_BLANK_LINE = re.compile(rb"\r\r|(?>\r\n|\n)(?>\r\n|\n|\r(?=[^\n]))")
_LONGEST_BLANK_LINE = 4
_LINE_END = re.compile(r"\r\n|\n|\r")
_LINE = re.compile(r"([^\r\n]*)(?:\r\n|\n|\r)")
_FIELDS = frozenset({"", "data", "event", "id", "retry"})
"""What a line may begin with, before its colon; a comment, and a blank line, with nothing."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(slots=True)
class SseEvent:
    """One event with its blank line, or a block of comments."""

    raw: bytes
    """All of its bytes. Always UTF-8: what was not is U+FFFD here and in `data`."""
    event: str = ""
    """Its type, "" where the stream names none."""
    data: str | None = None
    """Its data lines joined by LF; None: there are none, only comments, ids or blank lines."""
    data_at: int = 0
    """Where `data` starts in raw, if raw is `data:` + data + two LF; else 0."""

    def with_data(self, data: str) -> bytes:
        """The event's bytes with other data; its other lines stay."""
        if self.data_at:
            return self.raw[: self.data_at] + data.encode() + b"\n\n"
        lines = [line for line in _LINE_END.split(self.raw.decode()) if line and line.partition(":")[0] != "data"]
        lines += [f"data: {line}" for line in data.split("\n")]
        return "\n".join([*lines, "", ""]).encode()


class SseFramer:
    """Cuts one stream. Raises: UpstreamProtocolError for an event over MAX_EVENT_BYTES."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._searched = 0
        self._speaks_cr = False
        self._begun = False

    @property
    def idle(self) -> bool:
        """Whether nothing is kept of an event that is not complete."""
        return not self._rest

    def feed(self, data: bytes) -> Iterator[SseEvent]:
        """The events that these bytes complete. Must be iterated; what was yielded before a fault stands."""
        self._speaks_cr = self._speaks_cr or b"\r" in data
        if self._rest:
            self._rest += data
            if self._end_of_event(self._rest, self._searched) < 0:
                self._wait()
                return
            data = bytes(self._rest)
            self._rest.clear()
        start = 0
        while (end := self._end_of_event(data, start)) > 0:
            yield self._read(data[start:end])
            start = end
        self._rest += data[start:]
        self._wait()

    def feed_eof(self) -> SseEvent | None:
        """The event whose blank line is a CR that might have become a CRLF. What is unfinished is dropped."""
        finished = self._rest.endswith(b"\n\r")
        return self._read(bytes(self._rest)) if finished else None

    def _wait(self) -> None:
        if len(self._rest) > MAX_EVENT_BYTES:
            raise _too_long()
        self._searched = max(0, len(self._rest) - _LONGEST_BLANK_LINE + 1)

    def _end_of_event(self, buffer: bytes | bytearray, start: int) -> int:
        if self._speaks_cr:
            blank_line = _BLANK_LINE.search(buffer, start)
            return blank_line.end() if blank_line else -1
        end = buffer.find(b"\n\n", start)
        return end + 2 if end >= 0 else -1

    def _read(self, raw: bytes) -> SseEvent:
        if len(raw) > MAX_EVENT_BYTES:
            raise _too_long()
        if not self._begun:
            self._begun = True
            raw = raw.removeprefix(_BYTE_ORDER_MARK)
        try:
            if raw.startswith(b"data:") and b"\r" not in raw and raw.find(b"\n") == len(raw) - 2:
                start = 6 if raw.startswith(b" ", 5) else 5
                return SseEvent(raw, "", raw[start:-2].decode(), start)
            text = raw.decode()
        except UnicodeDecodeError:
            text = raw.decode(errors="replace")
            raw = text.encode()
        return _read_lines(raw, text)


def _read_lines(raw: bytes, text: str) -> SseEvent:
    event = ""
    data: list[str] = []
    strange = False
    for line in _LINE_END.split(text):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            data.append(value)
        elif name == "event":
            event = value
        else:
            strange = strange or name not in _FIELDS
    if strange:
        lines = [line[0] for line in _LINE.finditer(text) if line[1].partition(":")[0] in _FIELDS]
        raw = "".join(lines).encode()
    return SseEvent(raw, event, "\n".join(data) if data else None)


def _too_long() -> UpstreamProtocolError:
    return UpstreamProtocolError(f"The provider's stream holds an event of more than {MAX_EVENT_BYTES >> 20} MiB.")
