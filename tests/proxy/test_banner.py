"""The lines to paste."""

from __future__ import annotations

import json
import shlex
from datetime import date
from pathlib import Path

import pytest

from proxy.banner import banner, curl_line, is_loopback, reachable
from proxy.boot import compile_loaded, load
from tests.proxy.gateways import SIMULATED, write


def test_the_curl_line_survives_a_shell() -> None:
    words = shlex.split(curl_line("http://h:1", "sk-pf-x", "it's a 豆包"))
    assert words[:4] == ["curl", "http://h:1/v1/chat/completions", "-H", "Authorization: Bearer sk-pf-x"]
    assert json.loads(words[-1])["model"] == "it's a 豆包"


@pytest.mark.parametrize(
    ("host", "loopback", "address"),
    [
        ("127.0.0.1", True, "http://127.0.0.1:8080"),
        ("127.1.2.3", True, "http://127.1.2.3:8080"),
        ("localhost", True, "http://localhost:8080"),
        ("::1", True, "http://[::1]:8080"),
        ("0.0.0.0", False, "http://127.0.0.1:8080"),
        ("::", False, "http://127.0.0.1:8080"),
        ("192.168.1.5", False, "http://192.168.1.5:8080"),
        ("example.com", False, "http://example.com:8080"),
    ],
)
def test_hosts(host: str, loopback: bool, address: str) -> None:
    assert (is_loopback(host), reachable(host, 8080)) == (loopback, address)


def test_what_the_operator_should_know(tmp_path: Path) -> None:
    file = write(tmp_path, SIMULATED + "plugins: [routing]\n")
    notices = "\n".join(compile_loaded(load(file, {})).notices)
    assert "provider relay is off: its api_key is empty (set RELAY_KEY)" in notices
    assert "model seed is answered by the simulator: no other route of it has a credential (RELAY_KEY)" in notices
    assert "model other is answered by the simulator: it has no other route that is enabled" in notices
    assert "no plugin of the chain authenticates" in notices
    assert "no plugin of the chain meters" in notices


def test_what_to_set_for_real_answers(tmp_path: Path) -> None:
    text = """
providers:
  sim: {adapter: simulator}
  ark: {adapter: ark, access_key: "${VOLC_ACCESSKEY:-}", secret_key: "${VOLC_SECRETKEY:-}", region: cn-beijing}
  relay: {adapter: openai_chat, base_url: "http://127.0.0.1:9/v1", api_key: ""}
models:
  m:
    family: f
    free: true
    routes: [{provider: sim, model: m}, {provider: ark, model: m}, {provider: relay, model: m}]
  only: {family: f, free: true, routes: [{provider: sim, model: m}]}
"""
    off = "  idle: {family: f, free: true, routes: [{provider: ark, model: m}]}\nkeys: [{name: ci, key: '${CI_KEY:-}'}]\n"
    snapshot = compile_loaded(load(write(tmp_path, text + off), {}))
    models, notices = snapshot.models, "\n".join(snapshot.notices)
    assert "none of its routes is enabled and has a credential (set VOLC_ACCESSKEY and VOLC_SECRETKEY)" in notices
    assert "key ci is off: its value is empty (set CI_KEY)" in notices
    assert models["m"].pool[0].lacking == ("VOLC_ACCESSKEY and VOLC_SECRETKEY", "providers.relay.api_key")
    assert models["only"].pool[0].lacking == ()


def test_it_tells_what_has_aged(tmp_path: Path) -> None:
    file = write(tmp_path, SIMULATED + "exchange_rates: {CNY: {usd: 0.14, date: 2026-01-01}}\n")
    lines = list(banner(compile_loaded(load(file, {})), "0.1.0", "http://h:1", file, date(2026, 11, 22)))
    assert lines[0] == f"Paifang 0.1.0 listens on http://h:1 with {file}"
    assert lines[-1] == "note: the exchange rate for CNY is of 2026-01-01, 325 days old: write today's under exchange_rates"
