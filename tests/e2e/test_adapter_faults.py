"""An adapter that breaks the port's rules fails its request, by name, and never looks like an answer."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest
from structlog.testing import capture_logs

from proxy.gateway import Gateway

KEY = "sk-parrot-0123456789-0123456789"
CONFIG = f"""
providers: {{bird: {{adapter: parrot}}}}
models: {{polly: {{family: birds, price: {{input: 1, output: 1}}, routes: [{{provider: bird, model: p}}]}}}}
keys: [{{name: me, key: {KEY}}}]
plugins: [virtual_keys, model_scope, budget, routing, metering, ./parrot.py]
"""
PARROT = """
import asyncio
from proxy import DONE, Emit, Exchange, Finish, NoOptions, TextDelta, Usage, hookimpl

class Talk(Exchange):
    def __init__(self):
        self.steps = [{steps}]
    def next(self):
        step = self.steps.pop(0)
        if isinstance(step, BaseException):
            raise step
        return step

class Parrot:
    name, base_url, signer, simulated, options, prompt_overhead_tokens = "parrot", None, "none", True, NoOptions, 0
    def open(self, chat, target):
        return Talk()

@hookimpl
def register_adapters(register):
    register(Parrot())
"""


@pytest.mark.parametrize(
    ("steps", "status", "code"),
    [
        ("Emit((TextDelta('hi'), Finish('stop'))), DONE", 200, None),
        ("Emit(each for each in (TextDelta('hi'), Finish('stop'))), DONE", 200, None),
        ("5", 500, "plugin_error"),
        ("", 500, "plugin_error"),
        ("Emit(('hi',)), DONE", 500, "plugin_error"),
        ("SystemExit(3)", 500, "plugin_error"),
        ("KeyboardInterrupt()", 500, "plugin_error"),
        ("GeneratorExit()", 500, "plugin_error"),
        ("asyncio.CancelledError()", 500, "plugin_error"),
        ("Emit((TextDelta('hi'),)), SystemExit(3)", 500, "plugin_error"),
        ("Emit((TextDelta('hi'), Finish('banana'))), DONE", 500, "plugin_error"),
        ("Emit((Usage(input_tokens=-5, output_tokens=1), Finish('stop'))), DONE", 500, "plugin_error"),
        ("Emit((Usage(input_tokens=5, output_tokens=1, reasoning_tokens='1'), Finish('stop')))", 500, "plugin_error"),
        ("Emit((Usage(input_tokens=5, output_tokens=1.5), Finish('stop')))", 500, "plugin_error"),
        ("Emit((TextDelta('hi'),)), DONE", 502, "upstream_error"),
    ],
)
async def test_what_is_no_answer_is_none(tmp_path: Path, steps: str, status: int, code: str | None) -> None:
    (tmp_path / "gateway.yaml").write_text(CONFIG)
    (tmp_path / "parrot.py").write_text(PARROT.format(steps=steps))
    gateway = await Gateway.open(tmp_path / "gateway.yaml", {})
    try:
        port = await gateway.listen("127.0.0.1", 0)
        body = {"model": "polly", "messages": [{"role": "user", "content": "hello"}]}
        headers = {"authorization": f"Bearer {KEY}"}
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        with capture_logs():
            async with aiohttp.ClientSession() as session, session.post(url, json=body, headers=headers) as response:
                answer = await response.json()
        assert response.status == status
        assert answer.get("error", {}).get("code") == code
        if code == "plugin_error":
            assert answer["error"]["param"] == "parrot"
            assert gateway.app.faults.failures["parrot", "exchange"] == 1
        assert gateway.store.ledger.unsettled == 0
        assert gateway.app.in_flight() == {}
    finally:
        await gateway.close()


@pytest.mark.parametrize("member", ["reported", "anomalies"])
async def test_books_are_closed_though_an_exchange_can_not_say_what_was_counted(tmp_path: Path, member: str) -> None:
    says = f"    @property\n    def {member}(self):\n        raise SystemExit(3)\n    def next(self):"
    (tmp_path / "gateway.yaml").write_text(CONFIG)
    text = PARROT.format(steps="Emit((TextDelta('hi'), Finish('stop'))), DONE").replace("    def next(self):", says)
    (tmp_path / "parrot.py").write_text(text)
    gateway = await Gateway.open(tmp_path / "gateway.yaml", {})
    try:
        port = await gateway.listen("127.0.0.1", 0)
        body = {"model": "polly", "messages": [{"role": "user", "content": "hello"}]}
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        headers = {"authorization": f"Bearer {KEY}"}
        async with aiohttp.ClientSession() as session, session.post(url, json=body, headers=headers) as response:
            usage = (await response.json())["usage"]
        assert (response.status, usage["output_tokens"], usage["estimated"]) == (200, 1, True)
        assert gateway.store.ledger.unsettled == 0
    finally:
        await gateway.close()


async def test_one_that_never_says_anything_is_given_up_and_holds_nobody_up(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(CONFIG.replace("model: p", "model: p, timeouts: {total_s: 0.3}"))
    (tmp_path / "parrot.py").write_text(PARROT.replace("step = self.steps.pop(0)", "step = Emit(())").format(steps=""))
    gateway = await Gateway.open(tmp_path / "gateway.yaml", {})
    try:
        url = f"http://127.0.0.1:{await gateway.listen('127.0.0.1', 0)}"
        body = {"model": "polly", "messages": [{"role": "user", "content": "hello"}]}
        with capture_logs():
            async with aiohttp.ClientSession(headers={"authorization": f"Bearer {KEY}"}) as session:
                asked = asyncio.ensure_future(session.post(f"{url}/v1/chat/completions", json=body))
                await asyncio.sleep(0.05)
                async with session.get(f"{url}/healthz") as response:
                    assert response.status == 200 and not asked.done()
                assert (await asked).status == 504
    finally:
        await gateway.close()
