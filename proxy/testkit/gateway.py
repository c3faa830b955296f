"""A whole gateway in the test's own process, on a free port: for plugins and adapters, all the way."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from proxy.gateway import Gateway

KEY = "sk-testkit-may-use-everything"
_SECTIONS = {
    "store": "{url: 'sqlite:///testkit.db', durability: process}",
    "providers": "{simulator: {adapter: simulator}}",
    "models": "{test: {family: test, price: {input: 1, output: 2}, routes: [{provider: simulator, model: test}]}}",
    "keys": f"[{{name: testkit, key: {KEY}}}]",
}


@dataclass(frozen=True)
class Answered:
    """What a client got."""

    status: int
    body: Any
    """The JSON; of a stream its text, as far as it came."""
    headers: Mapping[str, str]


@dataclass(frozen=True)
class RunningGateway:
    """A gateway that listens, and a client of it."""

    url: str
    """Without a path: "http://127.0.0.1:34567"."""
    session: aiohttp.ClientSession
    key: str = KEY

    @property
    def base_url(self) -> str:
        """For SDKs: with /v1."""
        return f"{self.url}/v1"

    async def chat(self, *, model: str = "test", headers: Mapping[str, str] | None = None, **fields: Any) -> Answered:
        """POST /v1/chat/completions.

        Args: headers: None sends the key; a mapping is sent as it is. fields: of the body; `messages` may be left out.
        """
        body = {"model": model, "messages": [{"role": "user", "content": "Hi"}], **fields}
        sent = {"authorization": f"Bearer {self.key}"} if headers is None else headers
        async with self.session.post(f"{self.base_url}/chat/completions", json=body, headers=sent) as response:
            if response.content_type == "application/json":
                return Answered(response.status, await response.json(), response.headers)
            text = b""
            try:
                async for piece in response.content.iter_any():
                    text += piece
            except aiohttp.ClientPayloadError:
                pass  # the gateway breaks a stream off to say that it isn't whole
            return Answered(response.status, text.decode(), response.headers)


@asynccontextmanager
async def running(
    folder: Path,
    sections: str | Mapping[str, Any] = "",
    *,
    beside: Iterable[Path] = (),
    environ: Mapping[str, str] | None = None,
) -> AsyncIterator[RunningGateway]:
    """Start a gateway on this gateway.yaml, and stop it at the end.

    Of the sections, `store`, `keys` and `providers` with `models` may be left out: a store in `folder`, KEY, and the model
    `test` of the simulator are added.

    Args: folder: an empty one, such as pytest's tmp_path. sections: the file's text, or its sections by name.
        beside: files to be copied into the folder, such as plugins that are listed as `./….py`.
        environ: for `${NAME}`; the process's own is not read.
    Raises: ConfigError: the configuration is wrong; it names every line.
    """
    file = await asyncio.to_thread(_write, folder, sections, beside)
    gateway = await Gateway.open(file, environ or {})
    try:
        port = await gateway.listen("127.0.0.1", 0)
        async with aiohttp.ClientSession() as session:
            yield RunningGateway(f"http://127.0.0.1:{port}", session)
    finally:
        await gateway.close()


def _write(folder: Path, sections: str | Mapping[str, Any], beside: Iterable[Path]) -> Path:
    for path in beside:
        shutil.copy(path, folder)
    if not isinstance(sections, str):  # JSON is YAML, without its anchors
        sections = "\n".join(f"{name}: {json.dumps(section)}" for name, section in sections.items())
    given = (yaml.safe_load(sections) or {}).keys()
    whole = {"providers", "models"}
    left_out = [name for name in _SECTIONS if name not in (given | whole if given & whole else given)]
    file = folder / "gateway.yaml"
    # The author's lines come first, so that problems name them by their number.
    file.write_text("\n".join([sections, *(f"{name}: {_SECTIONS[name]}" for name in left_out), ""]))
    return file
