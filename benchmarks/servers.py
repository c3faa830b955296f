"""What the load stands on: the C programs built, every server of the benchmark started, pinned and ended."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
PROXY_CORE, LOAD_CORE = 0, 1
"""The proxy under test has a core of its own; upstream and load share the other one."""
START_TIMEOUT_S = 20
KEY = "sk-bench-0000000000000000000000000000"


class BenchmarkError(Exception):
    """The benchmark can't run; the message names the remedy."""


def pinned(core: int) -> list[str]:
    """The prefix that keeps a command on one core; empty where there is none to spare or no taskset."""
    enough = (os.cpu_count() or 1) > LOAD_CORE and shutil.which("taskset")
    return ["taskset", "-c", str(core)] if enough else []


def build(program: str, folder: Path) -> Path:
    """Compile one of the C programs beside this file; returns the binary."""
    binary = folder / program
    command = ["cc", "-O2", "-D_GNU_SOURCE", "-o", str(binary), str(HERE / f"{program}.c")]
    subprocess.run(command, check=True)
    return binary


def free_port() -> int:
    """A port that nothing listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A server under test or under load: a process that listens on a port of 127.0.0.1."""

    def __init__(self, command: Sequence[str], port: int, core: int, log: Path) -> None:
        self.port = port
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [*pinned(core), *command], stdout=output, stderr=output, cwd=log.parent
            )
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not self._listens():
            if self.process.poll() is not None or time.monotonic() > deadline_s:
                self.stop()
                raise BenchmarkError(
                    f"{command[0]} did not start:\n{log.read_text(errors='replace')[-2000:]}"
                )
            time.sleep(0.05)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def resident_bytes(self) -> int:
        """Memory that the process holds now."""
        listing = subprocess.run(
            ["ps", "-o", "rss=", "-p", str(self.process.pid)], capture_output=True, check=True
        )
        return int(listing.stdout) * 1024

    def stop(self) -> None:
        """End the process, by force after some seconds."""
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start_bare_proxy(upstream_port: int, folder: Path) -> Server:
    """The yardstick."""
    port = free_port()
    command = [sys.executable, str(HERE / "bare_proxy.py"), str(port), f"http://127.0.0.1:{upstream_port}"]
    return Server(command, port, PROXY_CORE, folder / "bare_proxy.log")


def start_gateway(upstream_port: int, folder: Path, *, ledger: bool) -> Server:
    """The gateway with one model, one route and one key, and an empty store in `folder`.

    Args: ledger: with the built-in chain and a budget on the key; without, nothing is reserved or metered.
    """
    port = free_port()
    budget = ", budget: {daily_usd: 1000000, monthly_usd: 1000000}" if ledger else ""
    chain = "" if ledger else "plugins: [virtual_keys, model_scope, routing, metrics, access_log]\n"
    config = folder / "gateway.yaml"
    config.write_text(
        f"""\
store: {{url: "sqlite:///{folder}/bench.db"}}
providers:
  upstream:
    adapter: openai_chat
    base_url: http://127.0.0.1:{upstream_port}/v1
    api_key: upstream-key-00000000
models:
  bench:
    family: bench
    context_tokens: 262144
    max_output_tokens: 16384
    price: {{input: 0.70, output: 2.80, cached_input: 0.14}}
    routes:
      - {{name: upstream, provider: upstream, model: bench-upstream}}
keys:
  - {{name: bench, key: {KEY}{budget}}}
{chain}"""
    )
    command = [
        sys.executable,
        "-m",
        "proxy",
        "serve",
        "-c",
        str(config),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    return Server(command, port, PROXY_CORE, folder / "gateway.log")
