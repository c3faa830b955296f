"""What is valid in a gateway.yaml and yet seldom does what it looks like."""

from __future__ import annotations

from collections.abc import Iterator

from proxy.plural import counted
from proxy.snapshot import Snapshot
from proxy.yamltext import Document

DOORS = ("/chat/completions", "/responses", "/embeddings", "/messages")
"""Paths that adapters append."""


def surprises(snapshot: Snapshot, document: Document, file: str) -> Iterator[str]:
    """A line for each, for the operator; none of them is an error."""
    yield from _doubled_doors(snapshot, document, file)
    yield from _late_fallbacks(snapshot)


def _doubled_doors(snapshot: Snapshot, document: Document, file: str) -> Iterator[str]:
    for name, section in snapshot.config.providers.items():
        url = (section.base_url or "").rstrip("/")
        door = next((door for door in DOORS if url.endswith(door)), None)
        if door is not None and "path" not in section.options.model_fields_set:
            line, column = document.place(("providers", name, "base_url"))
            yield (
                f"{file}:{line}:{column}: providers.{name}.base_url ends in {door}, and the adapter {section.adapter!r} "
                f"appends its path to it: leave {door} out"
            )


def _late_fallbacks(snapshot: Snapshot) -> Iterator[str]:
    attempts = snapshot.config.defaults.retry.attempts
    for name, entry in snapshot.models.items():
        if len(entry.pool) >= attempts and any(snapshot.models[fallback].pool for fallback in entry.fallbacks):
            yield (
                f"model {name} has {counted(len(entry.pool), 'route')} of its own, and a request "
                f"{counted(attempts, 'attempt')} at most: its fallbacks are only reached while routes of its own are left alone"
            )
