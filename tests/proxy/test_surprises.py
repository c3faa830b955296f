"""What `paifang check` says of a gateway.yaml that is valid."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.boot import compile_loaded, load
from proxy.surprises import surprises
from proxy.yamltext import read
from tests.proxy.gateways import write

URL = "http://127.0.0.1:9/v1"
POOL = "{provider: a, model: m}, {provider: b, model: m}, {provider: c, model: m}"


def said(folder: Path, text: str) -> list[str]:
    loaded = load(write(folder, text), {})
    return list(surprises(compile_loaded(loaded), read(text, "gateway.yaml"), "gateway.yaml"))


def addressed(provider: str) -> str:
    return f"providers:\n  p: {{{provider}}}\nmodels: {{m: {{family: f, free: true, routes: [{{provider: p, model: m}}]}}}}\n"


@pytest.mark.parametrize("door", ["/chat/completions", "/responses", "/embeddings", "/messages"])
def test_an_address_with_the_path_that_is_appended(door: str, tmp_path: Path) -> None:
    assert said(tmp_path, addressed(f"adapter: openai_chat, base_url: '{URL}{door}'")) == [
        f"gateway.yaml:2:39: providers.p.base_url ends in {door}, and the adapter 'openai_chat' appends its path to it: "
        f"leave {door} out"
    ]


@pytest.mark.parametrize(
    "provider", [f"adapter: openai_chat, base_url: '{URL}'", f"adapter: openai_chat, base_url: '{URL}/messages', path: /mine"]
)
def test_addresses_that_are_meant(provider: str, tmp_path: Path) -> None:
    assert said(tmp_path, addressed(provider)) == []


def pooled(routes: str, more: str = "") -> str:
    return f"""
providers: {{a: {{adapter: simulator}}, b: {{adapter: simulator}}, c: {{adapter: simulator}}}}
models:
  m: {{family: f, free: true, fallbacks: [spare], routes: [{routes}]}}
  spare: {{family: f, free: true, routes: [{POOL}]}}
{more}"""


def test_a_fallback_behind_a_pool_that_uses_up_the_attempts(tmp_path: Path) -> None:
    assert said(tmp_path, pooled(POOL)) == [
        "model m has 3 routes of its own, and a request 3 attempts at most: its fallbacks are only reached while routes of "
        "its own are left alone"
    ]
    assert said(tmp_path, pooled(POOL.replace("b, model: m", "b, model: m, enabled: false"))) == []
    two = "{provider: a, model: m}, {provider: b, model: m}"
    assert said(tmp_path, pooled(two)) == []
    assert len(said(tmp_path, pooled(two, "defaults: {retry: {attempts: 2}}\n"))) == 1
