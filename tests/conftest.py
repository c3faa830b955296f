"""Fixtures for every room: the fake providers, and a guard against blocking the event loop."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from blockbuster import blockbuster_ctx

from tests.fakes import FakeArk, FakeCoze, FakeOpenAI, ScriptedUpstream
from tests.fakes.scripted import Step

_ROOMS = {"proxy", "plugins", "adapters", "e2e"}


@pytest.fixture
async def fake_ark() -> AsyncIterator[FakeArk]:
    """A started fake Ark on the test's own event loop."""
    async with FakeArk() as fake:
        yield fake


@pytest.fixture
async def fake_openai() -> AsyncIterator[FakeOpenAI]:
    """A started fake aggregator on the test's own event loop."""
    async with FakeOpenAI() as fake:
        yield fake


@pytest.fixture
async def fake_coze() -> AsyncIterator[FakeCoze]:
    """A started fake Coze on the test's own event loop."""
    async with FakeCoze() as fake:
        yield fake


@pytest.fixture
async def scripted() -> AsyncIterator[Callable[..., Awaitable[ScriptedUpstream]]]:
    """`upstream = await scripted([READ, b"…", FIN], …)`: a script per connection."""
    async with AsyncExitStack() as stack:

        async def start(*scripts: Sequence[Step]) -> ScriptedUpstream:
            return await stack.enter_async_context(ScriptedUpstream(*scripts))

        yield start


@pytest.fixture(autouse=True)
def nothing_blocks(request: pytest.FixtureRequest) -> Iterator[None]:
    """In asyncio tests a blocking call with our own code on the stack raises BlockingError.

    A module whose tests block on purpose defines a fixture of this name.
    """
    room = Path(request.path).relative_to(Path(__file__).parent).parts[0]
    if room in _ROOMS and inspect.iscoroutinefunction(getattr(request, "function", None)):
        with blockbuster_ctx(["proxy", "plugins", "adapters"]):
            yield
    else:
        yield
