"""A plugin that pip installs, and one that is a file: with every right that the built-in ones have."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest

import proxy
from tests.e2e import files
from tests.e2e.conftest import Fakes, StartProcess
from tests.e2e.processes import ROOT, GatewayProcess

PACKAGE = Path(__file__).parent / "third_party"
GUEST = "guests-may-enter"
MESSAGES: Any = files.HI


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed the package."""
    source = tmp_path_factory.mktemp("source") / "package"
    shutil.copytree(PACKAGE, source, ignore=shutil.ignore_patterns("__pycache__"))
    target = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    environ = os.environ | {"PIP_NO_INPUT": "1", "PIP_NO_INDEX": "1"}
    done = subprocess.run(
        [*pip, "--no-build-isolation", "--target", str(target), str(source)],
        capture_output=True,
        text=True,
        env=environ,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture(scope="module")
def house(gateway_process: StartProcess, fakes: Fakes, site: Path, tmp_path_factory: pytest.TempPathFactory) -> GatewayProcess:
    """A gateway whose chain is the package alone."""
    folder = tmp_path_factory.mktemp("house")
    options = {"diary": str(folder / "diary"), "guest_key": GUEST, "prefer": "second"}
    return gateway_process(
        folder,
        environ={"PYTHONPATH": os.pathsep.join([str(site), str(ROOT)])},
        providers={"ark": files.ark(fakes.ark), "relay": files.relay(fakes.openai)},
        models={
            "doubao-seed": files.model(
                files.route("first", "ark", files.ARK_MODEL), files.route("second", "relay"), family="doubao"
            )
        },
        plugins=[{"house_rules": options}],
    )


@pytest.fixture
def guest(house: GatewayProcess) -> Iterator[openai.OpenAI]:
    headers = {"x-guest": GUEST}
    with openai.OpenAI(api_key="none", base_url=f"{house.url}/v1", max_retries=0, default_headers=headers) as made:
        yield made


def test_it_imports_nothing_but_public_names() -> None:
    tree = ast.parse((PACKAGE / "house_rules.py").read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "proxy":
            assert node.module == "proxy" and {alias.name for alias in node.names} <= set(proxy.__all__)
        if isinstance(node, ast.Import):
            assert not any(alias.name.partition(".")[0] == "proxy" for alias in node.names)


def test_it_knows_its_guests(house: GatewayProcess, guest: openai.OpenAI) -> None:
    assert guest.chat.completions.create(model="doubao-seed", messages=MESSAGES).model == "doubao-seed"
    with (
        openai.OpenAI(api_key="sk-pf-x", base_url=f"{house.url}/v1", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError),
    ):
        stranger.chat.completions.create(model="doubao-seed", messages=MESSAGES)


def test_it_denies(guest: openai.OpenAI) -> None:
    with pytest.raises(openai.PermissionDeniedError) as caught:
        guest.chat.completions.create(model="doubao-seed", messages=[{"role": "user", "content": "the forbidden word"}])
    assert caught.value.code == "house_rule"


def test_it_routes_transforms_and_meters(guest: openai.OpenAI, fakes: Fakes) -> None:
    asked: Any = [{"role": "user", "content": "write to a@b.c"}]
    raw = guest.chat.completions.with_raw_response.create(model="doubao-seed", messages=asked)
    answer: Any = raw.parse()
    assert raw.headers["x-paifang-route"] == "second"
    assert "a@b.c" not in str(fakes.openai.requests[-1].body) and "[email]" in str(fakes.openai.requests[-1].body)
    assert answer.choices[0].message.content == "HELLO, YOU SAID: WRITE TO [EMAIL]"
    assert (answer.usage.cost, raw.headers["x-paifang-cost-usd"]) == (0.042, "0.042")


def test_it_transforms_streams(guest: openai.OpenAI) -> None:
    chunks = list(guest.chat.completions.create(model="doubao-seed", messages=MESSAGES, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "HELLO, YOU SAID: HI"
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_it_holds(house: GatewayProcess, guest: openai.OpenAI, fakes: Fakes) -> None:
    def ask(_: int) -> str:
        try:
            guest.chat.completions.create(model="doubao-seed", messages=MESSAGES)
        except openai.RateLimitError as error:
            assert error.response.headers["retry-after"] == "3"
            return str(error.code)
        return "ok"

    fakes.openai.delay(before_s=0.3)
    with ThreadPoolExecutor(4) as pool:
        answers = sorted(pool.map(ask, range(4)))
    fakes.openai.delay()
    assert answers == ["ok", *["rate_limit_exceeded"] * 3]
    assert rules(house)["taken"] == 0


def test_it_gives_back_what_came_to_nothing(house: GatewayProcess, guest: openai.OpenAI, fakes: Fakes) -> None:
    fakes.ark.fail_next(500, "InternalServiceError", "oops", times=3)
    fakes.openai.fail_next(500, "server_error", "oops", times=3)
    with pytest.raises(openai.InternalServerError):
        guest.chat.completions.create(model="doubao-seed", messages=MESSAGES)
    assert rules(house)["taken"] == 0


def test_it_observes(house: GatewayProcess, guest: openai.OpenAI) -> None:
    diary = house.file.parent / "diary"
    guest.chat.completions.create(model="doubao-seed", messages=MESSAGES)
    with pytest.raises(openai.NotFoundError):
        guest.chat.completions.create(model="gpt-17", messages=MESSAGES)
    deadline = time.monotonic() + 2  # observers are told after the client
    while "model_not_found" not in (text := diary.read_text()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [json.loads(line) for line in text.splitlines()[-2:]] == [
        {"who": "guest", "status": 200, "code": ""},
        {"who": "guest", "status": 404, "code": "model_not_found"},
    ]


def test_it_serves_a_path_of_its_own(house: GatewayProcess) -> None:
    assert rules(house)["version"]


def test_its_options_are_checked_with_their_place(house: GatewayProcess, tmp_path: Path) -> None:
    text = house.file.read_text().replace('"prefer":', '"preffer":')
    (tmp_path / "gateway.yaml").write_text(text)
    wrong = GatewayProcess(tmp_path / "gateway.yaml", 0, house.process, house.log, house.environ).cli("check")
    assert wrong.returncode == 2
    told = wrong.stdout + wrong.stderr
    assert "gateway.yaml:" in told and "preffer" in told and "prefer" in told and "Traceback" not in told


def test_it_is_listed(house: GatewayProcess) -> None:
    assert "house_rules" in house.cli("plugins").stdout


def rules(house: GatewayProcess) -> Any:
    with urllib.request.urlopen(f"{house.url}/house/rules", timeout=5) as response:
        return json.load(response)


POLICY = '''
"""Refuses what has an address in it, and counts what it let through."""

from proxy import BadRequest, hookimpl


@hookimpl
async def authorize(ctx, config):
    text = str(ctx.chat.body["messages"])
    for field in config["fields"]:
        if field in text:
            raise BadRequest(f"Leave the {field} out.", code="policy", param="messages")


@hookimpl
def transform_request(ctx, body):
    return {**body, "user": ctx.principal.id}
'''


def test_a_plugin_that_is_a_file(gateway_process: StartProcess, fakes: Fakes, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("policy")
    (folder / "my_policy.py").write_text(POLICY)
    made = gateway_process(
        folder,
        **{**files.standard(fakes.ark, fakes.openai), "keys": [files.key("all", files.KEY)]},
        plugins=["virtual_keys", "model_scope", "routing", {"./my_policy.py": {"fields": ["email"]}}],
    )
    with openai.OpenAI(api_key=files.KEY, base_url=f"{made.url}/v1", max_retries=0) as client:
        client.chat.completions.create(model="relayed", messages=MESSAGES)
        assert (fakes.openai.requests[-1].body or {})["user"] == "all"
        with pytest.raises(openai.BadRequestError) as caught:
            client.chat.completions.create(model="relayed", messages=[{"role": "user", "content": "my email"}])
    assert (caught.value.code, caught.value.param) == ("policy", "messages")
