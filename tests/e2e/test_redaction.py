"""A provider that quotes our credential back at us: it must not get into any log, nor to the client."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from tests.e2e import files
from tests.e2e.conftest import StartProcess
from tests.fakes import FakeOpenAI

CANARY = "3f9c-plain-looking-canary-71ab"


@pytest.mark.parametrize("style", ["json", "console"])
async def test_no_log_and_no_client_sees_our_key(gateway_process: StartProcess, style: str) -> None:
    async with FakeOpenAI(key=CANARY) as fake:
        sections: dict[str, Any] = {
            "providers": {"relay": files.relay(fake)},
            "models": {"doubao-seed": files.model(files.route("relay", "relay"), files.route("again", "relay"))},
            "keys": [files.key("ci", files.KEY)],
            "plugins": ["virtual_keys", "routing", "metering", {"access_log": {"format": style}}],
        }
        process = await asyncio.to_thread(lambda: gateway_process(**sections))
        body = {"model": "doubao-seed", "messages": files.HI}
        told = ""
        headers = {"authorization": f"Bearer {files.KEY}"}
        async with aiohttp.ClientSession(process.url, headers=headers) as session:
            for status, code in ((400, CANARY), (500, "server_error"), (401, "invalid_api_key")):
                fake.fail_next(status, code, f"Key {CANARY} of bearer {CANARY} can't do this.", times=3)
                async with session.post("/v1/chat/completions", json=body) as response:
                    assert response.status >= 400
                    told += f"{response.headers} {await response.text()}"
    await asyncio.to_thread(process.stop)
    log = process.log.read_text()
    assert log.count("Key ***** of bearer *****") >= 5
    assert CANARY not in log + told
