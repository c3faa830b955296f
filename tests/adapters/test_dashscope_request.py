"""DashScope's request: a Chat Completions body in, model, input and parameters out."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from adapters.dashscope_options import DashScopeOptions
from adapters.dashscope_request import Generation, generation
from proxy import BadRequest
from proxy.money import Price
from tests.adapters import dialect

OPTIONS = DashScopeOptions()
NOW = {"type": "function", "function": {"name": "now", "strict": True}}
THEN = {"type": "function", "function": {"name": "then"}}
FORCED = {"type": "function", "function": {"name": "now"}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}


def asked(
    model: str = "qwen-plus", options: DashScopeOptions = OPTIONS, price: Price | None = None, **fields: Any
) -> Generation:
    chat = replace(dialect.chat(fields, stream=fields.get("stream", False)), n=fields.get("n", 1))
    return generation(chat, dialect.target(options, upstream_model=model, price=price), options)


def parameters(model: str = "qwen-plus", options: DashScopeOptions = OPTIONS, **fields: Any) -> Any:
    return asked(model, options, **fields).body["parameters"]


def messages(*said: dict[str, Any]) -> Any:
    return asked(messages=list(said)).body["input"]["messages"]


def test_a_question() -> None:
    assert asked().body == {
        "model": "qwen-plus",
        "input": {"messages": [{"role": "user", "content": "hi"}]},
        "parameters": {"result_format": "message", "max_tokens": 1000},
    }
    assert parameters(stream=True) == {"result_format": "message", "max_tokens": 1000, "incremental_output": True}


@pytest.mark.parametrize(
    ("model", "options", "fields", "streamed"),
    [
        ("qwen-plus", {}, {}, False),
        ("qwen-plus", {"stream_only": True}, {}, True),
        ("qwen-plus", {}, {"enable_thinking": True}, True),
        ("qwq-plus", {}, {}, True),
        ("qwen3-32b", {}, {}, True),
        ("qwen3-omni-flash", {}, {}, True),
        ("qwen3.8-max", {}, {}, True),
        ("qwen3.8-max", {}, {"enable_thinking": False}, False),
    ],
)
def test_what_answers_in_streams_alone_is_asked_for_one(model: str, options: Any, fields: Any, streamed: bool) -> None:
    told = asked(model, DashScopeOptions(**options), **fields)
    assert told.streamed is streamed
    assert told.body["parameters"].get("incremental_output", False) is streamed


@pytest.mark.parametrize(
    ("fields", "written", "dropped"),
    [
        ({"enable_thinking": False}, {"enable_thinking": False, "max_tokens": 1000}, []),
        ({"thinking": {"type": "disabled"}}, {"enable_thinking": False, "max_tokens": 1000}, []),
        ({"reasoning_effort": "none"}, {"enable_thinking": False, "max_tokens": 1000}, []),
        ({"enable_thinking": True}, {"enable_thinking": True, "max_tokens": 500, "thinking_budget": 500}, []),
        ({"reasoning_effort": "high"}, {"enable_thinking": True, "max_tokens": 500, "thinking_budget": 500}, []),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 200}},
            {"enable_thinking": True, "max_tokens": 800, "thinking_budget": 200},
            [],
        ),
        (
            {"enable_thinking": True, "thinking_budget": 5000},
            {"enable_thinking": True, "max_tokens": 1, "thinking_budget": 999},
            [],
        ),
        (
            {"enable_thinking": True, "thinking_budget": "much"},
            {"enable_thinking": True, "max_tokens": 500, "thinking_budget": 500},
            ["thinking_budget"],
        ),
        ({"thinking_budget": 200}, {"max_tokens": 1000}, ["thinking_budget"]),
        ({"thinking": {"type": "auto"}}, {"max_tokens": 1000}, ["thinking"]),
        ({"thinking": {"type": "disabled", "keep": 1}}, {"enable_thinking": False, "max_tokens": 1000}, ["thinking.keep"]),
    ],
)
def test_thinking_and_the_rest_share_the_cap(fields: Any, written: Any, dropped: list[str]) -> None:
    told = asked(**fields)
    names = ("enable_thinking", "max_tokens", "thinking_budget")
    assert {name: told.body["parameters"][name] for name in names if name in told.body["parameters"]} == written
    assert told.dropped == dropped


def test_a_models_own_limit_of_thinking() -> None:
    told = parameters("qwen3-32b", DashScopeOptions(max_thinking_tokens=100))
    assert (told["max_tokens"], told["thinking_budget"]) == (900, 100)
    assert "enable_thinking" not in told


def test_what_has_the_same_name_there() -> None:
    given = {"temperature": 0.5, "top_p": 0.8, "seed": 7, "stop": ["END"], "top_k": 20, "repetition_penalty": 1.05}
    given |= {"presence_penalty": 1, "logprobs": True, "top_logprobs": 2, "translation_options": {"target_lang": "English"}}
    assert {**parameters(**given), **given} == parameters(**given)


@pytest.mark.parametrize(
    ("fields", "moved"),
    [({"temperature": 2}, 1.99), ({"temperature": 0}, 0), ({"top_p": 0}, 1e-6), ({"top_p": 1}, 0.999999)],
)
def test_numbers_out_of_bounds_are_moved(fields: dict[str, Any], moved: float) -> None:
    [name] = fields
    assert parameters(**fields)[name] == moved


@pytest.mark.parametrize(
    ("choice", "tools", "written", "dropped"),
    [
        ("auto", [NOW], None, []),
        ("none", [NOW], "none", []),
        ("required", [NOW], FORCED, []),
        ("required", [NOW, THEN], None, ["tool_choice"]),
        (FORCED, [NOW, THEN], FORCED, []),
    ],
)
def test_tools_and_the_choice_among_them(choice: Any, tools: Any, written: Any, dropped: list[str]) -> None:
    told = asked(tools=tools, tool_choice=choice, parallel_tool_calls=False)
    assert told.body["parameters"]["tools"] == tools
    assert told.body["parameters"]["parallel_tool_calls"] is False
    assert (told.body["parameters"].get("tool_choice"), told.dropped) == (written, dropped)


def test_schemas_for_models_that_know_them() -> None:
    assert parameters("qwen3.7-plus", response_format=SCHEMA)["response_format"] == SCHEMA
    told = asked(response_format=SCHEMA)
    assert told.body["parameters"]["response_format"] == {"type": "json_object"}
    assert told.dropped == ["response_format.json_schema"]
    assert parameters(response_format={"type": "json_object"})["response_format"] == {"type": "json_object"}
    assert "response_format" not in parameters(response_format={"type": "text"})


def test_messages_of_every_role() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "now", "arguments": "{}"}}
    assert messages(
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "12:00"},
        {"role": "assistant", "content": "I ", "refusal": "can't."},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}], "refusal": "Never."},
    ) == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "ab"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "12:00", "tool_call_id": "call_1"},
        {"role": "assistant", "content": "I can't."},
        {"role": "assistant", "content": "No.Never."},
    ]


def test_pictures_and_videos_stay_parts_with_what_they_share() -> None:
    image = {"url": "data:image/png;base64,iVBORw0=", "detail": "auto"}
    told = asked(
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "compare", "cache_control": {"type": "ephemeral"}},
                    {"type": "image_url", "image_url": image, "max_pixels": 1000},
                    {"type": "video_url", "video_url": {"url": "oss://a/b.mp4"}, "fps": 2},
                ],
            }
        ]
    )
    assert told.body["input"]["messages"][0]["content"] == [
        {"text": "compare", "cache_control": {"type": "ephemeral"}},
        {"image": "data:image/png;base64,iVBORw0=", "max_pixels": 1000},
        {"video": "oss://a/b.mp4", "fps": 2},
    ]
    assert (told.media, told.dropped) == (["data:image/png;base64,iVBORw0=", "oss://a/b.mp4"], [])


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://a", 7, None])
def test_pictures_from_elsewhere_are_refused(url: Any) -> None:
    with pytest.raises(BadRequest) as refused:
        messages({"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]})
    assert refused.value.param == "messages[0].content[0].image_url.url"


def test_reasoning_is_not_taken_back_and_other_members_are_named() -> None:
    said = {"role": "assistant", "content": "a", "reasoning_content": "b", "name": "c"}
    told = asked(messages=[said], seed=1, user="u", frequency_penalty=0)
    assert told.body["input"]["messages"] == [{"role": "assistant", "content": "a"}]
    assert told.dropped == ["user", "messages[].reasoning_content", "messages[].name"]


def test_or_refused_if_the_operator_says_so() -> None:
    with pytest.raises(BadRequest) as refused:
        asked(options=DashScopeOptions(unknown_fields="reject"), user="u")
    assert refused.value.param == "user"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"enable_search": True}, "enable_search"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0].type"),
        ({"tools": [NOW], "tool_choice": {"type": "custom"}}, "tool_choice"),
        ({"messages": [{"role": "function", "name": "f", "content": "1"}]}, "messages[0].role"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"type": "custom"}]}]}, "messages[0].tool_calls[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages[0].content[0].type"),
    ],
)
def test_what_cannot_be_left_out_is_refused(fields: dict[str, Any], param: str) -> None:
    price = Price(tools={"web_search": 1}, service_tiers={"flex": Fraction(1, 2)})
    with pytest.raises(BadRequest) as refused:
        asked(price=price, **fields)
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", param)


def test_the_clients_body_stays_as_it_is() -> None:
    body = {"tools": [NOW], "temperature": 2, "thinking": {"type": "enabled", "budget_tokens": 9}}
    before = json.dumps(body)
    asked(**body)
    assert json.dumps(body) == before
