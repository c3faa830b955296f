"""Imports point one way: plugins/ → proxy/ ← adapters/, and of proxy the other rooms know its public names alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import proxy

ROOT = Path(__file__).parents[1]
ROOMS = ("proxy", "plugins", "adapters")


def imports(room: str) -> Iterator[tuple[str, str, str | None]]:
    """(file:line, module, imported name or None) of every import in a room, those inside functions too."""
    for file in sorted((ROOT / room).rglob("*.py")):
        package = file.relative_to(ROOT).with_suffix("").parts
        for node in ast.walk(ast.parse(file.read_text())):
            place = f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import):
                yield from ((place, alias.name, None) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                parents = package[: len(package) - node.level] if node.level else ()
                module = ".".join([*parents, *([node.module] if node.module else [])])
                yield from ((place, module, alias.name) for alias in node.names)


def ours(room: str) -> list[tuple[str, str, str | None]]:
    """Imports of our own code, by whatever room."""
    return [found for found in imports(room) if found[1].partition(".")[0] in ROOMS]


def test_the_rooms_are_found() -> None:
    assert all(len(ours(room)) > 3 for room in ROOMS)


def test_proxy_knows_neither_plugins_nor_adapters() -> None:
    assert [found for found in ours("proxy") if found[1].partition(".")[0] != "proxy"] == []


@pytest.mark.parametrize("room", ["plugins", "adapters"])
def test_the_others_know_public_names_and_their_own_room(room: str) -> None:
    private = [
        found
        for found in ours(room)
        if found[1].partition(".")[0] != room and not (found[1] == "proxy" and found[2] in proxy.__all__)
    ]
    assert private == []


def test_what_serves_knows_nothing_of_the_test_kit() -> None:
    users = [place for room in ROOMS for place, module, _ in ours(room) if module.startswith("proxy.testkit")]
    assert [place for place in users if not place.startswith("proxy/testkit/")] == []


def test_public_names_exist() -> None:
    assert all(hasattr(proxy, name) for name in proxy.__all__)


def test_adapters_do_no_io() -> None:
    banned = {"aiohttp", "asyncio", "http", "os", "socket", "ssl", "subprocess", "threading", "time"}
    offenders = [
        found
        for found in imports("adapters")
        if found[1].partition(".")[0] in banned or (found[1], found[2]) in {("urllib", "request"), ("urllib.request", None)}
    ]
    assert offenders == []


def test_nothing_is_imported_by_name_at_run_time() -> None:
    """registry.py resolves entry points; no other file may reach a module behind this test's back."""
    allowed = {"proxy/registry.py"}
    offenders = set()
    for room in ROOMS:
        for place, module, _ in imports(room):
            if module.partition(".")[0] == "importlib" and module not in ("importlib.metadata", "importlib.resources"):
                offenders.add(place.partition(":")[0])
    assert offenders <= allowed
