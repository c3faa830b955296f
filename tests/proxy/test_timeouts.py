"""Whose timeouts hold: the route's, else the provider's, else the defaults."""

from __future__ import annotations

from pathlib import Path

from proxy.boot import compile_loaded, load
from proxy.context import Timeouts
from tests.proxy.gateways import write

LAYERS = """
defaults: {timeouts: {connect_s: 1, first_byte_s: 2, idle_s: 3, total_s: 4}}
providers:
  plain: {adapter: simulator}
  slow: {adapter: simulator, timeouts: {idle_s: 30, total_s: 40}}
models:
  m:
    family: f
    free: true
    routes:
      - {name: a, provider: plain, model: x}
      - {name: b, provider: slow, model: x}
      - {name: c, provider: slow, model: x, timeouts: {connect_s: 100, total_s: 400}}
"""


def test_each_layer_differs_where_it_says_so(tmp_path: Path) -> None:
    pool = compile_loaded(load(write(tmp_path, LAYERS), {})).models["m"].pool
    assert [target.timeouts for target in pool] == [
        Timeouts(connect_s=1, first_byte_s=2, idle_s=3, total_s=4),
        Timeouts(connect_s=1, first_byte_s=2, idle_s=30, total_s=40),
        Timeouts(connect_s=100, first_byte_s=2, idle_s=30, total_s=400),
    ]
