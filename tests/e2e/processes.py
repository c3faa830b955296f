"""The gateway as its users run it: `python -m proxy serve` in a process of its own."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

START_S = 20
ROOT = Path(__file__).parents[2]


@dataclass
class GatewayProcess:
    """A running gateway. Its standard output and error are in `log`."""

    file: Path
    port: int
    process: subprocess.Popen[bytes]
    log: Path
    environ: Mapping[str, str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `paifang` on the same gateway.yaml."""
        return paifang(arguments, self.file, self.environ)

    def kill(self) -> None:
        """SIGKILL: no chance to tidy up."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; returns the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the gateway did not end within 10 s:\n{self.log.read_text()}") from None


def start(file: Path, environ: Mapping[str, str] | None = None) -> GatewayProcess:
    """Start a gateway and wait until it is ready. Raises: AssertionError with its output if that fails."""
    port = free_port()
    environ = clean_environ() | dict(environ or {})
    log = file.parent / f"gateway-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "proxy", "serve", "-c", str(file), "--port", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environ,
            cwd=file.parent,
        )
    gateway = GatewayProcess(file, port, process, log, environ)
    deadline = time.monotonic() + START_S
    while not ready(port):
        if process.poll() is not None or time.monotonic() > deadline:
            gateway.kill()
            raise AssertionError(f"the gateway did not start (status {process.returncode}):\n{log.read_text()}")
        time.sleep(0.02)
    return gateway


def taking_over(running: GatewayProcess) -> GatewayProcess:
    """`paifang serve --takeover` in place of a running gateway, once it serves."""
    log = running.file.parent / "next.log"
    with log.open("wb") as output:
        command = [sys.executable, "-m", "proxy", "serve", "--takeover", "-c", str(running.file)]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=running.environ, cwd=log.parent
        )
    deadline = time.monotonic() + START_S
    while "listens on" not in log.read_text():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise AssertionError(f"it did not take over (status {process.returncode}):\n{log.read_text()}")
        time.sleep(0.02)
    return GatewayProcess(running.file, running.port, process, log, running.environ)


def paifang(arguments: Sequence[str], file: Path, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command of `paifang` on a gateway.yaml."""
    return subprocess.run(
        [sys.executable, "-m", "proxy", *arguments, "-c", str(file)],
        capture_output=True,
        text=True,
        env=dict(environ or clean_environ()),
        cwd=file.parent,
        timeout=30,
        check=False,
    )


def clean_environ() -> dict[str, str]:
    """This process's environment without anything that could name a provider or a proxy."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "SYSTEMROOT")
    return {name: os.environ[name] for name in kept if name in os.environ} | {"PYTHONPATH": str(ROOT)}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def ready(port: int) -> bool:
    """Whether /readyz says so."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=2)) as connection:
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
