"""What a user installs and starts: the wheel, the Makefile's promises, the lock and the container files."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ROOMS = {"proxy", "plugins", "adapters"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return zipfile.ZipFile(next(folder.glob("paifang-*.whl")))


def test_the_wheel_holds_the_three_rooms_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == ROOMS


def test_the_wheel_holds_every_file_of_the_rooms(wheel: zipfile.ZipFile) -> None:
    files = {
        str(path.relative_to(ROOT))
        for room in ROOMS
        for path in (ROOT / room).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert files <= set(wheel.namelist())
    assert "proxy/py.typed" in files
    assert any("migrations" in name for name in files)


def test_an_installation_brings_its_gateway_yaml(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path / "site")
    command = [sys.executable, "-m", "proxy", "init"]
    for status, told in ((0, "wrote gateway.yaml"), (2, "gateway.yaml: the file is there already")):
        done = subprocess.run(
            command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path / "site")}, capture_output=True, text=True
        )
        assert (done.returncode, (done.stdout + done.stderr)[: len(told)]) == (status, told), done.stderr
    assert (tmp_path / "gateway.yaml").read_bytes() == (ROOT / "gateway.yaml").read_bytes()
    assert (tmp_path / "site/proxy/gateway.yaml").exists()


def test_the_wheel_has_the_command_and_the_entry_points(wheel: zipfile.ZipFile) -> None:
    name = next(name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    sections = re.findall(r"^\[(.+)\]$", wheel.read(name).decode(), flags=re.MULTILINE)
    assert sections == ["console_scripts", "paifang.adapters", "paifang.plugins"]


def test_the_wheel_says_its_licence(wheel: zipfile.ZipFile) -> None:
    name = next(name for name in wheel.namelist() if name.endswith("/METADATA"))
    assert Parser().parsestr(wheel.read(name).decode())["License-Expression"] == "Apache-2.0"
    assert any(name.endswith("/licenses/LICENSE") for name in wheel.namelist())


def test_the_lock_pins_what_pyproject_asks_for() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    locked = dict(line.split("==") for line in lines if not line.startswith("#"))
    pinned = {canonicalize_name(name): version for name, version in locked.items()}
    asked = [Requirement(text) for text in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]]
    lacking = [str(r) for r in asked if not r.specifier.contains(pinned.get(canonicalize_name(r.name), "0"))]
    assert not lacking, "run `make constraints`"


@pytest.mark.parametrize("target", ["run", "test", "test-long", "bench", "schema", "clean"])
def test_make_has_the_target(target: str) -> None:
    command = ["make", "--dry-run", "--question", target]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert "No rule to make target" not in answer.stderr


def test_make_names_the_remedy_for_a_python_that_is_too_old(tmp_path: Path) -> None:
    python = tmp_path / "python3"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    command = ["make", "-f", str(ROOT / "Makefile"), ".venv/bin/python", f"PYTHON={python}"]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert answer.returncode == 2
    assert "needs Python 3.11 or newer" in answer.stdout


def test_a_skip_fails_where_ci_loads_the_plugin(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import pytest\n"
        "def test_skips():\n    pytest.skip('no such tool')\n"
        "@pytest.mark.xfail\ndef test_fails_as_expected():\n    assert False\n"
        "def test_passes():\n    pass\n"
    )
    (tmp_path / "test_file.py").write_text("import pytest\npytest.importorskip('no_such_module')\n")
    options = ["-p", "tests.no_skips", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), "-c", os.devnull]
    command = [sys.executable, "-m", "pytest", *options, "--continue-on-collection-errors", str(tmp_path)]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert "1 failed, 1 passed, 1 xfailed, 1 error" in answer.stdout.splitlines()[-1]
    assert "CI=true lets nothing be skipped" in answer.stdout


def test_compose_publishes_on_loopback_only() -> None:
    service = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["paifang"]
    assert service["ports"] == ["127.0.0.1:8080:8080"]
    assert "./gateway.yaml:/data/gateway.yaml:ro" in service["volumes"]


def test_docker_is_given_every_file_that_the_dockerfile_copies() -> None:
    copies = re.findall(r"^COPY (?!--from)(?:--\S+ )?(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    sources = {source.removeprefix("./") for line in copies for source in line.split()}
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert sources == allowed
    assert [source for source in sources if not (ROOT / source).exists()] == []
