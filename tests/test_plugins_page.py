"""docs/plugins.md, run: every file of it is written as shown, loaded as a plugin, and does what the page says."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from secrets import token_hex
from typing import Any

import aiohttp
import pytest
import yaml
from aiohttp import web

from proxy.boot import load
from proxy.explain import Explainer
from proxy.gateway import Gateway
from tests.e2e import files
from tests.e2e.processes import clean_environ
from tests.markdown import ROOT, Block, blocks

PAGE = ROOT / "docs/plugins.md"
PYTHON = blocks(PAGE, "python")
FAILING = {"adapter": "simulator", "fail": {"status": 500}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for block in PYTHON:
        (tmp_path / block.name).write_text(block.text)
    return tmp_path


def write(folder: Path, *, listed: Any = None, **sections: Any) -> Path:
    standard = {
        "providers": {"good": files.SIMULATOR, "failing": FAILING},
        "models": {
            "m": files.model(files.route("a", "good"), files.route("b", "good")),
            "flat": files.model(files.route("flat", "good")),
            "failing": files.model(files.route("failing", "failing")),
            "vectors": files.model(files.route("v", "good"), task="embeddings"),
        },
        "keys": [files.key("all", files.KEY)],
    }
    return files.write(folder, **{**standard, **sections}, plugins=listed)


def chain(number: int) -> Any:
    """The `plugins:` list of a yaml block of the page."""
    listings = [yaml.safe_load(block.text) for block in blocks(PAGE, "yaml")]
    return [listing["plugins"] for listing in listings if "plugins" in listing][number]


def test_every_block_of_python_names_its_file() -> None:
    names = [block.name for block in PYTHON]
    assert all(names) and len(set(names)) == len(names)


@pytest.mark.parametrize("block", [block for block in PYTHON if not block.name.startswith("test_")], ids=str)
def test_every_file_is_valid_and_listed(block: Block, folder: Path) -> None:
    options = {name: given for entry in chain(1) if isinstance(entry, dict) for name, given in entry.items()}
    own = f"./{block.name}"
    assert own in {*options, *(entry for entry in chain(1) if isinstance(entry, str))}
    loaded = load(write(folder, listed=["virtual_keys", {own: options.get(own)}]), {})
    assert loaded.registry.plugin_hooks(own)


def test_the_tests_of_the_page_pass(folder: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rp", "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml"),
         "--rootdir", str(folder), str(folder)],
        cwd=folder, env=clean_environ(), capture_output=True, text=True,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stdout
    written = re.findall(r"^def (test_\w+)", PAGE.read_text(), re.MULTILINE)
    of_the_kit = "TestParrot::test_adapter[parrot-text_stream-cuts_do_not_show]"
    assert [name for name in [*written, of_the_kit] if f"::{name}\n" not in answer.stdout] == []


def test_the_policy_of_the_readme_is_valid(folder: Path) -> None:
    (block,) = [block for block in blocks(ROOT / "README.md", "python") if block.name]
    (folder / block.name).write_text(block.text)
    loaded = load(write(folder, listed=["virtual_keys", f"./{block.name}"]), {})
    assert loaded.registry.plugin_hooks(f"./{block.name}") == {"authorize"}


def test_the_packages_entry_points_are_of_the_groups_that_are_looked_at() -> None:
    (block,) = blocks(PAGE, "toml")
    points = tomllib.loads(block.text)["project"]["entry-points"]
    assert points.keys() == {"paifang.plugins", "paifang.adapters"}


def test_the_command_of_a_plugin(folder: Path) -> None:
    write(folder, listed=["virtual_keys", "./remind.py"])
    command = [sys.executable, "-m", "proxy", "remind", "--name", "Ada"]
    answer = subprocess.run(command, cwd=folder, env=clean_environ(), capture_output=True, text=True, check=True)
    assert answer.stdout == "Dear Ada: set `user` in every request.\n"


class Caller:
    """A client of one gateway."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session

    async def chat(self, model: str = "m", *, headers: Any = None, **fields: Any) -> tuple[int, Any, Any]:
        """Status, body and headers of an answer."""
        body = {"model": model, "messages": files.HI, "user": "ada", **fields}
        sent = {"authorization": f"Bearer {files.KEY}"} if headers is None else headers
        return await self._post("/v1/chat/completions", body, sent)

    async def embed(self, given: Any) -> tuple[int, Any, Any]:
        body = {"model": "vectors", "input": given, "user": "ada"}
        return await self._post("/v1/embeddings", body, {"authorization": f"Bearer {files.KEY}"})

    async def _post(self, path: str, body: Any, headers: Any) -> tuple[int, Any, Any]:
        async with self.session.post(path, json=body, headers=headers) as response:
            return response.status, await response.json(), response.headers


Open = Callable[..., Awaitable[Caller]]
Told = asyncio.Queue[Any]


@pytest.fixture
async def opened(folder: Path) -> AsyncIterator[Open]:
    async with AsyncExitStack() as stack:

        async def open_(environ: dict[str, str], **sections: Any) -> Caller:
            store = {"url": f"sqlite:///{token_hex(4)}.db", "durability": "process"}
            gateway = await Gateway.open(write(folder, **sections, store=store), environ)
            stack.push_async_callback(gateway.close)
            port = await gateway.listen("127.0.0.1", 0)
            return Caller(await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{port}")))

        yield open_


@pytest.fixture
async def hooked() -> AsyncIterator[tuple[str, Told]]:
    """A server on loopback: as a webhook it notes what it is told, as a parrot it answers."""
    told: Told = asyncio.Queue()

    async def hear(request: web.Request) -> web.Response:
        told.put_nowait(await request.json())
        return web.json_response({"id": "p1", "words": "Hi, Hi!", "cut": False, "heard": 1, "spoken": 3})

    app = web.Application()
    app.router.add_post("/{path:.*}", hear)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}", told
    await runner.cleanup()


async def test_the_policy_in_a_minute(opened: Open) -> None:
    caller = await opened({}, listed=chain(0))
    status, body, _ = await caller.chat(user=None)
    assert (status, body["error"]["code"], body["error"]["param"]) == (403, "field_missing", "user")
    assert (await caller.chat())[0] == 200


async def test_the_whole_chain(opened: Open, hooked: tuple[str, Told]) -> None:
    url, told = hooked
    caller = await opened({"WEBHOOK_URL": url}, listed=chain(1))
    status, answer, headers = await caller.chat(enable_thinking=True)
    assert status == 200 and not answer["choices"][0]["message"].get("reasoning_content")
    assert answer["usage"]["completion_tokens_details"]["reasoning_tokens"] > 0
    # stay_put: one user, one route, whoever's turn it is
    assert {(await caller.chat())[2]["x-paifang-route"] for _ in range(3)} == {headers["x-paifang-route"]}
    # flat_fee
    assert (await caller.chat("flat"))[2]["x-paifang-cost-usd"] == "0.000005"
    # signed_in, and its scope
    assert (await caller.chat(headers={"x-forwarded-user": "ada"}))[0] == 200
    assert (await caller.chat(headers={}))[0] == 401
    # short_answers, no_pictures
    status, body, _ = await caller.chat(max_tokens=501)
    assert (status, body["error"]["param"]) == (400, "max_tokens")
    picture = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    status, body, _ = await caller.chat(messages=[{"role": "user", "content": [picture]}])
    assert (status, body["error"]["code"]) == (400, "unsupported_parameter")
    # embeddings go through the same guards
    assert [(await caller.embed(given))[0] for given in ("hi", ["hi", "ho"], [1, 2])] == [200] * 3
    status, body, _ = await caller.embed([{"type": "text", "text": "hi"}, picture])
    assert (status, body["error"]["param"]) == (400, "input")
    # webhook
    assert (await caller.chat("failing"))[0] == 502
    async with asyncio.timeout(5):
        assert (await told.get())["code"] == "upstream_error"
    # about
    async with caller.session.get("/about") as response:
        assert await response.json() == {"contact": "gateway-team@example.com"}


async def test_house_rules_and_one_at_a_time(opened: Open) -> None:
    listed = ["virtual_keys", {"./one_at_a_time.py": {"most": 0}}, "budget", "routing", "metering"]
    status, body, headers = await (await opened({}, listed=listed)).chat()
    assert (status, body["error"]["code"], headers["retry-after"]) == (429, "rate_limit_exceeded", "1")
    plain = await opened({}, listed=["virtual_keys", "routing", "metering"])
    ruled = await opened({}, listed=["virtual_keys", "./house_rules.py", "routing", "metering"])
    longer = [(await caller.chat())[1]["usage"]["prompt_tokens"] for caller in (plain, ruled)]
    assert longer[0] < longer[1]


@pytest.mark.parametrize(("most", "code"), [(0, "rate_limit_exceeded"), (1, None)])
async def test_one_at_a_time_foresees(folder: Path, most: int, code: str | None) -> None:
    file = write(folder, listed=["virtual_keys", {"./one_at_a_time.py": {"most": most}}, "routing", "metering"])
    gateway = await Gateway.open(file, {})
    told = await Explainer(gateway.app, gateway.pipeline, gateway.transport).explain("m", "all", None)
    await gateway.close()
    assert (told.left[0]["param"], told.left[0]["left"]) == ("at_once", most)
    assert (told.refusal and told.refusal["code"]) == code


async def test_slow_log(opened: Open, capsys: pytest.CaptureFixture[str]) -> None:
    caller = await opened({}, listed=["virtual_keys", "routing", "metering", {"./slow_log.py": {"over_s": 0}}])
    _, _, headers = await caller.chat()
    async with asyncio.timeout(5):
        while f"slow: {headers['x-request-id']} took 0.0 s on " not in capsys.readouterr().err:
            await asyncio.sleep(0.01)


async def test_the_adapter(opened: Open, hooked: tuple[str, Told]) -> None:
    url, told = hooked
    sections = next(found for block in blocks(PAGE, "yaml") if "providers" in (found := yaml.safe_load(block.text)))
    listed = ["virtual_keys", "routing", "metering", "./parrot.py"]
    caller = await opened({"PARROT_URL": url, "PARROT_KEY": "k"}, listed=listed, **sections)
    status, answer, headers = await caller.chat("ara", temperature=1, user=None)
    assert (status, answer["choices"][0]["message"]["content"]) == (200, "Hi, Hi!")
    assert (answer["usage"]["total_tokens"], headers["x-paifang-dropped"]) == (4, "temperature")
    assert told.get_nowait() == {"voice": "ara-macao", "lines": ["hi"], "most": 16384}
