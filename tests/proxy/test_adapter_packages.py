"""Installed packages of adapters: one that is broken harms nobody who uses none of it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.proxy.conftest import Paifang
from tests.proxy.gateways import SIMULATED, write

NOTE = "note: the package paifang-birds has adapters that are not there ({}): mend or uninstall it\n"
BROKEN = "birds_of_a_test can't be imported: ModuleNotFoundError: No module named 'feathers'"


@pytest.fixture
def birds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The module of an installed package."""
    folder = tmp_path / "installed"
    about = folder / "paifang_birds-1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: paifang-birds\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[paifang.adapters]\nbirds = birds_of_a_test\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "birds_of_a_test", raising=False)
    return folder / "birds_of_a_test.py"


def test_a_package_that_can_not_be_imported_is_noted(paifang: Paifang, birds: Path, tmp_path: Path) -> None:
    birds.write_text("import feathers\n")
    write(tmp_path, SIMULATED)
    status, out, _ = paifang("check")
    assert (status, NOTE.format(BROKEN) in out) == (0, True)


def test_a_package_without_hooks_is_noted(paifang: Paifang, birds: Path, tmp_path: Path) -> None:
    birds.write_text("def register_adapters(register): ...\n")
    write(tmp_path, SIMULATED)
    status, out, _ = paifang("check")
    told = "plugin 'adapters:birds' is not valid: it has no hooks; mark its functions with @hookimpl"
    assert (status, NOTE.format(told) in out) == (0, True)


def test_a_provider_that_needs_it_is_told_why_it_is_not_there(paifang: Paifang, birds: Path, tmp_path: Path) -> None:
    birds.write_text("import feathers\n")
    write(tmp_path, SIMULATED.replace("adapter: simulator", "adapter: parrot"))
    status, _, err = paifang("check")
    assert status == 2
    assert err.startswith("gateway.yaml:3:18: providers.sim.adapter: found \"parrot\", expected a name out of the adapters")
    assert err.endswith(f": the package paifang-birds has adapters that are not there ({BROKEN}): mend or uninstall it\n")
