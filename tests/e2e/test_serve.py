"""`paifang serve` as a process: the demo key, the curl line, reload, a second gateway, the end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from tests.e2e import processes
from tests.proxy.gateways import SIMULATED, WITH_STATIC_KEY, write
from tests.system_tools import needs

Start = Callable[..., "Serving"]


class Serving:
    """A gateway's process, and what it has said."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - it lives as long as the process
        command = [sys.executable, "-m", "proxy", "serve", "--port", "0", *arguments]
        environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        self.process = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=self.log, text=True, env=environ
        )
        self.lines: list[str] = []

    def says(self, start: str) -> str:
        """The rest of the next line on standard output that begins so."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if line.startswith(start):
                return line.removeprefix(start).strip()
        raise AssertionError(f"{start!r} was never said: {self.lines} {self.logged()}")

    def logged(self) -> str:
        self.log.seek(0)
        return self.log.read()

    def logs(self, text: str, within_s: float = 5) -> None:
        deadline_s = time.monotonic() + within_s
        while text not in self.logged():
            assert time.monotonic() < deadline_s, self.logged()
            time.sleep(0.05)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(10)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Serving] = []

    def begin(text: str = SIMULATED, *arguments: str) -> Serving:
        write(tmp_path, text)
        started.append(Serving(tmp_path, *arguments))
        return started[-1]

    yield begin
    for serving in started:
        serving.process.kill()
        serving.process.communicate()
        serving.log.close()


def chat(address: str, key: str, **body: object) -> Request:
    content = json.dumps({"model": "seed", "messages": [{"role": "user", "content": "Hi"}], **body}).encode()
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    return Request(f"{address}/v1/chat/completions", content, headers)


@needs("curl")
def test_the_curl_line_of_the_demo_key_works_as_pasted_and_only_once(start: Start, tmp_path: Path) -> None:
    first = start()
    key = first.says("demo key, shown this once: ")
    line = first.says("try it: ")
    answer = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert json.loads(answer.stdout)["model"] == "seed"
    assert first.end() == 0
    assert key not in first.logged()
    assert not list(tmp_path.glob("*.sock"))
    second = start()
    assert second.says("make another key: ") == "python -m proxy keys create NAME"
    assert not any(line.startswith("demo key") for line in second.lines)
    assert second.end(signal.SIGINT) == 0


def test_a_chat_before_the_first_start_takes_no_demo_key_away(start: Start, tmp_path: Path) -> None:
    file = write(tmp_path, SIMULATED)
    assert processes.paifang(("chat", "seed", "Hello"), file).returncode == 0
    assert start().says("demo key, shown this once: ").startswith("sk-pf-")


def test_a_file_with_keys_gets_no_demo_key(start: Start) -> None:
    serving = start(WITH_STATIC_KEY)
    serving.says("Paifang ")
    serving.end()
    assert serving.process.stdout is not None
    assert "sk-pf-" not in serving.process.stdout.read()


def test_where_every_key_of_the_file_is_off_it_says_how_to_make_one(start: Start) -> None:
    serving = start(SIMULATED + "keys: [{name: ci, key: '${NO_SUCH_KEY:-}'}]\n")
    assert serving.says("make a key: ") == "python -m proxy keys create NAME"


def test_a_changed_file_is_taken_and_a_broken_one_refused(start: Start, tmp_path: Path) -> None:
    serving = start()
    address = serving.says("Paifang ").split()[3]
    key = serving.says("demo key, shown this once: ")
    write(tmp_path, SIMULATED.replace("  other:", "  newer:"))
    serving.logs("gateway.yaml was reloaded", within_s=4)  # 2 s is promised; the machine may be busy
    with urlopen(chat(address, key, model="newer")) as answer:
        assert answer.status == 200
    write(tmp_path, SIMULATED + "bogus: 1\n")
    serving.logs("the old one goes on", within_s=4)  # 2 s is promised; the machine may be busy
    assert "gateway.yaml:15:1: bogus: unknown key" in serving.logged()
    with urlopen(chat(address, key, model="newer")) as answer:
        assert answer.status == 200
    serving.process.send_signal(signal.SIGHUP)
    deadline_s = time.monotonic() + 4
    while serving.logged().count("the old one goes on") < 2:
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    assert serving.end() == 0


def test_a_gateway_whose_store_is_renamed_in_the_file_is_reached_and_told_of(start: Start, tmp_path: Path) -> None:
    serving = start(SIMULATED + "store: {url: sqlite:///books.db}\n")
    address = serving.says("Paifang ").split()[3]
    write(tmp_path, SIMULATED + "store: {url: sqlite:///new.db}\n")
    serving.logs("the old one goes on", within_s=4)  # 2 s is promised; the machine may be busy
    told = "the running gateway refused it, and goes on with the one it read at 20"
    for command in ("check", "doctor --offline"):
        out = processes.paifang(command.split(), tmp_path / "gateway.yaml").stdout
        assert told in out and "gateway.yaml:15:9: store.url: changing this needs a restart" in out
    made = json.loads(processes.paifang(("keys", "create", "a", "--json"), tmp_path / "gateway.yaml").stdout)
    with urlopen(chat(address, made["key"])) as answer:
        assert answer.status == 200
    assert not (tmp_path / "new.db").exists()
    (tmp_path / "gateway.yaml").unlink()
    assert processes.paifang(("models",), tmp_path / "gateway.yaml").returncode == 0
    assert serving.end() == 0
    assert not list(tmp_path.glob("*.sock"))


def test_a_dotenv_that_appears_is_read(start: Start, tmp_path: Path) -> None:
    serving = start()
    serving.says("note: provider relay is off")
    (tmp_path / ".env").write_text("RELAY_KEY=sk-from-the-file\n")
    serving.logs("gateway.yaml was reloaded", within_s=4)  # 2 s is promised; the machine may be busy
    command = [sys.executable, "-m", "proxy", "routes"]
    routes = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    )
    assert "seed\treal\trelay\topenai_chat\tm\t1\t1\tserving" in routes.stdout


def test_running_streams_end_before_it_does(start: Start) -> None:
    serving = start(SIMULATED.replace("adapter: simulator", "adapter: simulator, words: 20, chunk_delay_ms: 50", 1))
    address = serving.says("Paifang ").split()[3]
    key = serving.says("demo key, shown this once: ")
    with urlopen(chat(address, key, stream=True)) as answer:
        answer.readline()
        serving.process.send_signal(signal.SIGTERM)
        rest = answer.read()
    assert rest.endswith(b"data: [DONE]\n\n")
    assert serving.process.wait(10) == 0


def test_a_taken_port_and_a_taken_store_have_remedies(start: Start, tmp_path: Path) -> None:
    serving = start()
    port = int(serving.says("Paifang ").split()[3].rpartition(":")[2])
    second = start(SIMULATED)
    assert second.process.wait(10) == 2
    assert f"a gateway serves this store already (process {serving.process.pid} at http://127.0.0.1:{port})" in second.logged()
    third = start(SIMULATED + "store: {url: sqlite:///other.db}\n", "--port", str(port))
    assert third.process.wait(10) == 2
    assert third.logged() == f"port {port} is taken: stop what runs there or use --port {port + 1}\n"
