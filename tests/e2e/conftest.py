"""Gateways over real sockets: `gateway` and `serve` in the test's own loop, `gateway_process` in a process of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proxy.clock import Clock
from proxy.gateway import Gateway
from tests.e2e import files, processes
from tests.fakes import FakeArk, FakeOpenAI


@dataclass(frozen=True)
class Answered:
    """A response that was read to its end."""

    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw)

    @property
    def error(self) -> Any:
        return self.json["error"]

    @property
    def events(self) -> list[Any]:
        """The JSON of each event; [DONE] as text."""
        data = [line.removeprefix("data: ") for line in self.raw.decode().split("\n\n") if line.startswith("data: ")]
        return [text if text == "[DONE]" else json.loads(text) for text in data]


@dataclass
class Served:
    """A gateway in this process, and a client of it."""

    gateway: Gateway
    url: str
    session: aiohttp.ClientSession
    key: str = files.KEY
    tasks: frozenset[asyncio.Task[Any]] = field(default_factory=lambda: frozenset(asyncio.all_tasks()))
    """Those that ran when it had started."""

    def open(self, body: Any, **headers: str) -> Any:
        """`async with served.open(body) as response`: a chat request, its answer not read yet."""
        sent = {"authorization": f"Bearer {self.key}", **headers}
        return self.session.post("/v1/chat/completions", json=body, headers=sent)

    async def chat(self, model: str = "doubao-seed", *, key: str = "", headers: Any = None, **fields: Any) -> Answered:
        """Ask, and read the answer to its end."""
        sent = {"authorization": f"Bearer {key or self.key}", **(headers or {})}
        body = {"model": model, "messages": files.HI, **fields}
        return await self.ask("POST", "/v1/chat/completions", json=body, headers=sent)

    async def ask(self, method: str, path: str, **more: Any) -> Answered:
        async with self.session.request(method, path, **more) as response:
            return Answered(response.status, response.headers, await response.read())

    async def metric(self, name: str, **labels: str) -> float:
        """The sum over the samples of a metric that have these labels."""
        from prometheus_client.parser import text_string_to_metric_families

        text = (await self.ask("GET", "/metrics")).raw.decode()
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())


Serve = Callable[..., Awaitable[Served]]


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Serve]:
    """`served = await serve(providers=…, models=…, keys=…)`: a gateway on these sections of gateway.yaml."""
    async with AsyncExitStack() as stack:
        count = 0

        async def start(environ: Mapping[str, str] | None = None, clock: Clock | None = None, **sections: Any) -> Served:
            nonlocal count
            count += 1
            folder = tmp_path / f"gateway{count}"
            folder.mkdir()
            for name, text in sections.pop("also", {}).items():
                (folder / name).write_text(text)
            gateway = await Gateway.open(files.write(folder, **sections), environ or {}, clock)
            stack.push_async_callback(gateway.close)
            url = f"http://127.0.0.1:{await gateway.listen('127.0.0.1', 0)}"
            session = await stack.enter_async_context(aiohttp.ClientSession(url))
            return Served(gateway, url, session)

        yield start


@pytest.fixture
async def gateway(serve: Serve, fake_ark: FakeArk, fake_openai: FakeOpenAI) -> Served:
    """A gateway on the standard sections, before `fake_ark` and `fake_openai`."""
    return await serve(**files.standard(fake_ark, fake_openai))


@dataclass
class Fakes:
    """Providers that outlive a test's loop."""

    ark: FakeArk = field(default_factory=FakeArk)
    openai: FakeOpenAI = field(default_factory=FakeOpenAI)


@pytest.fixture(scope="module")
def fakes() -> Iterator[Fakes]:
    """Fake providers in threads of their own, shared by a module."""
    made = Fakes()
    with made.ark.run_in_thread(), made.openai.run_in_thread():
        yield made


StartProcess = Callable[..., processes.GatewayProcess]


@pytest.fixture(scope="module")
def gateway_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartProcess]:
    """`process = gateway_process(folder=None, environ=None, **sections)`: a real `paifang serve`.

    The folder of an earlier one starts it again on what that left behind.
    """
    with ExitStack() as stack:

        def start(
            folder: Path | None = None, environ: Mapping[str, str] | None = None, **sections: Any
        ) -> processes.GatewayProcess:
            folder = folder or tmp_path_factory.mktemp("gateway")
            file = files.write(folder, **sections) if sections else folder / "gateway.yaml"
            made = processes.start(file, environ)
            stack.callback(made.stop)
            return made

        yield start


@pytest.fixture(scope="module")
def shared_process(gateway_process: StartProcess, fakes: Fakes) -> processes.GatewayProcess:
    """One `paifang serve` on the standard sections for a whole module."""
    return gateway_process(**files.standard(fakes.ark, fakes.openai))
