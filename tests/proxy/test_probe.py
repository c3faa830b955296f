"""`paifang check --live` against a fake Ark: the cheapest request, and what to do about a refusal."""

from __future__ import annotations

import ast
import asyncio
import re
from pathlib import Path

import pytest

import adapters
import proxy
from proxy.boot import compile_loaded, load
from proxy.probe import Probe, probe_all, to_operator
from proxy.yamltext import read
from tests.fakes import FakeArk
from tests.fakes.ark import KEY
from tests.proxy.gateways import write


def configuration(base_url: str, key: str = KEY, model: str = "doubao-seed-2-0-lite-260428") -> str:
    return f"""
providers:
  ark: {{adapter: ark, api_key: {key}, base_url: "{base_url}"}}
  spare: {{adapter: ark, base_url: "{base_url}", api_key: {key}}}
  keyless: {{adapter: ark, base_url: "{base_url}", api_key: "${{NO_SUCH_KEY:-}}"}}
  sim: {{adapter: simulator}}
models:
  seed: {{family: doubao, free: true, routes: [{{provider: ark, model: {model}}}]}}
"""


async def probed(folder: Path, text: str) -> dict[str, Probe]:
    file = write(folder, text)
    loaded = await asyncio.to_thread(load, file, {})
    return {probe.provider: probe for probe in await probe_all(compile_loaded(loaded))}


async def test_each_active_provider_is_asked_once_for_one_token(tmp_path: Path, fake_ark: FakeArk) -> None:
    probes = await probed(tmp_path, configuration(fake_ark.base_url))
    assert {name: probe.result for name, probe in probes.items()} == {
        "ark": "ok",
        "spare": "skipped",
        "keyless": "skipped",
        "sim": "skipped",
    }
    (request,) = fake_ark.requests
    assert request.body["max_completion_tokens"] == 1
    assert "max_tokens" not in request.body


@pytest.mark.parametrize(
    ("status", "code", "ours", "advice", "place"),
    [
        (404, "ModelNotOpen", "upstream_model_unavailable", "Open it in the provider's console.",
         "8:63: models.seed.routes[0].model"),
        (403, "AccountOverdueError", "upstream_quota_exhausted", "Top it up there.", "3:3: providers.ark"),
        (401, "AuthenticationError", "upstream_auth_failed", "Check the API key", "3:23: providers.ark.api_key"),
        (500, "InternalServerError", "upstream_error", "Check that base_url is the API's", "3:80: providers.ark.base_url"),
    ],
)  # fmt: skip
async def test_a_refusal_says_what_to_do_and_where(
    tmp_path: Path, fake_ark: FakeArk, status: int, code: str, ours: str, advice: str, place: str
) -> None:
    fake_ark.fail_next(status, code)
    text = configuration(fake_ark.base_url)
    probe = (await probed(tmp_path, text))["ark"]
    assert (probe.result, probe.code, probe.upstream["code"]) == ("refused", ours, code)
    assert advice in probe.message and "operator" not in probe.message
    assert probe.problem(read(text, "gateway.yaml")).place("gateway.yaml") == f"gateway.yaml:{place}"


def test_no_remedy_sends_the_operator_to_the_operator() -> None:
    files = [*Path(adapters.__file__).parent.glob("*.py"), *Path(proxy.__file__).parent.glob("volcengine_*.py")]
    told = [
        node.value
        for file in files
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.search("operator (must|can)", node.value)
    ]
    assert len(told) > 30
    assert [text for text in told if "operator" in to_operator(text)] == []


async def test_a_busy_provider_is_one_that_answers(tmp_path: Path, fake_ark: FakeArk) -> None:
    fake_ark.fail_next(429, "ServerOverloaded")
    probe = (await probed(tmp_path, configuration(fake_ark.base_url)))["ark"]
    assert probe.result == "ok"
    assert "busy" in probe.message


async def test_nobody_there(tmp_path: Path) -> None:
    probe = (await probed(tmp_path, configuration("http://127.0.0.1:9/api/v3")))["ark"]
    assert (probe.result, probe.code) == ("refused", "upstream_unreachable")
    assert "Check base_url" in probe.message
