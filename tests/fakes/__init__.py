"""Providers for tests, on loopback: real servers that answer, count, and fail as told.

`async with FakeArk() as ark` (or the fixture `fake_ark`) serves on the test's own loop;
`with FakeArk().run_in_thread() as base_url` serves synchronous clients and other processes.
"""

import asyncio
import time
from collections.abc import Callable

from tests.fakes.answers import Answer, ToolCall, pieces
from tests.fakes.ark import FakeArk
from tests.fakes.ark_models import Model
from tests.fakes.coze import FakeCoze
from tests.fakes.dashscope import FakeDashScope
from tests.fakes.faults import Pacer
from tests.fakes.messages import FakeMessages
from tests.fakes.minimax import FakeMiniMax
from tests.fakes.openai import FakeOpenAI
from tests.fakes.scripted import FIN, READ, RST, STALL, ScriptedUpstream, chunk, http_head
from tests.fakes.server import Bill, Received
from tests.fakes.volcengine import FakeVolcengine

__all__ = [
    "FIN",
    "READ",
    "RST",
    "STALL",
    "Answer",
    "Bill",
    "FakeArk",
    "FakeCoze",
    "FakeDashScope",
    "FakeMessages",
    "FakeMiniMax",
    "FakeOpenAI",
    "FakeVolcengine",
    "Model",
    "Pacer",
    "Received",
    "ScriptedUpstream",
    "ToolCall",
    "chunk",
    "eventually",
    "http_head",
    "pieces",
]


async def eventually(condition: Callable[[], bool], *, timeout_s: float = 2.0) -> None:
    """Wait until a condition holds that another task, thread or process brings about.

    Raises: AssertionError: it does not within timeout_s.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"still not so after {timeout_s} s"
        await asyncio.sleep(0.005)
