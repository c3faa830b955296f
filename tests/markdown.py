"""Code blocks of a page, so that tests run what users paste."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"# (\w+\.py)\b")


@dataclass(frozen=True)
class Block:
    """One fenced block. name: of the file that its first line names, "" if it names none."""

    language: str
    text: str
    name: str
    line: int

    def __str__(self) -> str:
        return self.name or f"{self.language}-{self.line}"


def blocks(page: Path, *languages: str) -> list[Block]:
    """The blocks of a page, or only those in some languages."""
    text = page.read_text()
    found = []
    for match in _BLOCK.finditer(text):
        name = _NAME.match(match[2])
        if not languages or match[1] in languages:
            found.append(Block(match[1], match[2], name[1] if name else "", text.count("\n", 0, match.start()) + 1))
    return found
