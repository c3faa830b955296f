"""What a provider sends, as a test writes it down, and the ways in which the same bytes may come otherwise."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

EVENTS = {"content-type": "text/event-stream; charset=utf-8"}
JSON = {"content-type": "application/json"}
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_UNKNOWN = '"x_of_tomorrow":{"a":[1,null]},'
_LINE_WITH_OBJECT = re.compile(rb"^(data: ?)?\{(?=\s*\")", re.MULTILINE)
_BLANK_LINE = b"\n\n"


@dataclass(frozen=True)
class Reply:
    """One HTTP answer of a provider."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: JSON)

    @property
    def streams(self) -> bool:
        """Whether it is server-sent events."""
        return self.headers.get("content-type", "").startswith("text/event-stream")


def json_reply(value: Any, status: int = 200, **headers: str) -> Reply:
    """A JSON answer. headers: further ones, with _ for -: `retry_after="7"`."""
    more = {name.replace("_", "-"): text for name, text in headers.items()}
    return Reply(json.dumps(value, ensure_ascii=False).encode(), status, {**JSON, **more})


def stream_reply(*events: Any, ended: str = "") -> Reply:
    """Server-sent events: a `data:` line for each value as JSON, or the text of an event of several lines as it is.

    ended: what the last event says where that isn't JSON: "[DONE]".
    """
    texts = [event if isinstance(event, str) else f"data: {json.dumps(event, ensure_ascii=False)}" for event in events]
    if ended:
        texts.append(f"data: {ended}")
    return Reply("".join(f"{text}\n\n" for text in texts).encode(), headers=EVENTS)


def reframed(reply: Reply) -> Iterator[tuple[str, Reply]]:
    """The same stream as other servers write it, each with its name."""
    body = reply.body
    lines = body.split(b"\n")
    ends = [(b"\n", b"\r\n", b"\n")[at % 3] for at in range(len(lines) - 1)]
    variants = {
        "CRLF": body.replace(b"\n", b"\r\n"),
        "CR": body.replace(b"\n", b"\r"),
        "mixed line ends": b"".join(line + end for line, end in zip(lines, [*ends, b""], strict=True)),
        "no space": body.replace(b"data: ", b"data:"),
        "a byte order mark": BYTE_ORDER_MARK + body,
        "comments": b": hello\n\n" + body.replace(_BLANK_LINE, b"\n\n: still here\n\n"),
        "ids and delays": body.replace(b"data: ", b"id: 7\nretry: 10\ndata: "),
    }
    for name, other in variants.items():
        yield name, replace(reply, body=other)


def of_tomorrow(reply: Reply) -> Reply:
    """The same answer with a member that nobody knows yet in every JSON object that is a line's, or the body's, whole."""
    return replace(reply, body=_LINE_WITH_OBJECT.sub(lambda found: found[0] + _UNKNOWN.encode(), reply.body))
