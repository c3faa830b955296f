"""Commands on plugins that break, or exit: one line that names the file, and the rest of the command's work is done."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.proxy.conftest import Paifang
from tests.proxy.gateways import SIMULATED, write

HOOK = "from proxy import hookimpl\n@hookimpl\ndef authorize(ctx): ...\n@hookimpl\n"
ERRORS = {"OSError('no')": "OSError: no", "SystemExit(3)": "SystemExit: 3", "KeyboardInterrupt": "KeyboardInterrupt"}


@pytest.fixture(autouse=True)
def listed(in_its_folder: None, tmp_path: Path) -> Path:
    """The plugin's file."""
    write(tmp_path, SIMULATED + "plugins: [virtual_keys, ./mine.py]\n")
    return tmp_path / "mine.py"


@pytest.mark.parametrize(("error", "told"), ERRORS.items())
@pytest.mark.parametrize("command", [("serve", "--port", "0"), ("check",), ("ledger", "verify")])
def test_a_file_that_breaks_at_import(
    paifang: Paifang, listed: Path, error: str, told: str, command: tuple[str, ...]
) -> None:
    listed.write_text(f"raise {error}\n")
    status, _, err = paifang(*command)
    assert status == 2
    assert err == f"gateway.yaml:15:25: plugins[1]: ./mine.py:1: {told}\n"


STARTS = {
    "startup(app)": "gateway.yaml:15:25: plugins[1]: plugin './mine.py' failed in startup at mine.py:6: ",
    "register_routes(register)": "gateway.yaml:15:25: plugins[1]: plugin './mine.py' can't register its routes at mine.py:6: ",
    "register_adapters(register)": "gateway.yaml:15:1: plugins: plugin './mine.py' can't register its adapters: ",
    "config_model()": "gateway.yaml:15:25: plugins[1]: plugin './mine.py' can't name its config_model: ",
}


@pytest.mark.parametrize(("error", "told"), ERRORS.items())
@pytest.mark.parametrize(("hook", "where"), STARTS.items(), ids=list(STARTS))
def test_a_hook_that_breaks_at_start(
    paifang: Paifang, listed: Path, error: str, told: str, hook: str, where: str
) -> None:
    listed.write_text(f"{HOOK}def {hook}:\n    raise {error}\n")
    status, _, err = paifang("serve", "--port", "0")
    assert (status, err) == (2, f"{where}{told}\n")


@pytest.mark.parametrize("error", ERRORS)
def test_a_shutdown_that_breaks(paifang: Paifang, listed: Path, error: str) -> None:
    listed.write_text(f"{HOOK}def shutdown(app):\n    raise {error}\n")
    status, out, err = paifang("ledger", "verify")
    assert (status, out) == (0, "the ledger agrees with itself\n")
    assert '"plugin":"./mine.py","hook":"shutdown"' in err


PARROT = """
from proxy import NoOptions, hookimpl

class Parrot:
    name, base_url, signer, simulated = "parrot", "http://127.0.0.1:9", "none", False
    options, prompt_overhead_tokens = NoOptions, 0
    def open(self, chat, target):
        raise {error}

@hookimpl
def register_adapters(register):
    register(Parrot())
"""
BIRD = """
providers: {bird: {adapter: parrot}}
models: {polly: {family: birds, free: true, routes: [{name: cage, provider: bird, model: p}]}}
plugins: [./mine.py]
"""


@pytest.mark.parametrize(("error", "told"), ERRORS.items())
def test_an_adapter_that_breaks(paifang: Paifang, listed: Path, error: str, told: str) -> None:
    write(listed.parent, BIRD)
    listed.write_text(PARROT.format(error=error))
    status, out, err = paifang("check", "--live")
    assert status == 1
    assert f"the adapter 'parrot' failed at mine.py:8: {told}" in out + err
    status, out, err = paifang("explain", "polly")
    assert (status, "plugin_error" in out + err) == (1, True), out + err
