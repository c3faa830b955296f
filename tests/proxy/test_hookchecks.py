"""What a plugin's hooks may look like; what is wrong with one is said with its line and the remedy."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from proxy.chain import Chain
from proxy.config import PluginLoadError
from proxy.faults import log_fault
from proxy.registry import Registry
from tests.plugins.targets import context
from tests.proxy.conftest import Paifang
from tests.proxy.gateways import SIMULATED, write

HEAD = "from proxy import hookimpl\n"


def problem_of(folder: Path, text: str) -> str:
    """What is wrong with a plugin's file of this text."""
    (folder / "mine.py").write_text(HEAD + text)
    with pytest.raises(PluginLoadError) as caught:
        Registry(["./mine.py"], folder).plugin_model("./mine.py")
    told = str(caught.value)
    assert told.startswith("plugin './mine.py' is not valid: ")
    return told.removeprefix("plugin './mine.py' is not valid: ")


@pytest.mark.parametrize(
    ("parameters", "names"),
    [
        ("ctx, config={}", ("ctx",)),
        ("ctx, *, config={}", ("ctx",)),
        ("config=None, ctx=None", ("ctx",)),
        ("ctx=None, outcome=None, config={}", ("ctx", "outcome")),
        ("*, outcome, ctx=None, config", ("outcome", "ctx")),
    ],
)
async def test_what_has_a_default_arrives_as_well(tmp_path: Path, parameters: str, names: tuple[str, ...]) -> None:
    text = f"TOLD = []\n@hookimpl\ndef observe({parameters}):\n    TOLD.append(({', '.join(names)}, config))\n"
    (tmp_path / "mine.py").write_text(HEAD + text)
    registry = await asyncio.to_thread(Registry, ["./mine.py"], tmp_path)
    given: dict[str, Any] = {"ctx": context(), "outcome": "its end"}
    await Chain(registry.manager, {"./mine.py": {"strict": True}}, log_fault).notify("observe", given["ctx"], given["outcome"])
    mine = registry.object_of("./mine.py")
    assert [(*(given[name] for name in names), {"strict": True})] == mine.TOLD


def test_what_waits_gets_its_defaults_too(tmp_path: Path, paifang: Paifang) -> None:
    write(tmp_path, SIMULATED + "plugins: [virtual_keys, ./mine.py: {wanted: yes please}]\n")
    text = "@hookimpl\ndef startup(app=None, config={}):\n    raise OSError(config['wanted'])\n"
    (tmp_path / "mine.py").write_text(HEAD + text)
    assert "OSError: yes please" in paifang("ledger", "verify")[2]


@pytest.mark.parametrize(
    ("hook", "told"),
    [
        ("observe(context)", "asks for 'context', but observe has ctx, outcome, config: did you mean \"ctx\"?"),
        ("observe(ctx, outcom=None)", "asks for 'outcom', but observe has ctx, outcome, config: did you mean \"outcome\"?"),
        ("authorize(ctx, *, options={})", "asks for 'options', but authorize has ctx, config"),
        ("authorize(*args)", "asks for '*args', but authorize has ctx, config"),
        ("authorize(ctx, **rest)", "asks for '**rest', but authorize has ctx, config"),
        ("config_model(config=None)", "asks for 'config', but config_model has no arguments"),
        ("shutdown(app, config)", "asks for 'config', but shutdown has app"),
        ("authorize(ctx, /)", "takes 'ctx' by position alone, and arguments come by name: remove the /"),
    ],
)
def test_a_parameter_that_the_hook_does_not_have(tmp_path: Path, hook: str, told: str) -> None:
    name = hook.partition("(")[0]
    assert problem_of(tmp_path, f"@hookimpl\ndef {hook}: ...\n") == f"mine.py:3: its hook '{name}' {told}"


def test_every_problem_of_a_plugin_is_told(tmp_path: Path) -> None:
    text = "@hookimpl\ndef authorize(request): ...\n\n@hookimpl\nasync def observe(ctx, *rest): ...\n"
    told = problem_of(tmp_path, text)
    assert "mine.py:3: its hook 'authorize' asks for 'request'" in told
    assert "; mine.py:6: its hook 'observe' asks for '*rest'" in told


def test_a_decorated_hook_has_the_parameters_of_what_it_wraps(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        HEAD + "import functools\ndef counted(function):\n"
        "    @functools.wraps(function)\n    def wrapper(*args, **kwargs):\n        return function(*args, **kwargs)\n"
        "    return wrapper\n@hookimpl\n@counted\ndef authorize(ctx, config={}): ...\n"
    )
    assert Registry(["./mine.py"], tmp_path).plugin_hooks("./mine.py") == {"authorize"}


def test_the_list_alone_says_who_goes_first(tmp_path: Path) -> None:
    assert problem_of(tmp_path, "@hookimpl(tryfirst=True)\ndef authorize(ctx): ...\n") == (
        "mine.py:3: its hook 'authorize' is tryfirst, but the list plugins: says who goes first: "
        "remove tryfirst and list the plugin further up"
    )
    (tmp_path / "last.py").write_text(HEAD + "@hookimpl(trylast=True)\ndef authorize(ctx): ...\n")
    assert Registry(["./last.py"], tmp_path).plugin_hooks("./last.py") == {"authorize"}


@pytest.mark.parametrize("hook", ["config_model", "register_adapters", "register_routes", "register_commands"])
def test_what_registers_is_a_plain_def(tmp_path: Path, hook: str) -> None:
    parameters = "" if hook == "config_model" else "register"
    told = problem_of(tmp_path, f"@hookimpl\nasync def {hook}({parameters}): ...\n")
    assert told == f"mine.py:3: its hook '{hook}' is an async def, which nobody awaits here: it must be a plain def"


@pytest.mark.parametrize("hook", ["startup", "shutdown"])
def test_what_starts_and_ends_may_wait(tmp_path: Path, hook: str) -> None:
    (tmp_path / "mine.py").write_text(HEAD + f"@hookimpl\nasync def {hook}(app): ...\n")
    assert Registry(["./mine.py"], tmp_path).plugin_hooks("./mine.py") == {hook}


@pytest.mark.parametrize(
    ("parameters", "remedy"), [("ctx", "self, ctx"), ("", "self"), ("ctx, config={}", "self, ctx, config={}")]
)
def test_a_method_without_self(tmp_path: Path, parameters: str, remedy: str) -> None:
    text = f"class Mine:\n    @hookimpl\n    def authorize({parameters}): ...\nauthorize = Mine().authorize\n"
    assert problem_of(tmp_path, text) == (
        f"mine.py:4: its hook 'authorize' is a method without self: write def authorize({remedy})"
    )


def test_a_misspelt_hook_names_the_nearest_and_its_line(tmp_path: Path) -> None:
    told = problem_of(tmp_path, "\n@hookimpl\ndef authorise(ctx): ...\n")
    assert told == "mine.py:4: it has a hook 'authorise' that does not exist: did you mean \"authorize\"?"
    told = problem_of(tmp_path, "@hookimpl\ndef billing(ctx): ...\n")
    assert told.startswith("mine.py:3: it has a hook 'billing' that does not exist; the hooks are authenticate, authorize, ")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Forbiden", "proxy has no 'Forbiden': did you mean \"Forbidden\"?"),
        ("Zebra", "proxy has no 'Zebra'; docs/plugins.md lists what it has"),
    ],
)
def test_a_public_name_that_is_none(tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / "mine.py").write_text(f"import os\nfrom proxy import {name}, hookimpl\n")
    with pytest.raises(PluginLoadError) as caught:
        Registry(["./mine.py"], tmp_path).plugin_model("./mine.py")
    assert str(caught.value) == f"./mine.py:2: {told}"


def test_check_names_both_places(paifang: Paifang, tmp_path: Path) -> None:
    write(tmp_path, SIMULATED + "plugins: [virtual_keys, ./mine.py]\n")
    (tmp_path / "mine.py").write_text(HEAD + "@hookimpl\ndef observe(context): ...\n")
    status, _, err = paifang("check")
    assert status == 2
    assert err == (
        "gateway.yaml:15:25: plugins[1]: plugin './mine.py' is not valid: mine.py:3: its hook 'observe' asks for 'context', "
        'but observe has ctx, outcome, config: did you mean "ctx"?\n'
    )


def test_a_hook_that_is_not_marked_is_noted(paifang: Paifang, tmp_path: Path) -> None:
    write(tmp_path, SIMULATED + "plugins: [virtual_keys, ./mine.py]\n")
    (tmp_path / "mine.py").write_text(HEAD + "@hookimpl\ndef authorize(ctx): ...\ndef observe(ctx): ...\n")
    status, out, _ = paifang("check")
    assert status == 0
    assert (
        "note: gateway.yaml:15:25: plugins[1]: plugin './mine.py': mine.py:4: observe has the name of a hook and no @hookimpl, "
        "so it is not called as one: mark it, or name it otherwise\n"
    ) in out
    assert paifang("check")[1].count("no @hookimpl") == 1
