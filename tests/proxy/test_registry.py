"""Plugins by entry point and by file; what can't be loaded says why and where."""

import os
import sys
from pathlib import Path

import pytest

from proxy.config import PluginLoadError
from proxy.registry import BUILTIN_CHAIN, Registry

HOOK = "from proxy import hookimpl\n@hookimpl\ndef authorize(ctx): ...\n"


def test_the_builtin_chain_is_found_through_entry_points(tmp_path: Path) -> None:
    registry = Registry(None, tmp_path)
    assert set(registry.names) == set(BUILTIN_CHAIN) & set(registry.plugin_names())
    assert {"openai_chat", "ark", "ark_messages", "ark_responses", "simulator"} <= set(registry.adapter_names())


def test_listing_is_complete_and_in_order(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("from proxy import hookimpl\n@hookimpl\ndef authorize(ctx): ...\n")
    registry = Registry(["model_scope", "./mine.py", "virtual_keys"], tmp_path)
    assert registry.names == ("model_scope", "./mine.py", "virtual_keys")
    called = [impl.plugin_name for impl in reversed(registry.manager.hook.authorize.get_hookimpls())]
    assert called == ["model_scope", "./mine.py"]


def test_what_is_listed_again_is_kept_unless_its_file_changed(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(HOOK + "VALUE = 1\n")
    first = Registry(["metrics", "./mine.py"], tmp_path)
    again = Registry(["metrics", "./mine.py"], tmp_path, first)
    assert again.object_of("metrics") is first.object_of("metrics")
    assert again.object_of("./mine.py") is first.object_of("./mine.py")
    file.write_text(HOOK + "VALUE = 22\n")
    changed = Registry(["metrics", "./mine.py"], tmp_path, again)
    assert changed.object_of("./mine.py").VALUE == 22


def test_a_file_is_read_anew_whatever_its_size_and_times_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    file = tmp_path / "mine.py"
    for value in (1, 2):
        file.write_text(HOOK + f"VALUE = {value}\n")
        os.utime(file, (1e9, 1e9))
        mine = Registry(["./mine.py"], tmp_path).object_of("./mine.py")
        assert value == mine.VALUE
    assert [path.name for path in tmp_path.iterdir()] == ["mine.py"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import nowhere_to_be_found\n", r"./mine.py:1: ModuleNotFoundError"),
        ("x = 1\ny = x / 0\n", r"./mine.py:2: ZeroDivisionError"),
        ("import sys\nsys.exit(3)\n", r"./mine.py:2: SystemExit: 3"),
        ("raise KeyboardInterrupt", r"./mine.py:1: KeyboardInterrupt"),
        (HOOK + "@hookimpl\ndef config_model(): raise SystemExit(3)\n", r"can't name its config_model: SystemExit: 3"),
        (HOOK + "@hookimpl\ndef config_model(): return 3\n", r"'./mine.py' has a config_model that answers with no"),
        ("from proxy import hookimpl\n@hookimpl\ndef authorize(ctx): yield\n", r"hook 'authorize' has a yield"),
        ("from proxy import hookimpl\n@hookimpl\nasync def observe(ctx): yield\n", r"hook 'observe' has a yield"),
        ("from proxy import hookimpl\n@hookimpl\ndef authorise(ctx): ...\n", r"hook 'authorise' that does not exist"),
        ("from proxy import hookimpl\n@hookimpl\ndef authorize(request): ...\n", r"request"),
        ("def authorize(ctx): ...\n", r"it has no hooks; mark its functions with @hookimpl"),
        ("from proxy import hookimpl\n@hookimpl(wrapper=True)\ndef authorize(ctx): yield\n", r"is a wrapper"),
    ],
)
def test_a_file_that_is_no_plugin_says_why(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "mine.py").write_text(text)
    registry = Registry(["./mine.py"], tmp_path)
    with pytest.raises(PluginLoadError, match=why):
        registry.plugin_model("./mine.py")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PluginLoadError, match="does not exist"):
        Registry(["./gone.py"], tmp_path).plugin_model("./gone.py")


def test_an_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(LookupError):
        Registry(["budgett"], tmp_path).plugin_model("budgett")


@pytest.mark.parametrize(
    ("adapter", "why"),
    [
        ("object()", r"adapter 'object' has no name, base_url, signer"),
        ("Parrot", r"adapter 'parrot' is a class: register an instance"),
        ("Parrot(signer='hmac')", r"names the signer 'hmac', expected one of bearer"),
        ("Parrot(options=dict)", r"options that are no pydantic model"),
        ("Lame()", r"adapter 'parrot' has an open\(self, chat\), which is called as open\(chat, target\)"),
        ("Lame(signer='hmac')", r"adapter 'parrot' names the signer 'hmac', .*; adapter 'parrot' has an open\(self, chat\)"),
        ("exit(3)", r"plugin './mine.py' can't register its adapters: SystemExit: 3"),
        ("1 / 0", r"plugin './mine.py' can't register its adapters: ZeroDivisionError"),
    ],
)
def test_an_adapter_that_lacks_something_is_named(tmp_path: Path, adapter: str, why: str) -> None:
    (tmp_path / "mine.py").write_text(
        "from proxy import NoOptions, hookimpl\n"
        "class Parrot:\n"
        "    name, base_url, simulated, prompt_overhead_tokens = 'parrot', None, False, 0\n"
        "    def __init__(self, signer='none', options=NoOptions):\n"
        "        self.signer, self.options = signer, options\n"
        "    def open(self, chat, target): ...\n"
        "class Lame(Parrot):\n    def open(self, chat): ...\n"
        f"@hookimpl\ndef register_adapters(register):\n    register({adapter})\n"
    )
    with pytest.raises(PluginLoadError, match=why):
        Registry(["./mine.py"], tmp_path)
