"""Commands in this process, on a real store."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog

from proxy.commands.run import run
from tests.proxy.gateways import WITH_STATIC_KEY, write

Paifang = Callable[..., tuple[int, str, str]]


@pytest.fixture
def in_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Commands find ./gateway.yaml; what they do to logging ends with the test."""
    write(tmp_path, WITH_STATIC_KEY)
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


@pytest.fixture
def paifang(in_its_folder: None, capsys: pytest.CaptureFixture[str]) -> Paifang:
    """`status, out, err = paifang("keys", "list")`."""
    return lambda *arguments: _called(capsys, *arguments)


def _called(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = run(arguments)
    captured = capsys.readouterr()
    return status, captured.out, captured.err
