"""examples/, run: every file is valid, says how to run it, and does what it says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, suppress
from datetime import date
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from proxy.aging import aging
from proxy.boot import load
from proxy.gateway import Gateway
from tests.e2e import files, processes
from tests.fakes import FakeArk, FakeOpenAI
from tests.fakes.families import fake
from tests.markdown import ROOT
from tests.system_tools import NODE_CLIENT, needs, needs_node_sdk

EXAMPLES = ROOT / "examples"
PACKAGES = ("plugin_hello", "adapter_custom")
QUICK = '\nstore: {url: "sqlite:///examples.db", durability: process}\n'
CONFIGURATIONS = sorted(EXAMPLES.glob("*.yaml"))
SINGLE_FILES = sorted(path for path in EXAMPLES.iterdir() if path.is_file())


def copied(name: str, folder: Path, also: str = "") -> Path:
    """A copy of an example's gateway.yaml, with a store that is quick, in a folder of its own."""
    text = (EXAMPLES / name).read_text()
    file = folder / "gateway.yaml"
    file.write_text((re.sub(r"^store:.*\n", "", text, flags=re.MULTILINE)) + QUICK + also)
    return file


@pytest.mark.parametrize("path", SINGLE_FILES, ids=lambda path: path.name)
def test_it_opens_with_how_to_run_it(path: Path) -> None:
    opening = "\n".join(path.read_text().splitlines()[:12])
    assert f"examples/{path.name}" in opening


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.name)
def test_a_configuration_is_valid_with_and_without_its_variables(path: Path, tmp_path: Path) -> None:
    names = re.findall(r"\$\{(\w+)", path.read_text())
    values = {name: f"{name.lower()}-0123456789-0123456789" for name in names if not name.endswith("_URL")}
    for environ in ({}, values):
        load(copied(path.name, tmp_path), environ)


def test_they_name_models_that_are_live_or_say_that_they_may_not_be() -> None:
    shipped = [*CONFIGURATIONS, ROOT / "gateway.yaml"]
    lines = [line for file in shipped for line in aging(load(file, {}).config, date(2026, 11, 22))]
    assert [line.split(" (")[0] for line in lines] == [
        "model zhinao: 360gpt2-pro may not be served by its vendor any more",
        "model yi: yi-lightning may not be served by its vendor any more",
    ]


async def streamed(response: aiohttp.ClientResponse) -> str:
    """What came of a stream, also where it was broken off."""
    text = ""
    with suppress(aiohttp.ClientPayloadError):
        async for line in response.content:
            text += line.decode()
    return text


Ask = Callable[..., Awaitable[tuple[int, Any, Mapping[str, str]]]]


@pytest.fixture
def gateways() -> list[Gateway]:
    """Those that `started` has started."""
    return []


@pytest.fixture
async def started(tmp_path: Path, gateways: list[Gateway]) -> AsyncIterator[Callable[..., Awaitable[Ask]]]:
    """`ask = await started(file, environ)`: a gateway on a file, and a client of it."""
    async with AsyncExitStack() as stack:

        async def start(file: Path, environ: Mapping[str, str] | None = None) -> Ask:
            gateway = await Gateway.open(file, environ or {})
            stack.push_async_callback(gateway.close)
            port = await gateway.listen("127.0.0.1", 0)
            session = await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{port}"))

            gateways.append(gateway)

            async def ask(model: str, key: str, **fields: Any) -> tuple[int, Any, Mapping[str, str]]:
                body = {"model": model, "messages": files.HI, **fields}
                headers = {"authorization": f"Bearer {key}"}
                async with session.post("/v1/chat/completions", json=body, headers=headers) as response:
                    whole = await streamed(response) if fields.get("stream") else await response.json()
                    return response.status, whole, response.headers

            return ask

        yield start


async def test_faults_do_what_their_comments_say(started: Any, tmp_path: Path) -> None:
    ask = await started(copied("try_faults.yaml", tmp_path))
    key = "sk-only-for-trying-things-out"
    status, _, headers = await ask("falls-back", key)
    assert (status, headers["x-paifang-attempts"], headers["x-paifang-route"]) == (200, "3", "good")
    status, body, headers = await ask("busy", key)
    assert (status, body["error"]["code"], headers["retry-after"]) == (429, "upstream_rate_limited", "2")
    status, text, _ = await ask("breaks", key, stream=True)
    assert status == 200 and '"error"' in text and "[DONE]" not in text
    status, _, headers = await ask("breaks", key)
    assert (status, headers["x-paifang-attempts"], headers["x-paifang-route"]) == (502, "1", "breaks-off")
    routes = [(await ask("shared", key))[2]["x-paifang-route"] for _ in range(4)]
    assert sorted(routes) == ["left", "left", "left", "right"]
    status, body, _ = await ask("dear", key)
    assert (status, body["error"]["code"], body["error"]["param"]) == (429, "budget_exceeded", "key.daily")


async def test_a_team_has_its_scopes_and_budgets(started: Any, tmp_path: Path) -> None:
    keys = {name: f"sk-{name.lower()}-0123456789-0123456789" for name in ("DEV_KEY", "CI_KEY", "ANALYTICS_KEY")}
    ask = await started(copied("team_budgets.yaml", tmp_path), keys)
    allowed = {
        name: [model for model in ("doubao-seed", "deepseek-flash") if (await ask(model, key))[0] == 200]
        for name, key in keys.items()
    }
    assert allowed == {
        "DEV_KEY": ["doubao-seed", "deepseek-flash"],
        "CI_KEY": ["doubao-seed"],
        "ANALYTICS_KEY": ["deepseek-flash"],
    }


VENDORS = {
    "DEEPSEEK": "deepseek", "MOONSHOT": "kimi", "DASHSCOPE": "qwen", "ZHIPUAI": "glm", "QIANFAN": "ernie",
    "TOKENHUB": "hunyuan", "MINIMAX": "minimax", "STEP": "stepfun", "BAICHUAN": "baichuan", "SPARK": "spark",
    "SENSENOVA": "sensenova", "MAAS": "pangu", "ZHINAO": "zhinao", "YI": "yi", "INTERNLM": "internlm", "LONGCAT": "longcat",
}  # fmt: skip
"""{prefix of the environment's names: family}."""


async def test_seventeen_families_answer_one_key(started: Any, tmp_path: Path) -> None:
    one_key = "sk-one-key-0123456789-0123456789"
    async with AsyncExitStack() as stack:
        ark = await stack.enter_async_context(FakeArk())
        environ = {"GATEWAY_KEY": one_key, "ARK_BASE_URL": ark.base_url, "ARK_API_KEY": ark.key}
        for prefix, family in VENDORS.items():
            vendor = await stack.enter_async_context(fake(family))
            name = "SPARK_API_PASSWORD" if family == "spark" else f"{prefix}_API_KEY"
            environ |= {f"{prefix}_BASE_URL": vendor.base_url, name: vendor.key}
        ask = await started(copied("seventeen_families.yaml", tmp_path), environ)
        for family in ("doubao", *VENDORS.values()):
            status, body, headers = await ask(family, one_key)
            assert (family, status, body["choices"][0]["message"]["content"]) == (family, 200, "Hello, you said: hi")
            assert (body["model"], headers["x-paifang-route"]) == (family, "ark" if family == "doubao" else family)
            status, text, _ = await ask(family, one_key, stream=True)
            assert status == 200 and text.endswith("data: [DONE]\n\n") and '"error"' not in text


async def test_a_pool_of_three_kinds_of_places(started: Any, gateways: list[Gateway], tmp_path: Path) -> None:
    also = f"keys: [{{name: examples, key: {files.KEY}}}]\n"
    async with AsyncExitStack() as stack:
        ark, own, relay = [await stack.enter_async_context(each) for each in (FakeArk(), fake("deepseek"), FakeOpenAI())]
        places = {"ARK": ark, "DEEPSEEK": own, "RELAY": relay}
        environ = {f"{name}_BASE_URL": place.base_url for name, place in places.items()}
        environ |= {"ARK_API_KEY": ark.key, "DEEPSEEK_API_KEY": own.key, "RELAY_KEY": relay.key}
        ask = await started(copied("mixed_pool.yaml", tmp_path, also), environ)
        routes = [(await ask("deepseek", files.KEY))[2]["x-paifang-route"] for _ in range(3)]
        assert sorted(routes) == ["ark", "own", "own"]
        own.key = ark.key = "sk-changed-over-night"
        status, body, headers = await ask("deepseek", files.KEY)
        assert (status, body["model"], headers["x-paifang-route"]) == (200, "deepseek", "relay")
        logged = await gateways[0].store.requests.page(0, 2**62, {}, limit=9)
    debits = {row.route: row.debit for row in logged}
    costs = {row.route: row.cost for row in logged}
    # The vendor's own price is the model's; Ark's, in yuan, is another.
    assert costs["own"] == debits["own"] > 0 and costs["relay"] is None
    assert costs["ark"] not in (None, 0, debits["ark"])


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[processes.GatewayProcess]:
    """`paifang serve` on minimal.yaml, with a key."""
    also = f"keys: [{{name: examples, key: {files.KEY}}}]\n"
    process = processes.start(copied("minimal.yaml", tmp_path_factory.mktemp("minimal"), also))
    yield process
    process.stop()


def run(gateway: processes.GatewayProcess, *command: str, cwd: Path = ROOT) -> str:
    """What a client prints."""
    environ = processes.clean_environ() | {"OPENAI_BASE_URL": f"{gateway.url}/v1", "OPENAI_API_KEY": files.KEY}
    done = subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_openai_client(gateway: processes.GatewayProcess) -> None:
    told = run(gateway, sys.executable, "examples/client_openai.py")
    lines = ["models: doubao-seed", "answer: .+", r"cost: [\d.e-]+ USD", "stream: .+", r"stream cost: [\d.e-]+ USD",
             "route: simulator attempts: 1", "error: model_not_found model"]  # fmt: skip
    assert re.fullmatch("\n".join(lines) + "\n", told), told


def test_the_asynchronous_client(gateway: processes.GatewayProcess) -> None:
    told = run(gateway, sys.executable, "examples/client_async_stream.py")
    assert set(re.findall(r"What is (\d) squared\?\n  thought: [1-9]", told)) == {"3", "4", "5"}
    assert len(re.findall(r"  tokens: [1-9]", told)) == 3


def test_the_ark_client(gateway: processes.GatewayProcess) -> None:
    told = run(gateway, sys.executable, "examples/client_ark_sdk.py")
    assert re.fullmatch("answer: .+\ntokens: [1-9][0-9]*\nstream: .+\n", told), told


@needs_node_sdk()
def test_the_node_client(gateway: processes.GatewayProcess, tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / "client.mjs", tmp_path)
    (tmp_path / "node_modules").symlink_to(NODE_CLIENT / "node_modules")
    told = run(gateway, "node", "client.mjs", cwd=tmp_path)
    lines = ["answer: .+", r"cost: [\d.e-]+ USD", "stream: .+", "error: 404 model_not_found"]
    assert re.fullmatch("\n".join(lines) + "\n", told), told


@needs("curl")
def test_curl(gateway: processes.GatewayProcess) -> None:
    told = run(gateway, "sh", "examples/curl.sh")
    assert "x-paifang-route: simulator" in told.lower()
    for text in ('"id":"doubao-seed"', "data: [DONE]", '"code":"model_not_found"'):
        assert text in told


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both packages, built and unpacked as pip would."""
    wheels, site = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("site")
    for package in PACKAGES:
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels)]
        subprocess.run(command, cwd=EXAMPLES / package, check=True, capture_output=True)
    for wheel in wheels.glob("*.whl"):
        zipfile.ZipFile(wheel).extractall(site)
    return site


def test_the_packages_own_tests_pass(installed: Path) -> None:
    tests = [str(EXAMPLES / package / "tests") for package in PACKAGES]
    environ = processes.clean_environ()
    environ["PYTHONPATH"] += f"{os.pathsep}{installed}"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib", *tests]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout


class QuillServer:
    """The made-up provider: a job is done when it is asked for the second time."""

    def __init__(self) -> None:
        self.asked = 0

    async def answer(self, request: web.Request) -> web.Response:
        assert request.headers["authorization"] == "Bearer q"
        if request.method == "POST":
            return web.json_response({"job": "j1", "ask_again_ms": 10}, status=202)
        self.asked += 1
        if self.asked == 1:
            return web.json_response({"state": "working", "ask_again_ms": 10})
        return web.json_response({"state": "done", "text": "Written.", "cut": False, "read": 2, "wrote": 2})


@pytest.fixture
async def quill_url() -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/v1/{path:.*}", QuillServer().answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    await runner.cleanup()


async def test_the_packages_work_once_they_are_installed(
    started: Any, installed: Path, quill_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(installed)
    file = files.write(
        tmp_path,
        providers={"quill": {"adapter": "quill", "base_url": quill_url, "api_key": "q"}},
        models={"m": files.model(files.route("r", "quill"))},
        keys=[files.key("all", files.KEY)],
        plugins=["virtual_keys", {"hello": {"greeting": "Good morning"}}, "routing", "metering"],
    )
    ask = await started(file)
    status, body, headers = await ask("m", files.KEY)
    assert (status, body["choices"][0]["message"]["content"], headers["x-hello"]) == (200, "Written.", "Good morning")
    assert body["usage"]["total_tokens"] == 4
