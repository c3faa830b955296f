"""ArkMessages: a Chat Completions body in, a Messages body out; Messages bytes in, events out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from arkruntime.types.messages import MessagesRequest
from multidict import CIMultiDict

from adapters.ark_messages import ArkMessages, ArkMessagesOptions
from proxy import (
    DONE,
    BadRequest,
    ChatEvent,
    ChatRequest,
    Exchange,
    Extra,
    Finish,
    ReasoningDelta,
    Remedy,
    Send,
    Started,
    StreamTruncated,
    Target,
    TextDelta,
    ToolCallDelta,
    UpstreamBusy,
    UpstreamError,
    UpstreamFailed,
    UpstreamProtocolError,
    UpstreamRejectedUs,
    Usage,
)
from proxy.money import Price
from tests.adapters import dialect
from tests.adapters.dialect import JSON, SSE, hear, three_ways


def target(price: Price | None = None, **options: Any) -> Target:
    model = "doubao-seed-2-0-lite-260428"
    return dialect.target(ArkMessagesOptions(**options), upstream_model=model, output_cap=300, price=price)


def ask(*messages: dict[str, Any], **fields: Any) -> ChatRequest:
    body = {**({"messages": list(messages)} if messages else {}), **fields}
    return replace(dialect.chat(body, stream=fields.get("stream", False)), n=fields.get("n", 1))


def opened(chat: ChatRequest, route: Target | None = None) -> tuple[Exchange, dict[str, Any]]:
    exchange = ArkMessages().open(chat, route or target())
    send = exchange.next()
    assert isinstance(send, Send)
    assert exchange.next() is DONE
    return exchange, json.loads(send.body)


def sent(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return opened(ask(*messages, **fields))[1]


def turns(*messages: dict[str, Any]) -> list[dict[str, Any]]:
    return sent(*messages)["messages"]


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value}


# ── the request ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_question_becomes_a_message() -> None:
    exchange = ArkMessages().open(ask({"role": "user", "content": "hi"}, stream=True), target())
    send = exchange.next()
    assert isinstance(send, Send)
    assert send.path == "/v1/messages"
    assert send.headers == {"accept": "text/event-stream", "anthropic-version": "2023-06-01"}
    assert send.stream
    assert json.loads(send.body) == {
        "model": "doubao-seed-2-0-lite-260428",
        "max_tokens": 300,
        "messages": [{"role": "user", "content": [text("hi")]}],
        "stream": True,
    }


def test_system_messages_at_the_start_become_the_system_text_and_later_ones_stay_in_their_place() -> None:
    body = sent(
        {"role": "system", "content": "be brief"},
        {"role": "developer", "content": [{"type": "text", "text": "be kind"}]},
        {"role": "user", "content": "hi"},
        {"role": "system", "content": "now be long"},
    )
    assert body["system"] == "be brief\n\nbe kind"
    assert body["messages"] == [
        {"role": "user", "content": [text("hi")]},
        {"role": "system", "content": [text("now be long")]},
    ]


def test_one_message_is_left_where_all_are_the_systems() -> None:
    assert turns({"role": "system", "content": "hi"}) == [{"role": "system", "content": [text("hi")]}]


def test_images_by_url_and_as_data() -> None:
    parts = [
        {"type": "text", "text": "compare"},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "auto"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0="}},
    ]
    assert turns({"role": "user", "content": parts})[0]["content"] == [
        text("compare"),
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0="}},
    ]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "data:image/png,raw", "data:image/png;base64", 7, None])
def test_images_from_elsewhere_are_refused(url: Any) -> None:
    with pytest.raises(BadRequest) as refused:
        sent({"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]})
    assert refused.value.param == "messages[0].content[0].image_url.url"


@pytest.mark.parametrize("kind", ["input_audio", "video_url", "file"])
def test_parts_the_door_does_not_take_are_refused_by_their_place(kind: str) -> None:
    part = {"type": kind, kind: {}}
    with pytest.raises(BadRequest) as refused:
        sent({"role": "user", "content": "hi"}, {"role": "user", "content": [text("see"), part]})
    assert (refused.value.code, refused.value.param) == (
        "unsupported_parameter",
        "messages[1].content[1].type",
    )


def test_a_tool_loop_keeps_thinking_signature_calls_and_results() -> None:
    calls = [
        {"id": "call_1", "type": "function", "function": {"name": "now", "arguments": '{"zone": "UTC"}'}},
        {"id": "call_2", "type": "function", "function": {"name": "ping", "arguments": ""}},
    ]
    assistant = {
        "role": "assistant",
        "content": None,
        "reasoning_content": "two calls",
        "encrypted_content": "c2ln",
        "tool_calls": calls,
    }
    assert turns(
        {"role": "user", "content": "what time is it?"},
        assistant,
        {"role": "tool", "tool_call_id": "call_1", "content": "12:00"},
        {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "pong"}]},
        {"role": "user", "content": "well?"},
    )[1:] == [
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "two calls", "signature": "c2ln"},
                {"type": "tool_use", "id": "call_1", "name": "now", "input": {"zone": "UTC"}},
                {"type": "tool_use", "id": "call_2", "name": "ping", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "call_1", "content": "12:00"},
                {"type": "tool_result", "tool_use_id": "call_2", "content": [text("pong")]},
                text("well?"),
            ],
        },
    ]


def test_the_vendors_own_types_accept_what_is_sent() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "now", "arguments": '{"zone": "UTC"}'}}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0="}}
    body = sent(
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [text("what time is it?"), image]},
        {"role": "assistant", "reasoning_content": "a call", "encrypted_content": "c2ln", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "12:00"},
        {"role": "system", "content": "hurry"},
        tools=[{"type": "function", "function": {"name": "now", "strict": True, "parameters": {"type": "object"}}}],
        tool_choice="required",
        parallel_tool_calls=False,
        enable_thinking=True,
        reasoning_effort="low",
        stop=["END"],
        user="u-1",
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}},
    )
    read = MessagesRequest.model_validate(body)
    assert json.loads(read.model_dump_json(exclude_unset=True, by_alias=True)) == body


@pytest.mark.parametrize("written", ['{"a": ', "[1]", "NaN", "[" * 100_000])
def test_arguments_that_are_no_object_are_shown_to_the_model_as_they_are(written: str) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": written}}
    (turn,) = turns({"role": "assistant", "tool_calls": [call]})
    assert turn["content"][0]["input"] == {"arguments": written}


def test_arguments_of_any_depth_are_sent_or_refused() -> None:
    for depth in (300, 900, 950, 980, 990):
        written = '{"a":' * depth + "1" + "}" * depth
        call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": written}}
        try:
            sent({"role": "assistant", "tool_calls": [call]})
        except BadRequest as refused:
            assert refused.param == "messages"


@pytest.mark.parametrize("name", ["refusal", "reasoning_content", "encrypted_content"])
def test_texts_that_are_none_are_refused_by_their_place(name: str) -> None:
    with pytest.raises(BadRequest) as refused:
        sent({"role": "assistant", "content": "", name: True})
    assert refused.value.param == f"messages[0].{name}"


def test_integers_and_lone_surrogates_are_not_lost() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"n": 123456789012345678901}'}}
    (user, assistant) = turns({"role": "user", "content": "\ud800"}, {"role": "assistant", "tool_calls": [call]})
    assert user["content"] == [text("\ud800")]
    assert assistant["content"][0]["input"] == {"n": 123456789012345678901}


def test_an_answer_that_was_refused_or_empty_stays_a_turn() -> None:
    refusal = {"role": "assistant", "content": None, "refusal": "I can't."}
    empty = {"role": "assistant", "content": ""}
    question = {"role": "user", "content": "hi"}
    assert [turn["content"] for turn in turns(question, refusal, question, empty, question)] == [
        [text("hi")],
        [text("I can't.")],
        [text("hi")],
        "",
        [text("hi")],
    ]


def test_sampling_stop_user_and_format() -> None:
    schema = {"type": "object"}
    body = sent(
        temperature=0.2,
        top_p=0.9,
        stop="END",
        user="u-1",
        max_tokens=9,
        response_format={"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema}},
    )
    assert body["temperature"] == 0.2
    assert body["top_p"] == 0.9
    assert body["stop_sequences"] == ["END"]
    assert body["metadata"] == {"user_id": "u-1"}
    assert body["output_format"] == {"type": "json_schema", "schema": schema}
    assert body["max_tokens"] == 300
    assert sent(response_format={"type": "json_object"})["output_format"] == {"type": "json_object"}
    assert "output_format" not in sent(response_format={"type": "text"})


@pytest.mark.parametrize(
    ("choice", "written"),
    [
        ("auto", {"type": "auto"}),
        ("none", {"type": "none"}),
        ("required", {"type": "any"}),
        ({"type": "function", "function": {"name": "now"}}, {"type": "tool", "name": "now"}),
    ],
)
def test_tools_and_the_choice_among_them(choice: Any, written: dict[str, Any]) -> None:
    parameters = {"type": "object", "properties": {"zone": {"type": "string"}}}
    function = {"name": "now", "description": "the time", "parameters": parameters}
    body = sent(tools=[{"type": "function", "function": function}], tool_choice=choice)
    assert body["tools"] == [{"name": "now", "description": "the time", "input_schema": parameters}]
    assert body["tool_choice"] == written


def test_calls_one_at_a_time_and_tools_without_parameters() -> None:
    body = sent(tools=[{"type": "function", "function": {"name": "now"}}], parallel_tool_calls=False)
    assert body["tools"] == [{"name": "now", "input_schema": {"type": "object"}}]
    assert body["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}


@pytest.mark.parametrize(
    ("fields", "written", "dropped"),
    [
        ({"thinking": {"type": "enabled"}}, {"thinking": {"type": "enabled"}}, []),
        ({"thinking": {"type": "auto"}}, {"thinking": {"type": "adaptive"}}, []),
        ({"enable_thinking": True}, {"thinking": {"type": "enabled"}}, []),
        ({"enable_thinking": False}, {"thinking": {"type": "disabled"}}, []),
        ({"reasoning_effort": "high"}, {"output_config": {"effort": "high"}}, []),
        (
            {"enable_thinking": False, "reasoning_effort": "high"},
            {"thinking": {"type": "disabled"}},
            ["reasoning_effort"],
        ),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 99}},
            {"thinking": {"type": "enabled"}},
            ["thinking.budget_tokens"],
        ),
    ],
)
def test_thinking(fields: dict[str, Any], written: dict[str, Any], dropped: list[str]) -> None:
    exchange, body = opened(ask(**fields))
    assert {name: body[name] for name in ("thinking", "output_config") if name in body} == written
    assert list(exchange.dropped) == dropped


def test_what_has_no_place_is_left_out_and_named() -> None:
    chat = ask({"role": "user", "name": "ann", "content": "hi"}, seed=7, base_url="http://evil", presence_penalty=0)
    exchange, body = opened(chat)
    assert list(exchange.dropped) == ["base_url", "seed", "messages[].name"]
    assert body.keys() == {"model", "max_tokens", "messages", "stream"}


def test_or_refused_if_the_operator_says_so() -> None:
    with pytest.raises(BadRequest) as refused:
        opened(ask(seed=7), target(unknown_fields="reject"))
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", "seed")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0].type"),
        (
            {"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": {"type": "custom"}},
            "tool_choice",
        ),
        ({"messages": [{"role": "function", "name": "f", "content": "1"}]}, "messages[0].role"),
    ],
)
def test_what_cannot_be_left_out_is_refused(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        opened(ask(**fields))
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", param)


def test_a_service_tier_with_a_price_is_asked_for_and_metered() -> None:
    priced = target(Price(service_tiers={"flex": Fraction(1, 2), "fast": Fraction(2)}))
    exchange, body = opened(ask(service_tier="flex"), priced)
    assert body["service_tier"] == "flex"
    *_, usage = hear(exchange, [dumped(MESSAGE)], headers=JSON).events
    assert isinstance(usage, Usage)
    assert usage.service_tier == "flex"
    with pytest.raises(BadRequest, match="'fast'"):
        opened(ask(service_tier="fast"), priced)


# ── the answer ─────────────────────────────────────────────────────────────────────────────────────────────────────

MESSAGE: dict[str, Any] = {
    "id": "0217",
    "type": "message",
    "role": "assistant",
    "model": "doubao-seed-2-0-lite-260428",
    "content": [
        {"type": "thinking", "thinking": "a clock", "signature": "c2ln"},
        {"type": "text", "text": "Let me see."},
        {"type": "tool_use", "id": "call_1", "name": "now", "input": {"zone": "UTC"}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {"input_tokens": 8, "output_tokens": 5, "cache_read_input_tokens": 32},
}
TOOL_USE = {"type": "tool_use", "id": "call_1", "name": "now", "input": {}}
EVENTS: list[dict[str, Any]] = [
    {"type": "message_start", "message": {**MESSAGE, "content": [], "stop_reason": None, "usage": {"input_tokens": 40}}},
    {"type": "ping"},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "a clock"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "c2ln"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Let me "}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "see."}},
    {"type": "content_block_stop", "index": 1},
    {"type": "content_block_start", "index": 2, "content_block": TOOL_USE},
    {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": '{"zone"'}},
    {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": ': "UTC"}'}},
    {"type": "content_block_stop", "index": 2},
    {"type": "surprise", "value": 1},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": MESSAGE["usage"]},
    {"type": "message_stop"},
]  # fmt: skip
STARTED = Started(id="0217", model="doubao-seed-2-0-lite-260428")
USAGE = Usage(
    input_tokens=40,
    output_tokens=5,
    cached_input_tokens=32,
    reported={
        "prompt_tokens": 40,
        "completion_tokens": 5,
        "total_tokens": 45,
        "prompt_tokens_details": {"cached_tokens": 32},
    },
)
STREAMED = [
    STARTED,
    ReasoningDelta("a clock"),
    Extra(delta={"encrypted_content": "c2ln"}),
    TextDelta("Let me "),
    TextDelta("see."),
    ToolCallDelta(position=0, id="call_1", name="now"),
    ToolCallDelta(position=0, arguments='{"zone"'),
    ToolCallDelta(position=0, arguments=': "UTC"}'),
    Finish("tool_calls"),
    USAGE,
]

AFTER = b'data: {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 999}}\n\n:x'


def dumped(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def framed(events: Iterable[dict[str, Any]], *, named: bool = True) -> bytes:
    return b"".join(
        (f"event: {event['type']}\n".encode() if named else b"") + b"data: " + dumped(event) + b"\n\n" for event in events
    )


def answered(data: bytes, headers: Mapping[str, str] = SSE) -> list[ChatEvent]:
    told = three_ways(lambda: opened(ask(stream=headers is SSE))[0], data, headers=headers)
    assert told.fault is None
    return told.events


def failed(data: bytes, headers: Mapping[str, str] = JSON, status: int = 200) -> UpstreamError:
    exchange, _ = opened(ask(stream=headers is SSE))
    fault = hear(exchange, [data], status=status, headers={**headers, "x-request-id": "req-1"}).fault
    assert fault is not None
    return fault


@pytest.mark.parametrize("named", [True, False])
def test_a_stream_with_and_without_event_lines(named: bool) -> None:
    told = three_ways(lambda: opened(ask(stream=True))[0], framed(EVENTS, named=named), after=AFTER)
    assert (told.events, told.fault) == (STREAMED, None)


def test_events_leave_as_they_come() -> None:
    exchange, _ = opened(ask(stream=True))
    exchange.feed_head(200, CIMultiDict(SSE))
    arrived = [list(exchange.feed_data(framed([event]))) for event in EVENTS]
    assert [event for events in arrived for event in events] == STREAMED
    assert arrived[7] == [TextDelta("Let me ")]


def test_a_json_answer_whatever_was_asked_for() -> None:
    told = [
        STARTED,
        ReasoningDelta("a clock"),
        Extra(delta={"encrypted_content": "c2ln"}),
        TextDelta("Let me see."),
        ToolCallDelta(position=0, id="call_1", name="now"),
        ToolCallDelta(position=0, arguments='{"zone":"UTC"}'),
        Finish("tool_calls"),
        USAGE,
    ]
    for stream in (True, False):
        exchange, _ = opened(ask(stream=stream))
        assert hear(exchange, [dumped(MESSAGE)], headers=JSON).events == told


def test_a_stream_where_json_was_asked_for() -> None:
    exchange, _ = opened(ask(stream=False))
    assert hear(exchange, [framed(EVENTS)], headers=JSON).events == STREAMED


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("news", "stop"),
        (None, "stop"),
    ],
)
def test_finish_reasons(reason: str | None, finish: str) -> None:
    message = {**MESSAGE, "content": [{"type": "text", "text": "ok"}], "stop_reason": reason}
    assert Finish(finish) in answered(dumped(message), JSON)


def test_a_call_without_arguments_has_an_empty_object() -> None:
    events = [EVENTS[0], *EVENTS[10:11], {"type": "content_block_stop", "index": 2}, *EVENTS[-2:]]
    assert ToolCallDelta(position=0, arguments="{}") in answered(framed(events))


def test_two_signatures_are_not_joined() -> None:
    thought = MESSAGE["content"][0]
    events = answered(dumped({**MESSAGE, "content": [thought, thought]}), JSON)
    assert [event for event in events if isinstance(event, Extra)] == [Extra(delta={"encrypted_content": "c2ln"})]


@pytest.mark.parametrize(
    ("start", "deltas", "counted"),
    [
        ({"input_tokens": 9}, [{"output_tokens": 4}], (9, 4, 0)),
        ({"input_tokens": 9, "output_tokens": 1}, [{"output_tokens": 2}, {"output_tokens": 5}], (9, 5, 0)),
        ({"input_tokens": 9}, [{"output_tokens": 5}, {"output_tokens": 3}], (9, 5, 0)),
        ({"input_tokens": 9}, [{"input_tokens": 4, "cache_read_input_tokens": 5, "output_tokens": 2}], (9, 2, 5)),
        ({"input_tokens": 9}, [{"input_tokens": 0, "output_tokens": 2}], (9, 2, 0)),
        ({}, [{"input_tokens": 7, "output_tokens": 0}], (7, 0, 0)),
    ],
)
def test_counts_are_cumulative(start: Any, deltas: list[Any], counted: tuple[int, int, int]) -> None:
    events = [{"type": "message_start", "message": {"usage": start}}]
    events += [{"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage} for usage in deltas]
    *_, usage = answered(framed([*events, {"type": "message_stop"}]))
    assert isinstance(usage, Usage)
    assert (usage.input_tokens, usage.output_tokens, usage.cached_input_tokens) == counted


@pytest.mark.parametrize("usage", [None, {}, {"output_tokens": -1}, {"output_tokens": True}, {"output_tokens": 10**18}])
def test_without_a_sound_count_there_is_no_usage(usage: Any) -> None:
    delta = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage}
    assert answered(framed([EVENTS[0], delta, EVENTS[-1]])) == [STARTED, Finish("stop")]


# ── faults ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_end_before_the_reason_is_a_truncation() -> None:
    for count in range(len(EVENTS) - 2):
        assert isinstance(failed(framed(EVENTS[:count]), SSE), StreamTruncated)


def test_an_end_after_the_reason_is_complete() -> None:
    assert answered(framed(EVENTS[:-1])) == STREAMED
    assert answered(framed(EVENTS[:-1]) + b"data: [DONE]\n\n") == STREAMED
    assert isinstance(failed(framed(EVENTS[:5]) + b"data: [DONE]\n\n", SSE), StreamTruncated)


LIMITED = {"type": "TooManyRequests", "code": "ModelAccountRpmRateLimitExceeded", "message": "m", "param": ""}
ENVELOPES = [{"type": "error", "error": LIMITED}, {"error": LIMITED}]


@pytest.mark.parametrize("body", ENVELOPES)
def test_both_envelopes_of_errors_as_a_status_inside_json_and_inside_a_stream(body: dict[str, Any]) -> None:
    frame = b"event: error\ndata: " + dumped(body) + b"\n\n"
    as_status = failed(dumped(body), status=429)
    for error in (as_status, failed(dumped(body)), failed(frame, SSE)):
        assert isinstance(error, UpstreamBusy)
        assert error.upstream["code"] == "ModelAccountRpmRateLimitExceeded"
        assert error.message != "m"
    assert as_status.upstream["request_id"] == "req-1"


def test_an_error_in_the_middle_follows_what_came_before_it() -> None:
    exchange, _ = opened(ask(stream=True))
    exchange.feed_head(200, CIMultiDict(SSE))
    events = exchange.feed_data(framed(EVENTS[:8]) + b"data: " + dumped(ENVELOPES[0]) + b"\n\n")
    assert list(events) == STREAMED[:4]
    with pytest.raises(UpstreamBusy):
        exchange.feed_eof()


def test_statuses_map_by_arks_codes() -> None:
    envelope = {"type": "error", "error": {"type": "Unauthorized", "code": "AuthenticationError", "message": "", "param": ""}}
    refused = failed(dumped(envelope), status=401)
    assert isinstance(refused, UpstreamRejectedUs)
    assert (refused.status, refused.remedy) == (502, Remedy.BAD_CREDENTIAL)
    assert failed(b"", status=404).code == "upstream_model_unavailable"
    assert isinstance(failed(b"<html>", {"content-type": "text/html"}, 503), UpstreamFailed)


@pytest.mark.parametrize(
    ("status", "headers", "data"),
    [
        (302, {"content-type": "text/plain", "location": "http://evil/"}, b""),
        (204, JSON, b""),
        (200, {"content-type": "text/html"}, b"<html>"),
        (200, JSON, b"SSH-2.0-x"),
        (200, JSON, b'{"choices": []}'),
        (200, JSON, b'{"content": [}'),
        (200, SSE, b"data: nonsense\n\n"),
        (200, SSE, b""),
    ],
)
def test_what_is_no_answer_is_a_protocol_error(status: int, headers: Mapping[str, str], data: bytes) -> None:
    error = failed(data, headers, status)
    assert isinstance(error, UpstreamProtocolError)
    assert error.status == 502
