from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.ark import Ark, ArkOptions
from adapters.ark_messages import ArkMessages
from proxy import (
    BadRequest,
    Send,
)
from tests.adapters.dialect import chat, target

MODEL = "doubao-seed-2-0-lite-260215"


def sent(
    body: dict[str, Any], *, model: str = MODEL, cap: int = 1000, stream: bool = False, **options: Any
) -> tuple[dict[str, Any], list[str]]:
    """The body that goes out for a client's body, without what every request has, and what was dropped."""
    request = chat(body, stream=stream)
    before = orjson.dumps(request.body)
    opened = Ark().open(request, target(ArkOptions(**options), upstream_model=model, output_cap=cap))
    assert orjson.dumps(request.body) == before
    send = opened.next()
    assert isinstance(send, Send)
    assert send.path == "/chat/completions"
    out = orjson.loads(send.body)
    assert out.pop("model") == model
    if "messages" not in body:
        assert out.pop("messages") == [{"role": "user", "content": "hi"}]
    return out, list(opened.dropped)


@pytest.mark.parametrize(
    "caps", [{}, {"max_tokens": 9}, {"max_completion_tokens": 9}, {"max_tokens": 9, "max_completion_tokens": 9}]
)
def test_cap_is_always_the_one_that_counts_reasoning(caps: dict[str, int]) -> None:
    assert sent(caps) == ({"max_completion_tokens": 1000}, [])


def test_cap_is_at_most_what_ark_takes() -> None:
    assert sent({}, cap=131072)[0] == {"max_completion_tokens": 65536}


def test_nulls_of_messages_and_tools_are_dropped_but_not_those_of_schemas() -> None:
    schema = {"type": "object", "properties": {"a": {"enum": [None, 1], "default": None}}}
    body = {
        "messages": [
            {"role": "developer", "content": "d", "name": None},
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u", "detail": None}}]},
            {
                "role": "assistant",
                "content": None,
                "refusal": None,
                "reasoning_content": "r",
                "encrypted_content": "e",
                "tool_calls": [{"id": "t", "type": "function", "function": {"name": "f", "arguments": '{"a":null}'}}],
            },
            {"role": "tool", "tool_call_id": "t", "content": "x"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "description": None, "strict": None, "parameters": schema}}],
    }
    out, dropped = sent(body)
    assert dropped == []
    assert out["messages"] == [
        {"role": "system", "content": "d"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}]},
        {
            "role": "assistant",
            "reasoning_content": "r",
            "encrypted_content": "e",
            "tool_calls": [{"id": "t", "type": "function", "function": {"name": "f", "arguments": '{"a":null}'}}],
        },
        {"role": "tool", "tool_call_id": "t", "content": "x"},
    ]
    assert out["tools"] == [{"type": "function", "function": {"name": "f", "parameters": schema}}]


@pytest.mark.parametrize(
    ("body", "expected", "dropped"),
    [
        ({"enable_thinking": True}, {"thinking": {"type": "enabled"}}, []),
        ({"enable_thinking": False}, {"thinking": {"type": "disabled"}}, []),
        ({"enable_thinking": False, "thinking": {"type": "enabled"}}, {"thinking": {"type": "enabled"}}, []),
        ({"thinking": {"type": "auto"}}, {}, ["thinking"]),
        ({"thinking": {"type": "enabled", "budget_tokens": 9}}, {"thinking": {"type": "enabled"}}, ["thinking.budget_tokens"]),
        ({"reasoning_effort": "none"}, {"reasoning_effort": "none"}, []),
        (
            {"reasoning_effort": "max", "enable_thinking": True},
            {"thinking": {"type": "enabled"}, "reasoning_effort": "max"},
            [],
        ),
        ({"thinking": {"type": "adaptive"}}, {}, ["thinking"]),
        ({"reasoning_effort": "high"}, {"reasoning_effort": "high"}, []),
        ({"enable_thinking": False, "reasoning_effort": "low"}, {"thinking": {"type": "disabled"}}, ["reasoning_effort"]),
        (
            {"thinking": {"type": "disabled"}, "reasoning_effort": "minimal"},
            {"thinking": {"type": "disabled"}, "reasoning_effort": "minimal"},
            [],
        ),
    ],
)
def test_thinking(body: dict[str, Any], expected: dict[str, Any], dropped: list[str]) -> None:
    assert sent(body) == ({"max_completion_tokens": 1000, **expected}, dropped)


ON, OFF, AUTO = ({"thinking": {"type": kind}} for kind in ("enabled", "disabled", "auto"))
SEED_1_6 = "doubao-seed-1-6-250615"
CHARACTER = "doubao-seed-character-251128"


@pytest.mark.parametrize(
    ("model", "body", "expected", "dropped"),
    [
        (SEED_1_6, AUTO, AUTO, []),
        (SEED_1_6, {"reasoning_effort": "minimal"}, OFF, []),
        (SEED_1_6, {"reasoning_effort": "high"}, {}, ["reasoning_effort"]),
        (SEED_1_6, {**ON, "reasoning_effort": "none"}, OFF, []),
        (CHARACTER, {"enable_thinking": False, "reasoning_effort": "minimal"}, {}, []),
        (CHARACTER, {"enable_thinking": True, "reasoning_effort": "low"}, {}, ["enable_thinking", "reasoning_effort"]),
        (CHARACTER, ON, {}, ["thinking"]),
        ("glm-5.3", OFF, {"reasoning_effort": "low"}, []),
        ("glm-5.3", {"reasoning_effort": "none"}, {"reasoning_effort": "low"}, []),
        ("glm-5.3", {"reasoning_effort": "high"}, {"reasoning_effort": "high"}, []),
        ("glm-5-2-260617", {"reasoning_effort": "none"}, {"reasoning_effort": "none"}, []),
        ("ep-1", AUTO, AUTO, []),
    ],
)
def test_thinking_by_generation(model: str, body: dict[str, Any], expected: dict[str, Any], dropped: list[str]) -> None:
    assert sent(body, model=model) == ({"max_completion_tokens": 1000, **expected}, dropped)


def test_a_prompt_cache_key_becomes_arks_header() -> None:
    for key, header in (("mine-1", {"x-prompt-cache-id": "mine-1"}), ("not\nmine", {}), ("x" * 129, {}), (7, {})):
        opened = Ark().open(chat({"prompt_cache_key": key}), target(ArkOptions(), upstream_model=MODEL))
        send = opened.next()
        assert isinstance(send, Send) and send.headers == {"accept": "application/json", **header}
        assert b"prompt_cache_key" not in send.body
        assert list(opened.dropped) == ([] if header else ["prompt_cache_key"])


def test_a_smart_router_gets_no_choice_of_tools() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    body = {"tools": tools, "tool_choice": "required", "parallel_tool_calls": True, "temperature": 1}
    out, dropped = sent(body, model="ep-1", smart_router=True)
    assert out == {"tools": tools, "temperature": 1, "max_completion_tokens": 1000}
    assert dropped == ["tool_choice"]


def test_nulls_of_a_response_format_are_dropped_but_not_those_of_its_schema() -> None:
    schema = {"enum": [None], "default": None}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "strict": None, "schema": schema}}
    assert sent({"response_format": wanted})[0]["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "n", "schema": schema},
    }


@pytest.mark.parametrize(
    ("base_url", "words"),
    [
        ("https://ark.cn-beijing.volces.com/api/v3", 0),
        ("https://ark.cn-beijing.volces.com/api/compatible", 0),
        ("https://ark.cn-beijing.volces.com/api/coding/v3", 1),
        ("https://ark.cn-beijing.volces.com/api/coding", 1),
        ("https://ark.cn-beijing.volces.com/api/plan/v3", 1),
        ("https://ark.cn-beijing.volces.com/api/plan", 1),
        ("https://ark.ap-southeast.bytepluses.com/api/coding/v3", 1),
    ],
)
def test_a_plans_entrance_is_warned_of(base_url: str, words: int) -> None:
    for adapter in (Ark(), ArkMessages()):
        advice = adapter.advise(base_url)
        assert len(advice) == words and all("licensed for interactive tools" in one for one in advice)


def test_fields_ark_does_not_know_are_dropped_and_named() -> None:
    known = {"n": 2, "user": "u", "temperature": 0.5, "response_format": {"type": "text"}, "tool_choice": "auto"}
    out, dropped = sent({**known, "seed": 1, "metadata": {"a": "b"}, "store": True, "top_k": 5, "base_url": "http://evil"})
    assert out == {**known, "max_completion_tokens": 1000}
    assert dropped == ["base_url", "metadata", "seed", "store", "top_k"]


def test_fields_ark_does_not_know_are_refused_where_configured() -> None:
    with pytest.raises(BadRequest) as caught:
        sent({"seed": 1}, unknown_fields="reject")
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", "seed")
    assert sent({"store": False, "presence_penalty": 0, "logprobs": False}, unknown_fields="reject") == (
        {"max_completion_tokens": 1000},
        [],
    )


PENALTIES = {"presence_penalty": 1, "stop": ["x"], "logprobs": True}


@pytest.mark.parametrize(
    ("model", "options", "kept"),
    [
        (MODEL, {}, set()),
        ("seed-2-0-lite-260228", {}, set()),
        ("glm-5-2-260617", {}, set()),
        ("deepseek-v4-pro-ga-260813", {}, {"stop"}),
        ("ep-20250101120000-ab1cd", {}, set()),
        ("ep-20250101120000-ab1cd", {"thinking_model": False}, {"presence_penalty", "stop", "logprobs"}),
        ("doubao-1-5-pro-32k-250115", {}, {"presence_penalty", "stop", "logprobs"}),
    ],
)
def test_thinking_models_get_no_penalties(model: str, options: dict[str, Any], kept: set[str]) -> None:
    out, dropped = sent(PENALTIES, model=model, **options)
    assert out.keys() - {"max_completion_tokens"} == kept
    assert set(dropped) == PENALTIES.keys() - kept


def test_stream_asks_for_usage_at_its_end_only() -> None:
    body = {"stream": True, "stream_options": {"chunk_include_usage": True, "include_usage": False}}
    out, dropped = sent(body, stream=True)
    assert out == {"stream": True, "stream_options": {"include_usage": True}, "max_completion_tokens": 1000}
    assert dropped == []


@pytest.mark.parametrize(
    ("body", "param"), [({"tools": [{"type": "custom"}]}, "tools"), ({"service_tier": "fast"}, "service_tier")]
)
def test_what_ark_or_the_price_cannot_do_is_refused(body: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        sent(body)
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", param)


@given(
    st.dictionaries(
        st.sampled_from(["stop", "seed", "thinking", "user", "max_tokens", "base_url"]),
        st.sampled_from([1, "x", {"type": "enabled"}, ["x"]]),
    )
)
def test_nothing_unknown_is_ever_sent(body: dict[str, Any]) -> None:
    body = {name: value for name, value in body.items() if name != "thinking" or isinstance(value, dict)}
    out, dropped = sent(body)
    assert out.keys() <= {"thinking", "user", "max_completion_tokens"}
    assert set(dropped) == body.keys() & {"stop", "seed", "base_url"}
