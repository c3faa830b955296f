"""A real Prometheus scrapes the gateway, answers queries about it and takes the rules of examples/."""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.e2e import files, processes
from tests.e2e.conftest import StartProcess
from tests.markdown import ROOT
from tests.system_tools import needs

EXAMPLES = ROOT / "examples"
START_S = 30


@pytest.fixture(scope="module")
def gateway(gateway_process: StartProcess) -> processes.GatewayProcess:
    return gateway_process(
        server={"drain_timeout_s": 2},
        providers={"simulator": files.SIMULATOR},
        models={"m": files.model(files.route("sim", "simulator"))},
        keys=[files.key("ci", files.KEY)],
    )


@pytest.fixture(scope="module")
def prometheus(gateway: processes.GatewayProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Prometheus on the example's configuration, which scrapes the gateway every half second."""
    folder = tmp_path_factory.mktemp("prometheus")
    text = (EXAMPLES / "prometheus.yml").read_text()
    config = text.replace("127.0.0.1:8080", f"127.0.0.1:{gateway.port}").replace("15s", "500ms")
    (folder / "prometheus.yml").write_text(config)
    (folder / "alerts.yml").write_text((EXAMPLES / "alerts.yml").read_text())
    port = processes.free_port()
    command = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log, cwd=folder)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(20)


def ask(gateway: processes.GatewayProcess) -> None:
    body = json.dumps({"model": "m", "messages": files.HI}).encode()
    headers = {"authorization": f"Bearer {files.KEY}", "content-type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(f"{gateway.url}/v1/chat/completions", body, headers)).close()


def answered(prometheus: str, path: str, until: Any) -> Any:
    """What Prometheus answers, once that is as it should be."""
    deadline = time.monotonic() + START_S
    while True:
        try:
            with urllib.request.urlopen(f"{prometheus}/api/v1/{path}", timeout=5) as response:
                data = json.load(response)["data"]
        except OSError:
            data = None  # it is starting
        if data is not None and until(data):
            return data
        assert time.monotonic() < deadline, data
        time.sleep(0.2)


def query(prometheus: str, text: str, until: Any) -> list[Any]:
    found: list[Any] = answered(
        prometheus, f"query?{urllib.parse.urlencode({'query': text})}", lambda data: until(data["result"])
    )["result"]
    return found


@needs("prometheus")
def test_it_scrapes_the_gateway_and_answers(gateway: processes.GatewayProcess, prometheus: str) -> None:
    for _ in range(3):
        ask(gateway)
    (result,) = query(prometheus, 'sum by (model, route) (paifang_requests_total{status="200"})',
                      lambda found: found and found[0]["value"][1] == "3")  # fmt: skip
    assert result["metric"] == {"model": "m", "route": "sim"}
    (up,) = query(prometheus, 'up{job="paifang"}', bool)
    assert up["value"][1] == "1"
    quantile = "histogram_quantile(0.5, sum by (le) (paifang_route_latency_seconds_bucket))"
    (half,) = query(prometheus, quantile, bool)
    assert 0 < float(half["value"][1]) < 60
    (target,) = answered(prometheus, "targets", lambda data: data["activeTargets"])["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")


@needs("prometheus")
def test_it_evaluates_every_rule_and_none_fires(gateway: processes.GatewayProcess, prometheus: str) -> None:
    def evaluated(data: Any) -> bool:
        return bool(data["groups"]) and all(rule["health"] == "ok" for rule in data["groups"][0]["rules"])

    (group,) = answered(prometheus, "rules", evaluated)["groups"]
    names = [rule["alert"] for rule in yaml.safe_load((EXAMPLES / "alerts.yml").read_text())["groups"][0]["rules"]]
    assert [rule["name"] for rule in group["rules"]] == names
    assert {rule["state"] for rule in group["rules"]} == {"inactive"}


@needs("promtool")
@pytest.mark.parametrize("check", [("config", "prometheus.yml"), ("rules", "alerts.yml")], ids=lambda check: check[0])
def test_promtool_takes_the_examples(check: tuple[str, str]) -> None:
    kind, name = check
    done = subprocess.run(["promtool", "check", kind, str(EXAMPLES / name)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_name_metrics_and_labels_that_exist() -> None:
    section = (ROOT / "README.md").read_text().partition("\n## Metrics\n")[2]
    documented = {
        name: set(labels.split(",")) - {""} for name, labels in re.findall(r"`(paifang_\w+)(?:\{([\w,]+)\})?`", section)
    }
    rules = yaml.safe_load((EXAMPLES / "alerts.yml").read_text())["groups"][0]["rules"]
    used = [use for rule in rules for use in re.findall(r"(paifang_\w+)(?:\{([^}]*)\})?", rule["expr"])]
    assert len(used) > 10
    for name, matchers in used:
        metric = name.removesuffix("_bucket")
        assert metric in documented
        assert set(re.findall(r"(\w+)[=!]", matchers)) <= documented[metric]
