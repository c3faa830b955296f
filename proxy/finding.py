"""Finding: one thing that `paifang doctor` looked at, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was found."""

    check: str
    """What was looked at: "store", "clock", "provider ark"."""
    state: Literal["ok", "note", "problem"]
    message: str
    remedy: str = ""
    """What to do about it; "" where nothing need be done."""
