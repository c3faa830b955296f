"""What plugins register: paths and commands, refused alike by `paifang check` and by a start, with both places."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.boot import load
from proxy.pluginpaths import handlers_of
from tests.proxy.conftest import Paifang
from tests.proxy.gateways import SIMULATED, write

HEAD = "from proxy import hookimpl\nasync def page(request): ...\n"
ROUTES = HEAD + "@hookimpl\ndef register_routes(register):\n    {}\n"
COMMANDS = HEAD + "@hookimpl\ndef register_commands(register):\n    {}\n"
PLACE = "gateway.yaml:15:34: plugins[2]: plugin './mine.py' can't register its"


@pytest.fixture(autouse=True)
def listed(in_its_folder: None, tmp_path: Path) -> Path:
    """The plugin's file; before it comes `metrics`."""
    write(tmp_path, SIMULATED + "plugins: [virtual_keys, metrics, ./mine.py]\n")
    return tmp_path / "mine.py"


METHODS = "CONNECT, DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT, TRACE, *"
OWN = "is the gateway's own: take one that is not under /v1/ or /admin/v1/, nor /healthz or /readyz"


@pytest.mark.parametrize("command", [("check",), ("serve", "--port", "0")])
@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("register('GET', '/metrics', page)", "GET /metrics is served by plugin 'metrics': take another path"),
        ("register('HEAD', '/metrics', page)", "HEAD /metrics is served by plugin 'metrics': take another path"),
        ("register('get', '/metrics', page)", "GET /metrics is served by plugin 'metrics': take another path"),
        ("register('*', '/metrics', page)", "* /metrics is served by plugin 'metrics': take another path"),
        ("register('GET', '/admin/v1/status', page)", f"/admin/v1/status {OWN}"),
        ("register('PUT', '/v1/{anything}', page)", f"/v1/{{anything}} {OWN}"),
        ("register('GET', '/healthz', page, listener='metrics')", f"/healthz {OWN}"),
        ("register('GET', '/readyz', page)", f"/readyz {OWN}"),
        ("register('FETCH', '/a', page)", f"the method is 'FETCH', expected one of {METHODS}"),
        ("register(None, '/a', page)", f"the method is None, expected one of {METHODS}"),
        ("register('GET', '/a', lambda request: None)", "the handler of GET /a is no async def"),
        ("register('GET', '/a', 'page')", "the handler of GET /a is no async def"),
        ("register('GET', 'a', page)", "ValueError: path should be started with / or be empty"),
        ("register('GET', '/a', page, listener='side')", "the listener is 'side', expected one of main, metrics"),
        ("raise OSError('no')", "OSError: no"),
    ],
)
def test_a_route_that_can_not_be(paifang: Paifang, listed: Path, call: str, told: str, command: tuple[str, ...]) -> None:
    listed.write_text(ROUTES.format(call))
    assert paifang(*command)[::2] == (2, f"{PLACE} routes at mine.py:5: {told}\n")


def test_every_plugin_that_can_not_register_is_told_of(paifang: Paifang, tmp_path: Path) -> None:
    write(tmp_path, SIMULATED + "plugins: [./a.py, ./b.py]\n")
    for name in ("a", "b"):
        (tmp_path / f"{name}.py").write_text(ROUTES.format(f"raise OSError('{name}')"))
    status, _, err = paifang("check")
    assert (status, [line.rpartition(" ")[2] for line in err.splitlines()]) == (2, ["a", "b"])


def test_paths_beside_the_gateways_are_free(listed: Path, tmp_path: Path) -> None:
    calls = ("'GET', '/console', page", "'post', '/console', page", "'GET', '/v1x', page", "'*', '/{rest:.*}', page")
    listed.write_text(ROUTES.format("; ".join(f"register({call})" for call in calls)))
    assert list(handlers_of(load(tmp_path / "gateway.yaml", {}))) == [
        ("GET", "/metrics"),
        ("GET", "/console"),
        ("POST", "/console"),
        ("GET", "/v1x"),
        ("*", "/{rest:.*}"),
    ]


COMMAND_FAULTS = [
    ("register('serve', print)", "'serve' is a command of Paifang: take another name"),
    ("register('hi', print); register('hi', print)", "'hi' is a command of plugin './mine.py': take another name"),
    ("register(5, print)", "expected a name and a function, found 5 and <built-in function print>"),
    ("register('hi', 5)", "expected a name and a function, found 'hi' and 5"),
    ("raise OSError('no')", "OSError: no"),
    ("raise SystemExit(3)", "SystemExit: 3"),
    ("raise KeyboardInterrupt", "KeyboardInterrupt"),
]


@pytest.mark.parametrize(("call", "told"), COMMAND_FAULTS)
def test_a_command_that_can_not_be(paifang: Paifang, listed: Path, call: str, told: str) -> None:
    listed.write_text(COMMANDS.format(call))
    line = f"{PLACE} commands at mine.py:5: {told}\n"
    assert paifang("check")[::2] == (2, line)
    status, out, err = paifang("--help")
    assert (status, err, "serve" in out) == (0, line, True)


def test_two_plugins_with_one_command(paifang: Paifang, tmp_path: Path) -> None:
    write(tmp_path, SIMULATED + "plugins: [./a.py, ./b.py]\n")
    for name in ("a", "b"):
        (tmp_path / f"{name}.py").write_text(COMMANDS.format(f"register('hi', lambda: print('{name}'))"))
    status, out, err = paifang("hi")
    assert (status, out) == (0, "a\n")
    assert "plugins[1]: plugin './b.py' can't register its commands at b.py:5: 'hi' is a command of plugin './a.py'" in err


def test_startup_names_the_line_of_the_list(paifang: Paifang, listed: Path) -> None:
    listed.write_text(HEAD + "@hookimpl\ndef startup(app):\n    raise OSError('no')\n")
    told = "gateway.yaml:15:34: plugins[2]: plugin './mine.py' failed in startup at mine.py:5: OSError: no\n"
    assert paifang("serve", "--port", "0")[::2] == (2, told)
