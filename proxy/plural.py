"""How many of what, in English."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """ "1 model", "2 models". noun: of one, with a regular plural."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
