"""Noticing that another of our processes hangs: its event loop stands still for good, or the process is stopped."""

from __future__ import annotations

import asyncio
from typing import Any

from proxy.link import Link

LOOKS = 10
"""Silence is counted in looks, not by the clock: after a sleep of the whole machine it is nobody's."""


async def silence(link: Link, hang_s: float) -> None:
    """Returns once the other end has answered nothing for so long. It has to have an answer to "beat"."""
    unanswered = 0

    def answered(answer: Any) -> None:
        nonlocal unanswered
        unanswered = 0

    while unanswered < LOOKS:
        unanswered += 1
        link.ask(answered, "beat")
        await asyncio.sleep(hang_s / LOOKS)
