"""`paifang tail`, as a process beside a gateway that comes and goes."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from tests.e2e import files, processes

SECTIONS: dict[str, Any] = {
    "server": {"drain_timeout_s": 2},
    "providers": {"simulator": files.SIMULATOR},
    "models": {"m": files.model(files.route("sim", "simulator"))},
    "keys": [files.key("ci", files.KEY)],
}
Tail = Callable[..., tuple["Queue[str]", "Queue[str]"]]


@pytest.fixture
def tail(tmp_path: Path) -> Iterator[Tail]:
    """`out, err = tail("--json")`: what a running `paifang tail` prints, line by line."""
    started: list[subprocess.Popen[str]] = []

    def start(*options: str) -> tuple[Queue[str], Queue[str]]:
        command = [sys.executable, "-m", "proxy", "tail", *options, "-c", str(tmp_path / "gateway.yaml")]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=processes.clean_environ())
        started.append(process)
        return lines_of(process.stdout), lines_of(process.stderr)

    yield start
    for process in started:
        process.terminate()
        process.communicate(timeout=10)


def lines_of(stream: Any) -> Queue[str]:
    lines: Queue[str] = Queue()

    def read() -> None:
        for line in stream:
            lines.put(line.rstrip("\n"))

    threading.Thread(target=read, daemon=True).start()
    return lines


def ask(gateway: processes.GatewayProcess, model: str = "m") -> None:
    body = json.dumps({"model": model, "messages": files.HI}).encode()
    headers = {"authorization": f"Bearer {files.KEY}", "content-type": "application/json"}
    try:
        urllib.request.urlopen(urllib.request.Request(f"{gateway.url}/v1/chat/completions", body, headers)).close()
    except urllib.error.HTTPError as refused:
        refused.close()


def test_it_waits_for_a_gateway_follows_it_and_finds_its_successor(tail: Tail, tmp_path: Path) -> None:
    file = files.write(tmp_path, **SECTIONS)
    out, err = tail("--json")
    assert err.get(timeout=20).startswith("no gateway runs on ")
    for _ in range(2):
        gateway = processes.start(file)
        assert err.get(timeout=20) == "following"
        ask(gateway)
        event = json.loads(out.get(timeout=20))
        assert (event["event"], event["key"], event["model"], event["status"]) == ("request", "ci", "m", 200)
        assert gateway.stop() == 0
        assert err.get(timeout=20) == "the gateway went away: connecting again"


def test_errors_alone_as_tab_separated_lines(tail: Tail, tmp_path: Path) -> None:
    gateway = processes.start(files.write(tmp_path, **SECTIONS))
    try:
        out, err = tail("--errors")
        assert out.get(timeout=20).split("\t")[:3] == ["at", "status", "key"]
        assert err.get(timeout=20) == "following"
        ask(gateway)
        ask(gateway, "unknown")
        assert out.get(timeout=20).split("\t")[1:4] == ["404", "ci", "-"]
    finally:
        gateway.stop()


FAILS = "from proxy import hookimpl\n@hookimpl\ndef observe(ctx, outcome):\n    raise ValueError('no')\n"


def test_what_every_worker_serves_is_told_and_what_fails_there_is_counted(tail: Tail, tmp_path: Path) -> None:
    (tmp_path / "fails.py").write_text(FAILS)
    plugins = ["virtual_keys", "routing", "metering", "metrics", "./fails.py"]
    file = files.write(tmp_path, **{**SECTIONS, "server": {"workers": 2, "drain_timeout_s": 2}, "plugins": plugins})
    gateway = processes.start(file)
    try:
        out, err = tail("--json")
        assert err.get(timeout=20) == "following"
        for _ in range(20):
            ask(gateway)
        told = {json.loads(out.get(timeout=20))["request_id"] for _ in range(20)}
        examined = gateway.cli("doctor", "--offline", "--json")
        with urllib.request.urlopen(f"{gateway.url}/metrics") as response:
            scraped = response.read().decode()
    finally:
        gateway.stop()
    assert len(told) == 20 and out.empty()
    findings = {finding["check"]: finding for finding in json.loads(examined.stdout)["findings"]}
    assert findings["plugin ./fails.py"]["message"] == "its observe has failed 20 times since the start"
    assert 'paifang_plugin_failures_total{hook="observe",plugin="./fails.py"} 20.0' in scraped
