"""One POST and its answer, JSON or server-sent events: what does not depend on the dialect.

    200, events   read event by event; also where JSON was asked for
    200, JSON     read at its end; also where a stream was asked for
    200, error    the same as an error status, once it shows
    4xx, 5xx      the dialect's error mapping
    else          UpstreamProtocolError: redirects, web pages, encoded bodies

A fault is raised at the call that meets it. What the same bytes had completed before it is returned first, and the
fault is raised by the next call.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

from adapters.json_members import read_object
from adapters.openai_errors import OPENAI_FORM, ErrorForm, Refusal, read_refusal, refusal_of
from adapters.repeated_chunk import RepeatedChunk
from adapters.sse import SseEvent, SseFramer
from proxy import (
    DONE,
    ChatEvent,
    Exchange,
    Progress,
    Send,
    Step,
    StreamTruncated,
    UpstreamError,
    UpstreamProtocolError,
    Usage,
    header,
)

MAX_ANSWER_BYTES = 64 * 1024 * 1024
MAX_ERROR_BYTES = 64 * 1024
_SPACE_AND_MARK = b" \t\r\n\xef\xbb\xbf"
_FIRST_OF_EVENTS = (b":", b"d", b"e", b"i", b"r")
"""A comment, data, event, id, retry."""
_SAID_DONE = re.compile(r'\s*"?\[DONE\]', re.IGNORECASE)


class AnswerReader(Protocol):
    """A dialect's answer. It isn't shown errors: those are met before."""

    @property
    def done(self) -> bool:
        """The stream is complete; whatever follows is ignored."""

    @property
    def repeated(self) -> RepeatedChunk | None:
        """Knows chunks that need not be read, where the dialect's pass as they are."""

    @property
    def reported(self) -> Usage | None:
        """What the provider has counted so far."""

    @property
    def anomalies(self) -> Sequence[str]:
        """What was wrong with its counts and is not seen in the Usage: "unusable", "falling"."""

    def event(self, sse: SseEvent, values: dict[str, Any]) -> Sequence[ChatEvent]:
        """What one event of a stream comes to. values: its data. Raises: UpstreamProtocolError."""
        ...

    def comment(self, sse: SseEvent) -> Sequence[ChatEvent]:
        """What a block of comments comes to: a sign of life."""
        ...

    def end(self, *, said: bool) -> Sequence[ChatEvent]:
        """The stream is over; said: it says so itself. Raises: StreamTruncated: in the middle of the answer."""
        ...

    def whole(self, values: dict[str, Any]) -> Sequence[ChatEvent]:
        """What a JSON answer comes to. Raises: UpstreamProtocolError."""
        ...


class OnePost(Exchange):
    """Sends once, reads once."""

    def __init__(
        self,
        send: Send,
        reader: AnswerReader,
        error_of: Callable[[Refusal], UpstreamError],
        dropped: Sequence[str] = (),
        form: ErrorForm = OPENAI_FORM,
    ) -> None:
        self.dropped = tuple(dropped)
        self._form = form
        self._send: Send | None = send
        self._reader = reader
        self._error_of = error_of
        self._status = 0
        self._headers: Mapping[str, str] = {}
        self._kind: Literal["unknown", "error", "json", "stream"] = "unknown"
        self._body = bytearray()
        self._framer = SseFramer()
        self._fault: UpstreamError | None = None
        self._counted: Usage | None = None
        """What an error says was used all the same."""

    @property
    def reported(self) -> Usage | None:
        return self._reader.reported or self._counted

    @property
    def anomalies(self) -> Sequence[str]:
        return self._reader.anomalies

    def next(self) -> Step:
        if self._fault is not None:
            raise self._fault
        send, self._send = self._send, None
        return send or DONE

    def feed_head(self, status: int, headers: Mapping[str, str]) -> None:
        self._status = status
        self._headers = headers
        if status >= 400:
            self._kind = "error"

    def feed_data(self, data: bytes) -> Sequence[ChatEvent]:
        if self._fault is not None:
            raise self._fault
        if self._kind == "unknown":
            data = self._begin(data)
        if self._kind == "stream":
            return self._feed_stream(data)
        limit = MAX_ERROR_BYTES if self._kind == "error" else MAX_ANSWER_BYTES + 1
        self._body += data[: limit - len(self._body)]
        if len(self._body) > MAX_ANSWER_BYTES:
            raise self._protocol_error(f"an answer of more than {MAX_ANSWER_BYTES >> 20} MiB")
        return ()

    def feed_eof(self) -> Sequence[ChatEvent]:
        if self._fault is not None:
            raise self._fault
        match self._kind:
            case "error":
                raise self._refused(read_refusal(self._status, self._headers, bytes(self._body), self._form))
            case "json":
                values = read_object(bytes(self._body))
                self._check_for_error(values)
                return self._reader.whole(values)
            case "stream":
                if self._reader.done:
                    return ()
                last = self._framer.feed_eof()
                events = list(self._read(last)) if last is not None else []
                return events if self._reader.done else [*events, *self._reader.end(said=False)]
            case "unknown":
                self._check_head()
                raise StreamTruncated("The provider's answer is empty.", upstream=self._upstream())

    def _check_head(self) -> None:
        """Raises: UpstreamProtocolError for what can't be an answer, whatever its body says."""
        if self._status != 200:
            raise self._protocol_error(f"status {self._status}")
        if header(self._headers, "content-encoding").lower() not in ("", "identity"):
            raise self._protocol_error("an encoded body, although it was asked for a plain one")
        if header(self._headers, "content-type").lower().startswith(("text/html", "application/xhtml")):
            raise self._protocol_error("a web page; base_url may be wrong")

    def _begin(self, data: bytes) -> bytes:
        """Find out what the answer is, by its first character: some providers call a JSON error an event stream, and
        some name no type at all. Returns the data without the space before it, which some send to keep a connection alive.
        """
        self._check_head()
        data = data.lstrip(_SPACE_AND_MARK)
        if not data:
            return data
        told = header(self._headers, "content-type").lower()
        if data.startswith(b"{"):
            self._kind = "json"
        elif told.startswith("text/event-stream") or data.startswith(_FIRST_OF_EVENTS):
            self._kind = "stream"
        else:
            raise self._protocol_error("neither JSON nor events", data)
        return data

    def _feed_stream(self, data: bytes) -> Sequence[ChatEvent]:
        events: list[ChatEvent] = []
        if self._reader.done:
            return events
        if self._reader.repeated is not None and self._framer.idle:
            at = 0
            while at < len(data) and (known := self._reader.repeated.find(data, at)):
                event, at = known
                events.append(event)
            data = data[at:]
            if not data:
                return events
        try:
            for sse in self._framer.feed(data):
                events += self._read(sse)
                if self._reader.done:
                    self.complete = True
                    break
        except UpstreamError as fault:
            # Nothing more is to be read; the fault comes with the next call.
            self._fault, self.complete = fault, True
            if not events:
                raise
        return events

    def _read(self, sse: SseEvent) -> Sequence[ChatEvent]:
        data = sse.data
        if data is None:
            return self._reader.comment(sse)
        if data[:1] != "{":
            if not data or data.isspace():
                return ()
            if _SAID_DONE.match(data):
                return self._reader.end(said=True)
            if sse.event == "error":
                raise self._told(data, sse)
        values = read_object(data)
        self._check_for_error(values, sse)
        return self._reader.event(sse, values)

    def _check_for_error(self, values: Mapping[str, Any], sse: SseEvent | None = None) -> None:
        if self._form.unwrap is not None:
            values = self._form.unwrap(values)
        named = sse is not None and sse.event == "error"
        if named or values.get("error") or values.get("type") == "error":
            raise self._told(values, sse)

    def _told(self, value: Any, sse: SseEvent | None) -> UpstreamError:
        """An error that comes inside a 200."""
        error = self._refused(refusal_of(value, self._headers, self._status_of(sse), self._form))
        error.progress = Progress.HEADERS_ONLY
        return error

    def _refused(self, refusal: Refusal) -> UpstreamError:
        self._counted = refusal.usage
        return self._error_of(refusal)

    def _status_of(self, sse: SseEvent | None) -> int | None:
        """The status that an error in an event would have had, where the event tells."""
        if sse is None or self._form.event_status is None:
            return None
        told = self._form.event_status.search(sse.raw)
        return int(told[1]) if told and told[1] >= b"400" else None

    def _protocol_error(self, what: str, data: bytes = b"") -> UpstreamProtocolError:
        detail = repr(data[:500]) if data else ""
        return UpstreamProtocolError(f"The provider answered with {what}.", upstream=self._upstream(), detail=detail)

    def _upstream(self) -> dict[str, Any]:
        names = (*self._form.request_id_headers, "x-request-id", "request-id", "x-client-request-id")
        request_id = header(self._headers, *names)
        return Refusal(status=self._status, request_id=request_id).upstream()
