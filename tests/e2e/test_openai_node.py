"""OpenAI's own SDK for Node, as it comes from npm, pointed at the gateway."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from tests.e2e.files import KEY
from tests.e2e.processes import GatewayProcess
from tests.system_tools import NODE_CLIENT, needs_node_sdk

pytestmark = needs_node_sdk()

HELLO = "Hello, you said: hi"


@pytest.fixture(scope="module")
def told(shared_process: GatewayProcess) -> Any:
    """What tests/node/chat.mjs saw."""
    done = subprocess.run(
        ["node", "chat.mjs", f"{shared_process.url}/v1", KEY],
        cwd=NODE_CLIENT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_create(told: Any) -> None:
    routes = {"doubao-seed": "ark-lite", "messages": "msgs", "responses": "resp", "relayed": "relay"}
    assert told["created"] == [
        {
            "model": model,
            "text": HELLO,
            "finish": "stop",
            "total": True,
            "tracked": True,
            "cost": True,
            "route": route,
            "id": True,
        }
        for model, route in routes.items()
    ]


def test_stream(told: Any) -> None:
    assert told["streamed"] == [
        {"models": [model], "text": HELLO, "usage": True} for model in ("doubao-seed", "messages", "responses", "relayed")
    ]


def test_streamed_tools(told: Any) -> None:
    assert told["tools"] == [{"name": "get_weather", "members": ["city"]}] * 5


def test_a_stream_left_early(told: Any) -> None:
    assert told["left"] is True


def test_errors(told: Any) -> None:
    stranger, unknown, wrong = told["refused"]
    assert stranger == {
        "name": "AuthenticationError",
        "status": 401,
        "code": "invalid_api_key",
        "type": "authentication_error",
        "param": None,
    }
    assert (unknown["name"], unknown["code"], unknown["param"]) == ("NotFoundError", "model_not_found", "model")
    assert (wrong["name"], wrong["code"], wrong["param"]) == ("BadRequestError", "invalid_value", "temperature")


def test_models(told: Any) -> None:
    assert {"doubao-seed", "doubao", "relayed", "simulated"} <= set(told["models"])
