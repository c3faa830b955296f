"""Answers of the right type with junk inside: a fault of the plugin that gave them, named, and nothing is left held."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.e2e.conftest import Serve, Served
from tests.e2e.test_plugins_that_exit import asked, assert_unharmed, sections
from tests.fakes import FakeArk

HEAD = """
import asyncio
from dataclasses import replace
from unittest.mock import ANY
from proxy import (
    Charge, Extra, Finish, Forbidden, Limits, Principal, RateLimited, Started, TextDelta, ToolCallDelta, Usage, hookimpl
)

class Hold:
    def settle(self, charge): ...
    def void(self): ...

@hookimpl
"""
ARGUMENTS = {"meter": ", outcome", "route": ", candidates", "transform_event": ", event", "transform_request": ", body"}
GUARDS = {
    "authenticate": [
        "return Principal(id=5)",
        "return Principal(id='')",
        "return Principal(id='user:\\udcff')",
        "return Principal(id='a', wallet=5)",
        "return Principal(id='a', budget=5)",
        "return Principal(id='a', budget=Limits(daily_nanousd='1'))",
        "return Principal(id='a', rate_limit=5)",
        "return Principal(id='a', record=5)",
    ],
    "authorize": [
        "return (x for x in [])",
        "return Forbidden('no')",
        "return True",
        "raise Forbidden",
        "raise Forbidden(5)",
        "raise Forbidden('no', param=object())",
        "raise Forbidden('no', detail=5)",
        "raise Forbidden('no', code=5)",
        "raise RateLimited('no', retry_after_s=float('inf'))",
        "error = Forbidden('no'); error.status = 200; raise error",
        "error = Forbidden('no'); error.status = 'x'; raise error",
        "error = Forbidden('no'); error.headers = lambda: {'x': 'a\\r\\nb: c'}; raise error",
        "raise type('Bare', (Forbidden,), {'__init__': lambda self: None})()",
    ],
    "reserve": [
        "return True",
        "return (x for x in [])",
        "hold = Hold(); hold.output_cap = 'x'; return hold",
        "hold = Hold(); hold.output_cap = -5; return hold",
        "hold = Hold(); hold.dispatched = 5; return hold",
        "hold = Hold(); hold.settle = lambda: None; return hold",
        "hold = Hold(); hold.settle = lambda charge: (x for x in []); return hold",
        "return Hold",
        "return type('Odd', (Hold,), {'__getattr__': lambda self, name: 1 / 0})()",
    ],
    "route": [
        "return (target for target in candidates)",
        "return [replace(candidates[0])]",
        "return [ANY]",
        "return 'abc'",
        "return True",
    ],
    "transform_request": ["return {**body, 'tools': {1: {2}}}", "return (x for x in [])", "return True"],
    "transform_event": [
        "return TextDelta(5)",
        "return TextDelta('a', index=None)",
        "return Finish('banana')",
        "return Started(id=object())",
        "return Started(fields=5)",
        "return Extra(delta=5)",
        "return Extra(delta={'a': object()})",
        "return ToolCallDelta(position='x', arguments=5)",
        "return TextDelta",
        "return ValueError('x')",
    ],
    "meter": [
        "return Charge(amount_nanousd=10**30, usage=outcome.usage)",
        "return Charge(amount_nanousd=5, usage=outcome.usage, cost_nanousd='x')",
        "return Charge(amount_nanousd=5, usage=outcome.usage, price_line=5)",
        "return Charge(amount_nanousd=5, usage=outcome.usage, price=object())",
        "return Charge(amount_nanousd=5, usage=outcome.usage, price_line='\\ud800')",
        "return Charge(amount_nanousd=5, usage=outcome.usage, family=object())",
        "return Charge(amount_nanousd=5, usage=Usage(input_tokens='x', output_tokens=None))",
        "return Charge(amount_nanousd=5, usage=Usage(input_tokens=-1, output_tokens=1))",
        "return Charge(amount_nanousd=5, usage=Usage(input_tokens=1, output_tokens=10**30))",
        "return True",
    ],
}


async def served_with(serve: Serve, ark: FakeArk, hook: str, body: str, kind: str = "def") -> Served:
    text = f"{HEAD}{kind} {hook}(ctx{ARGUMENTS.get(hook, '')}):\n    if 'x-fault' in ctx.headers:\n        {body}\n"
    return await serve(**sections(ark), also={"bad.py": text})


@pytest.mark.parametrize(("hook", "body"), [(hook, body) for hook, bodies in GUARDS.items() for body in bodies])
async def test_a_guard_that_answers_junk_fails_closed_and_is_named(
    serve: Serve, fake_ark: FakeArk, hook: str, body: str
) -> None:
    served = await served_with(serve, fake_ark, hook, body)
    for stream in (False, True):
        with capture_logs() as lines:
            answer = await asked(served, "yes", stream)
        told: Any = answer.events[-1]["error"] if answer.status == 200 else answer.error
        assert (told["code"], told["param"]) == ("plugin_error", "./bad.py")
        assert {(line["plugin"], line["hook"]) for line in lines if "plugin" in line} == {("./bad.py", hook)}
    await assert_unharmed(served)


@pytest.mark.parametrize("hook", ["authorize", "reserve", "route"])
async def test_a_coroutine_that_answers_with_another_is_junk(serve: Serve, fake_ark: FakeArk, hook: str) -> None:
    served = await served_with(serve, fake_ark, hook, "return asyncio.sleep(0)", "async def")
    with capture_logs():
        answer = await asked(served, "yes", stream=False)
    assert (answer.status, answer.error["code"], answer.error["param"]) == (500, "plugin_error", "./bad.py")
    await assert_unharmed(served)


HARMLESS = {
    "no texts": "ctx.reply_headers.update({5: 'x', 'y': object(), 'x-n': 5})",
    "framing": "ctx.reply_headers.update({'content-length': '3', 'Transfer-Encoding': 'gzip'})",
    "kinds": "ctx.reply_headers.update({'content-encoding': 'gzip', 'Content-Type': 'x/y', 'Connection': 'close'})",
    "many headers": "ctx.reply_headers.update({f'x-{n}': 'v' * 100 for n in range(5000)})",
    "a long header": "ctx.reply_headers['x-long'] = 'v' * 10**6",
    "much state": "ctx.state['a'] = 'x' * 10**8",
}


@pytest.mark.parametrize("body", HARMLESS.values(), ids=list(HARMLESS))
async def test_what_a_plugin_adds_breaks_no_answer(serve: Serve, fake_ark: FakeArk, body: str) -> None:
    served = await served_with(serve, fake_ark, "authorize", body)
    for stream in (False, True):
        answer = await asked(served, "yes", stream)
        assert answer.status == 200
        assert answer.headers["content-type"].startswith("text/event-stream" if stream else "application/json")
    await assert_unharmed(served)
