"""Programs outside of Python that tests call: which are missing, and what to do about it.

`python -m tests.system_tools` prints the Debian packages of the missing ones, for `make test` to install.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

DEBIAN_PACKAGES = {
    "curl": "curl",
    "node": "nodejs",
    "npm": "npm",
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "strace": "strace",
}
"""Command to the Debian package that brings it."""

BREW_FORMULAS = {"promtool": "prometheus"}
"""Command to the formula that brings it, where that has another name."""

NODE_CLIENT = Path(__file__).parent / "node"
"""Where the OpenAI SDK for Node is installed; scripts that import it must lie in this folder."""


def missing_packages() -> list[str]:
    """The Debian packages to install before every test can run."""
    missing = (package for command, package in DEBIAN_PACKAGES.items() if shutil.which(command) is None)
    return list(dict.fromkeys(missing))


def needs(command: str) -> pytest.MarkDecorator:
    """Skip the test where `command`, a key of DEBIAN_PACKAGES, is not installed."""
    remedy = (
        f"brew install {BREW_FORMULAS.get(command, command)}"
        if sys.platform == "darwin"
        else f"apt install {DEBIAN_PACKAGES[command]}"
    )
    return pytest.mark.skipif(shutil.which(command) is None, reason=f"{command} is missing; remedy: {remedy}")


def needs_node_sdk() -> pytest.MarkDecorator:
    """Skip the test where the OpenAI SDK for Node is not installed in NODE_CLIENT."""
    return pytest.mark.skipif(
        shutil.which("node") is None or not (NODE_CLIENT / "node_modules" / "openai").is_dir(),
        reason="the OpenAI SDK for Node is missing; remedy: apt install nodejs npm, and npm ci in tests/node",
    )


if __name__ == "__main__":
    print(*missing_packages())
