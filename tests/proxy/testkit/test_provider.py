from __future__ import annotations

from dataclasses import replace

import aiohttp

from proxy.testkit import Reply, provider_of
from tests.proxy.testkit.heron import door


async def test_replies_come_one_after_the_other_and_again() -> None:
    job = replace(door(), answers={"text": [Reply(b"{}", 202, {"x-job": "1"}), Reply(b"done")], "busy": Reply(b"", 429)})
    async with provider_of(job) as url, aiohttp.ClientSession() as session:

        async def ask(method: str, path: str) -> tuple[int, bytes]:
            async with session.request(method, url + path) as response:
                return response.status, await response.read()

        assert await ask("POST", "/text/jobs") == (202, b"{}")
        assert await ask("POST", "/busy/jobs") == (429, b"")
        assert await ask("GET", "/text/jobs/1") == (200, b"done")
        assert await ask("POST", "/text/jobs") == (202, b"{}")
