"""A Chat Completions body in, a body for Ark's strict Responses door out."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from arkruntime.types.responses import (  # type: ignore[import-untyped]
    FunctionTool,
    ItemEasyMessage,
    ItemFunctionToolCall,
    ItemFunctionToolCallOutput,
    ItemReasoning,
    Reasoning,
    ResponseTextConfig,
    WebSearchTool,
)
from hypothesis import given
from hypothesis import strategies as st

from adapters.ark_responses import ArkResponses
from adapters.responses_request import ArkResponsesOptions, responses_body
from proxy import BadRequest, ChatRequest, Send
from proxy.money import Price
from tests.adapters import dialect
from tests.fakes.ark_models import MODELS
from tests.fakes.ark_responses_checks import check_responses

LITE = "doubao-seed-2-0-lite-260428"
HI = {"role": "user", "content": "hi"}
NOW = {"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}}
SEARCH = {"type": "web_search", "limit": 3, "user_location": {"type": "approximate", "city": "Beijing"}}
SEARCHED = Price(tools={"web_search": 4 * 10**9})


def ask(**fields: Any) -> ChatRequest:
    return replace(dialect.chat(fields, stream=fields.get("stream", False)), n=fields.get("n", 1))


def written(
    model: str = LITE, price: Price | None = None, options: dict[str, Any] | None = None, **fields: Any
) -> tuple[dict[str, Any], list[str]]:
    target = dialect.target(
        ArkResponsesOptions(**(options or {})), upstream_model=model, output_cap=300, price=price, counts_tool_calls=True
    )
    return responses_body(ask(**fields), target, ArkResponsesOptions(**(options or {})))


def sent(**fields: Any) -> dict[str, Any]:
    return written(**fields)[0]


def refused(**fields: Any) -> tuple[str, str | None]:
    with pytest.raises(BadRequest) as caught:
        written(**fields)
    return caught.value.code, caught.value.param


def test_a_question() -> None:
    target = dialect.target(ArkResponsesOptions(), upstream_model=LITE, output_cap=300)
    send = ArkResponses().open(ask(stream=True, max_tokens=9, stream_options={"include_usage": True}), target).next()
    assert isinstance(send, Send)
    assert (send.path, send.headers, send.stream) == ("/responses", {"accept": "text/event-stream"}, True)
    assert json.loads(send.body) == {
        "model": LITE,
        "input": [{"type": "message", "role": "user", "content": "hi"}],
        "include": ["reasoning.encrypted_content"],
        "max_output_tokens": 300,
        "stream": True,
        "store": False,
    }


@pytest.mark.parametrize(
    ("options", "fields", "store", "dropped"),
    [
        ({}, {}, False, []),
        ({}, {"store": True}, False, ["store"]),
        ({"store": True}, {}, True, []),
        ({"store": True}, {"store": True}, True, []),
        ({"store": True}, {"store": False}, False, []),
        ({"store": True}, {"service_tier": "flex"}, False, []),
        ({"store": True}, {"service_tier": "flex", "store": True}, False, ["store"]),
    ],
)
def test_nothing_is_kept_unless_both_want_it(options: Any, fields: Any, store: bool, dropped: list[str]) -> None:
    body, left_out = written(options=options, price=Price(service_tiers={"flex": Fraction(1, 2)}), **fields)
    assert (body["store"], left_out) == (store, dropped)


def test_fields_that_the_door_has_too() -> None:
    same = {"temperature": 0.2, "top_p": 0.9, "prompt_cache_key": "k", "metadata": {"a": "b"}}
    body, left_out = written(**same, user="u-1", service_tier="auto")
    assert same.items() <= body.items()
    assert (body["safety_identifier"], body["service_tier"], left_out) == ("u-1", "auto", [])
    assert sent(user="u-1", safety_identifier="s-1")["safety_identifier"] == "s-1"


def test_what_has_no_place_is_left_out_and_named() -> None:
    body, left_out = written(seed=7, stop=["END"], logprobs=False, presence_penalty=0, base_url="http://evil", verbosity="low")
    assert left_out == ["base_url", "seed", "stop", "verbosity"]
    assert body.keys() == {"model", "input", "include", "max_output_tokens", "stream", "store"}


def test_or_refused_if_the_operator_says_so() -> None:
    assert refused(options={"unknown_fields": "reject"}, seed=7) == ("unsupported_parameter", "seed")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"tools": [SEARCH]}, "tools"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0].type"),
        ({"tools": [NOW], "tool_choice": {"type": "allowed_tools"}}, "tool_choice"),
        ({"web_search_options": {}}, "web_search_options"),
    ],
)
def test_what_cannot_be_left_out_is_refused(fields: dict[str, Any], param: str) -> None:
    assert refused(**fields) == ("unsupported_parameter", param)


@pytest.mark.parametrize(
    ("fields", "expected", "dropped"),
    [
        ({"thinking": {"type": "enabled"}}, {"thinking": {"type": "enabled"}}, []),
        ({"enable_thinking": True}, {"thinking": {"type": "enabled"}}, []),
        ({"enable_thinking": False}, {"thinking": {"type": "disabled"}}, []),
        ({"reasoning_effort": "xhigh"}, {"reasoning": {"effort": "xhigh"}}, []),
        ({"enable_thinking": False, "reasoning_effort": "high"}, {"thinking": {"type": "disabled"}}, ["reasoning_effort"]),
        ({"thinking": {"type": "adaptive"}}, {}, ["thinking"]),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 99}},
            {"thinking": {"type": "enabled"}},
            ["thinking.budget_tokens"],
        ),
    ],
)
def test_thinking(fields: dict[str, Any], expected: dict[str, Any], dropped: list[str]) -> None:
    body, left_out = written(**fields)
    assert {name: body[name] for name in ("thinking", "reasoning") if name in body} == expected
    assert left_out == dropped


def test_encrypted_reasoning_is_asked_of_models_that_think() -> None:
    assert "include" in sent(model="ep-20250101120000-ab1cd")
    assert "include" not in sent(model="doubao-1-5-pro-32k-250115")
    assert "include" not in sent(enable_thinking=False)
    assert "include" not in sent(options={"encrypted_reasoning": False})


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", "auto"),
        ("none", "none"),
        ("required", "required"),
        ({"type": "function", "function": {"name": "now"}}, {"type": "function", "name": "now"}),
    ],
)
def test_tools_and_the_choice_among_them(choice: Any, expected: Any) -> None:
    function = {"name": "now", "description": "the time", "parameters": {"type": "object"}, "strict": True}
    tools = [{"type": "function", "function": {**function, "cache_control": {}}}]
    body, left_out = written(tools=tools, tool_choice=choice, parallel_tool_calls=False)
    assert body["tools"] == [{"type": "function", **function}]
    assert (body["tool_choice"], body["parallel_tool_calls"]) == (expected, False)
    assert left_out == ["tools[].function.cache_control"]


def test_a_choice_without_tools_asks_for_nothing() -> None:
    body, left_out = written(tool_choice="none", parallel_tool_calls=True, tools=[])
    assert not body.keys() & {"tools", "tool_choice", "parallel_tool_calls"}
    assert left_out == []


def test_a_web_search_with_a_price_is_let_in_by_its_header() -> None:
    body, left_out = written(price=SEARCHED, tools=[{**SEARCH, "search_context_size": "low"}], max_tool_calls=2)
    assert (body["tools"], body["max_tool_calls"], left_out) == ([SEARCH], 2, ["tools[].search_context_size"])
    target = dialect.target(ArkResponsesOptions(), upstream_model=LITE, price=SEARCHED, counts_tool_calls=True)
    send = ArkResponses().open(ask(tools=[SEARCH]), target).next()
    assert isinstance(send, Send)
    assert send.headers == {"accept": "application/json", "ark-beta-web-search": "true"}


@pytest.mark.parametrize("field", ["enable_search", "enable_enhancement", "web_search"])
def test_a_search_in_other_vendors_words_is_refused_with_the_word_that_is_known(field: str) -> None:
    with pytest.raises(BadRequest, match=f"'{field}'; name the tool web_search in 'tools'"):
        written(price=SEARCHED, **{field: True})


def test_response_formats() -> None:
    named = {"name": "x", "description": "y", "strict": True, "schema": {"type": "object"}}
    wanted = {"type": "json_schema", "json_schema": {**named, "other": 1}}
    body, left_out = written(response_format=wanted)
    assert body["text"] == {"format": {"type": "json_schema", **named}}
    assert left_out == ["response_format.json_schema.other"]
    assert sent(response_format={"type": "json_object"})["text"] == {"format": {"type": "json_object"}}
    assert "text" not in sent(response_format={"type": "text"})
    assert refused(response_format={"type": "json_schema", "json_schema": {"name": "x"}}) == (
        "invalid_value",
        "response_format.json_schema.schema",
    )


ITEMS = {
    "message": ItemEasyMessage,
    "reasoning": ItemReasoning,
    "function_call": ItemFunctionToolCall,
    "function_call_output": ItemFunctionToolCallOutput,
}
CALL = {"id": "call_1", "type": "function", "function": {"name": "now", "arguments": '{"zone":"UTC"}'}}
LOOP = [
    {"role": "developer", "content": "be brief"},
    {"role": "user", "content": [{"type": "text", "text": "what time?"}, {"type": "image_url", "image_url": {"file_id": "f"}}]},
    {"role": "assistant", "reasoning_content": "a call", "encrypted_content": "c2ln", "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": "12:00"},
]


def test_the_vendors_own_types_accept_what_is_sent() -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": {"type": "object"}}}
    body = sent(messages=LOOP, tools=[NOW, SEARCH], price=SEARCHED, reasoning_effort="low", response_format=schema)
    assert [item["type"] for item in body["input"]] == [
        "message",
        "message",
        "reasoning",
        "function_call",
        "function_call_output",
    ]
    typed: list[tuple[Any, Any]] = [(ITEMS[item["type"]], item) for item in body["input"]]
    typed += zip((FunctionTool, WebSearchTool), body["tools"], strict=True)
    typed += [(Reasoning, body["reasoning"]), (ResponseTextConfig, body["text"])]
    for kind, value in typed:
        assert json.loads(kind.model_validate(value).model_dump_json(exclude_unset=True, by_alias=True)) == value


MEMBERS = ["cache_control", "detail", "file_id", "fps", "id", "image_pixel_limit", "name", "status", "strict", "summary"]
NAMES = st.sampled_from([*MEMBERS, "prefix", "translation_options", "url"])
ANYTHING = st.dictionaries(NAMES, st.sampled_from(["x", 1, {"y": 1}]))
PARTS = st.sampled_from(["image_url", "video_url", "file"])


@given(ANYTHING, ANYTHING, ANYTHING, PARTS, st.dictionaries(st.text(max_size=9), st.integers(1, 9)))
def test_the_strict_door_is_never_sent_what_it_does_not_know(a: Any, b: Any, c: Any, kind: str, fields: Any) -> None:
    part = {**b, "type": kind, kind: {**c, "url": "https://x", "file_url": "https://x"}}
    function = {**a, "name": "now", "parameters": {}}
    body = sent(
        **{name: value for name, value in fields.items() if name not in ("model", "price", "options")},
        messages=[{**a, "role": "user", "content": [part, {**b, "type": "text", "text": "t"}]}, *LOOP],
        tools=[{**c, "type": "function", "function": function}],
        response_format={"type": "json_schema", "json_schema": {**a, "schema": {}}},
        thinking={**b, "type": "enabled"},
    )
    check_responses(body, MODELS[LITE], hears=False, searches=False)
