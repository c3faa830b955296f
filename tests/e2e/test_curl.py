"""curl, the way the README uses it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.e2e.files import KEY
from tests.e2e.processes import GatewayProcess
from tests.system_tools import needs

pytestmark = needs("curl")

ASK = '{"model": "doubao-seed", "messages": [{"role": "user", "content": "hi"}]}'
BEARER = f"Authorization: Bearer {KEY}"
JSON = "Content-Type: application/json"


class Told(NamedTuple):
    status: int
    head: str
    body: str

    @property
    def error(self) -> Any:
        return json.loads(self.body)["error"]


@pytest.fixture
def curl(shared_process: GatewayProcess, tmp_path: Path) -> Any:
    def run(*arguments: str, path: str = "/v1/chat/completions") -> Told:
        head = tmp_path / "head"
        done = subprocess.run(
            ["curl", "-sS", "--noproxy", "*", "-D", str(head), f"{shared_process.url}{path}", *arguments],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
        # After a 100 Continue there are two heads; the last one counts.
        last = head.read_text().strip().split("\n\n")[-1].lower()
        return Told(int(last.split()[1]), last, done.stdout)

    return run


def test_the_line_of_the_readme(curl: Any) -> None:
    told = curl("-H", BEARER, "-H", JSON, "-d", ASK)
    answer = json.loads(told.body)
    assert told.status == 200 and answer["choices"][0]["message"]["content"] == "Hello, you said: hi"
    assert "content-type: application/json" in told.head and "x-request-id: req_" in told.head
    assert "server: python" not in told.head and "aiohttp" not in told.head


def test_a_key_as_x_api_key(curl: Any) -> None:
    assert curl("-H", f"x-api-key: {KEY}", "-H", JSON, "-d", ASK).status == 200


def test_a_stream(curl: Any) -> None:
    told = curl("-N", "-H", BEARER, "-H", JSON, "-d", ASK[:-1] + ', "stream": true}')
    assert told.status == 200 and "content-type: text/event-stream" in told.head
    lines = [line for line in told.body.splitlines() if line]
    assert all(line.startswith("data: ") for line in lines) and lines[-1] == "data: [DONE]"


def test_bad_json(curl: Any) -> None:
    told = curl("-H", BEARER, "-H", JSON, "-d", "{model: 1")
    assert (told.status, told.error["code"]) == (400, "invalid_json")


def test_no_key(curl: Any) -> None:
    told = curl("-H", JSON, "-d", ASK)
    assert (told.status, told.error["code"]) == (401, "invalid_api_key")


def test_the_content_type_that_curl_sends_by_itself(curl: Any) -> None:
    told = curl("-H", BEARER, "-d", ASK)
    assert (told.status, told.error["code"]) == (415, "unsupported_media_type")
    assert "application/json" in told.error["message"]


def test_no_content_type_at_all(curl: Any) -> None:
    assert curl("-H", BEARER, "-H", "Content-Type:", "-d", ASK).status == 200


def test_a_compressed_body(curl: Any) -> None:
    told = curl("-H", BEARER, "-H", JSON, "-H", "Content-Encoding: gzip", "-d", ASK)
    assert (told.status, told.error["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("extra", [("-H", "Expect: 100-continue"), ("-H", "Expect:"), ("-H", "Transfer-Encoding: chunked")])
def test_a_body_that_is_too_large(curl: Any, tmp_path: Path, extra: tuple[str, str]) -> None:
    big = tmp_path / "big.json"
    big.write_text(json.dumps({"model": "doubao-seed", "messages": [{"role": "user", "content": "x" * 200_000}]}))
    told = curl("-H", BEARER, "-H", JSON, *extra, "--data-binary", f"@{big}")
    assert (told.status, told.error["code"]) == (413, "request_too_large")


def test_expect_100_before_a_body_that_fits(curl: Any) -> None:
    assert curl("-H", BEARER, "-H", JSON, "-H", "Expect: 100-continue", "-d", ASK).status == 200


def test_health(curl: Any) -> None:
    assert json.loads(curl(path="/healthz").body) == {"status": "ok"}
    assert json.loads(curl(path="/readyz").body) == {"status": "ok"}
