"""A real gateway in the test's own process, reached through its control socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from proxy.control import Caller, at
from proxy.gateway import Gateway

SIMULATED = """
providers:
  sim: {adapter: simulator}
  relay: {adapter: openai_chat, base_url: "http://127.0.0.1:9/v1", api_key: "${RELAY_KEY:-}"}
models:
  seed:
    family: doubao
    aliases: [doubao]
    price: {input: 0.7, output: 2.8}
    routes: [{name: real, provider: relay, model: m}, {provider: sim, model: m}]
  other:
    family: qwen
    free: true
    routes: [{provider: sim, model: m}]
"""
STATIC_KEY = "sk-static-0123456789-0123456789"
WITH_STATIC_KEY = SIMULATED + f"wallets: {{team: {{}}}}\nkeys: [{{name: ci, key: {STATIC_KEY}, families: [doubao]}}]\n"


def write(folder: Path, text: str) -> Path:
    """The text as a gateway.yaml of this folder."""
    file = folder / "gateway.yaml"
    file.write_text(text)
    return file


@asynccontextmanager
async def opened(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> AsyncIterator[tuple[Gateway, Caller]]:
    """A gateway on this text that listens on a control socket, and a caller of its admin API."""
    gateway = await Gateway.open(write(folder, text), environ or {})
    try:
        await gateway.listen_control(folder / "c.sock")
        async with at(folder / "c.sock") as caller:
            yield gateway, caller
    finally:
        await gateway.close()
