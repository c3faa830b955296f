"""Headers that plugins want on an answer: those that can be sent, and no more than clients take."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MOST = 64
MOST_CHARACTERS = 4096
"""Of all of them together: clients and proxies refuse a head of more than 8 KiB, and ours have to fit in, too."""
FRAMING = frozenset(
    {"connection", "content-encoding", "content-length", "date", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)
"""They say how the answer is carried, which is not a plugin's to choose."""
_LINE = re.compile(r"[!#-'*+.^_`|~0-9A-Za-z-]+: [^\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]*")


def sendable(wanted: Mapping[Any, Any]) -> dict[str, str]:
    """Those that can be sent, names in lower case. One that can't is left out: it would break the answer, or begin another."""
    kept: dict[str, str] = {}
    room = MOST_CHARACTERS
    for name, value in wanted.items():
        if type(name) is not str or type(value) is not str or not _LINE.fullmatch(f"{name}: {value}"):
            continue
        room -= len(name) + len(value)
        if room < 0 or len(kept) == MOST:
            break
        if (lower := name.lower()) not in FRAMING:
            kept[lower] = value
    return kept
