from __future__ import annotations

from pathlib import Path

import pytest
from openai import AsyncOpenAI

from proxy.errors import ConfigError
from proxy.testkit import running

POLICY = """
from proxy import Forbidden, hookimpl

@hookimpl
def authorize(ctx, config):
    if ctx.chat.body.get("user") is None:
        raise Forbidden("Say who is asking.", code="field_missing", param="user")
"""
GUARDED = "plugins: [virtual_keys, ./policy.py, routing, metering]\n"


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/policy.py").write_text(POLICY)
    return tmp_path / "mine/policy.py"


async def test_without_a_word_it_is_the_simulator(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        answer = await gateway.chat()
        assert (answer.status, answer.body["model"], answer.headers["x-paifang-route"]) == (200, "test", "simulator")
        async with AsyncOpenAI(base_url=gateway.base_url, api_key=gateway.key, max_retries=0) as client:
            assert [model.id async for model in client.models.list()] == ["test"]


async def test_a_plugin_of_a_file(tmp_path: Path, policy: Path) -> None:
    async with running(tmp_path, GUARDED, beside=[policy]) as gateway:
        refused = await gateway.chat()
        assert (refused.status, refused.body["error"]["code"]) == (403, "field_missing")
        assert (await gateway.chat(user="ada")).status == 200
        assert (await gateway.chat(user="ada", headers={})).status == 401


async def test_streams_whole_and_broken_off(tmp_path: Path) -> None:
    text = """
providers:
  good: {adapter: simulator, reply: "${REPLY}"}
  breaks: {adapter: simulator, fail: {after_chunks: 2}}
models:
  good: {family: f, free: true, routes: [{provider: good, model: m}]}
  breaks: {family: f, free: true, routes: [{provider: breaks, model: m}]}
"""
    async with running(tmp_path, text, environ={"REPLY": "tweet"}) as gateway:
        whole = await gateway.chat(model="good", stream=True)
        assert "tweet" in whole.body and whole.body.endswith("data: [DONE]\n\n")
        broken = await gateway.chat(model="breaks", stream=True)
        assert broken.status == 200 and '"error"' in broken.body and "[DONE]" not in broken.body


async def test_a_mistake_is_named_by_its_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gateway.yaml:2:1: modells"):
        async with running(tmp_path, "server: {}\nmodells: {}\n"):
            raise AssertionError("it must not start")
