import asyncio
import json
from typing import Any

import pytest

from proxy.endpoints.chat import check_cap, parse
from proxy.errors import BadRequest

HELLO = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def read(**more: Any) -> Any:
    return parse(json.dumps({**HELLO, **more}).encode())


def test_a_plain_request() -> None:
    chat = parse(b'{"model":"m","messages":[{"role":"user","content":"hi"}]}')
    assert (chat.model, chat.stream, chat.n, chat.max_output_tokens, chat.body_bytes) == ("m", False, 1, None, 57)


def test_nulls_are_absent_as_sdks_that_write_them_mean() -> None:
    chat = read(stream=None, max_tokens=None, tools=None, temperature=None)
    assert dict(chat.body) == HELLO


def test_the_lower_of_two_caps_counts() -> None:
    assert read(max_tokens=9, max_completion_tokens=5).max_output_tokens == 5


def test_usage_in_a_stream_is_only_for_who_asks() -> None:
    assert read(stream=True, stream_options={"include_usage": True}).include_usage
    assert not read(stream=True, stream_options={}).include_usage


@pytest.mark.parametrize(
    ("param", "more"),
    [
        ("model", {"model": ""}),
        ("model", {"model": []}),
        ("model", {"model": "a\x00b"}),
        ("model", {"model": "x" * 513}),
        ("messages", {"messages": []}),
        ("messages", {"messages": {}}),
        ("messages[0]", {"messages": ["hi"]}),
        ("messages[0].role", {"messages": [{"content": "hi"}]}),
        ("messages[0].role", {"messages": [{"role": ["user"], "content": "hi"}]}),
        ("messages[0].content", {"messages": [{"role": "user"}]}),
        ("messages[0].content", {"messages": [{"role": "user", "content": 5}]}),
        ("messages[0].content[0]", {"messages": [{"role": "user", "content": ["hi"]}]}),
        ("messages[0].content[0].text", {"messages": [{"role": "user", "content": [{"type": "text"}]}]}),
        ("messages[0].tool_calls", {"messages": [{"role": "assistant", "tool_calls": {}}]}),
        ("messages[0].tool_calls[0]", {"messages": [{"role": "assistant", "tool_calls": [{}]}]}),
        ("temperature", {"temperature": 2.01}),
        ("temperature", {"temperature": True}),
        ("top_p", {"top_p": -0.1}),
        ("max_tokens", {"max_tokens": 0}),
        ("max_tokens", {"max_tokens": 1.5}),
        ("max_tokens", {"max_tokens": "100"}),
        ("max_completion_tokens", {"max_completion_tokens": 2**63}),
        ("n", {"n": 0}),
        ("n", {"n": True}),
        ("stream", {"stream": "false"}),
        ("stream_options", {"stream_options": True}),
        ("stream_options.include_usage", {"stream_options": {"include_usage": 1}}),
        ("stop", {"stop": [1]}),
        ("tools", {"tools": {}}),
        ("tools[0]", {"tools": [{}]}),
        ("tools[0].function", {"tools": [{"type": "function", "function": {}}]}),
        ("tool_choice", {"tool_choice": "maybe"}),
        ("tool_choice", {"tool_choice": 3}),
        ("response_format", {"response_format": "json"}),
        ("response_format.type", {"response_format": {"type": "xml"}}),
        ("user", {"user": 7}),
        ("enable_thinking", {"enable_thinking": "yes"}),
        ("thinking.type", {"thinking": {"type": "deep"}}),
        ("reasoning_effort", {"reasoning_effort": "most"}),
    ],
)
def test_a_bad_field_is_named(param: str, more: dict[str, Any]) -> None:
    with pytest.raises(BadRequest) as caught:
        read(**more)
    assert (caught.value.param, caught.value.code) == (param, "invalid_value")


@pytest.mark.parametrize("missing", ["model", "messages"])
def test_what_is_missing_is_named(missing: str) -> None:
    with pytest.raises(BadRequest, match=missing):
        parse(json.dumps({name: value for name, value in HELLO.items() if name != missing}).encode())


@pytest.mark.parametrize("raw", [b"", b"[]", b"nope", b'"text"', b'{"model":"m","model":"n"}'])
def test_what_is_no_json_object_is_invalid_json(raw: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        parse(raw)
    assert caught.value.code == "invalid_json"


def test_the_error_shows_no_more_than_a_little_of_what_was_sent() -> None:
    with pytest.raises(BadRequest) as caught:
        read(reasoning_effort="x" * 10_000)
    assert len(caught.value.message) < 300


def test_a_cap_over_the_models_own_is_refused() -> None:
    check_cap(read(max_tokens=10), 10)
    with pytest.raises(BadRequest, match="at most 10"):
        check_cap(read(max_completion_tokens=11), 10)


async def test_a_large_body_leaves_the_loop_its_turns() -> None:
    message = {"role": "user", "content": "hello world " * 3}
    raw = json.dumps({"model": "m", "messages": [message] * 270_000}).encode()
    loop, lags_s = asyncio.get_running_loop(), []
    parsing = asyncio.ensure_future(asyncio.to_thread(parse, raw))
    while not parsing.done():
        before_s = loop.time()
        await asyncio.sleep(0.001)
        lags_s.append(loop.time() - before_s)
    assert len((await parsing).body["messages"]) == 270_000
    assert max(lags_s) < 0.25
