"""Simulator: a request in, events out, without chance and without network."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from adapters.simulator import Simulator, SimulatorOptions
from adapters.simulator_answer import compose, fingerprint
from proxy import (
    DONE,
    BadRequest,
    ChatEvent,
    ChatRequest,
    Emit,
    Finish,
    Progress,
    ReasoningDelta,
    Started,
    Step,
    StreamTruncated,
    TextDelta,
    ToolCallDelta,
    UpstreamBusy,
    UpstreamError,
    UpstreamFailed,
    UpstreamRejectedUs,
    Usage,
    Wait,
)
from proxy.adapter import open_exchange
from proxy.errors import Remedy
from proxy.money import Price
from tests.adapters import dialect

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 2}},
            "required": ["city", "days"],
            "additionalProperties": False,
        },
    },
}
CLOCK = {"type": "function", "function": {"name": "get_time"}}
ARGUMENTS = '{"city": "simulated", "days": 2}'


def ask(text: str = "hi there", **fields: Any) -> ChatRequest:
    body = {"messages": [{"role": "user", "content": text}], **fields}
    chat = dialect.chat(body, stream=fields.get("stream", False))
    return replace(chat, n=fields.get("n", 1), body_bytes=len(json.dumps(chat.body)))


def play(chat: ChatRequest, cap: int = 1000, price: Price | None = None, **options: Any) -> list[Step | UpstreamError]:
    """All steps of one exchange; last the error, should it end in one."""
    target = dialect.target(SimulatorOptions(**options), output_cap=cap, price=price)
    exchange = Simulator().open(chat, target)
    steps: list[Step | UpstreamError] = []
    try:
        while (step := exchange.next()) is not DONE:
            steps.append(step)
    except UpstreamError as error:
        steps.append(error)
    return steps


def events(chat: ChatRequest, cap: int = 1000, **options: Any) -> list[ChatEvent]:
    return [event for step in play(chat, cap, **options) for event in (step.events if isinstance(step, Emit) else ())]


def text(told: list[ChatEvent], index: int = 0) -> str:
    return "".join(event.text for event in told if isinstance(event, TextDelta) and event.index == index)


def arguments(told: list[ChatEvent], position: int = 0) -> str:
    calls = [event for event in told if isinstance(event, ToolCallDelta) and event.position == position]
    return "".join(call.arguments for call in calls)


def names(told: list[ChatEvent]) -> list[str]:
    return [event.name for event in told if isinstance(event, ToolCallDelta) and event.name]


def usage(told: list[ChatEvent]) -> Usage:
    assert isinstance(told[-1], Usage)
    return told[-1]


def test_an_answer() -> None:
    assert play(ask(), reply="Hello, dear user.", chunk_words=2) == [
        Emit((Started(model="up-1"), TextDelta("Hello, dear"))),
        Emit((TextDelta(" user."),)),
        Emit(
            (
                Finish("stop"),
                Usage(
                    input_tokens=6,
                    output_tokens=3,
                    reported={
                        "prompt_tokens": 6,
                        "completion_tokens": 3,
                        "total_tokens": 9,
                        "prompt_tokens_details": {"cached_tokens": 0},
                        "completion_tokens_details": {"reasoning_tokens": 0},
                    },
                ),
            )
        ),
    ]


def test_it_says_that_it_is_simulated_and_repeats_the_question() -> None:
    told = text(events(ask("How are\nyou?")))
    assert told == "This is a simulated answer from Paifang, no model was asked. You said: How are you?"


def test_it_says_what_to_set_for_real_answers() -> None:
    speech = compose(ask("Hi"), lacking=("ARK_API_KEY", "providers.relay.api_key"))
    assert speech.text == (
        "This is a simulated answer from Paifang, no model was asked. "
        "Set ARK_API_KEY or providers.relay.api_key to get real ones. You said: Hi"
    )


def test_each_word_and_each_chinese_character_is_a_token() -> None:
    told = events(ask(), reply="ok 你好")
    assert [event.text for event in told if isinstance(event, TextDelta)] == ["ok", " 你", "好"]
    assert usage(told).output_tokens == 3


@pytest.mark.parametrize(("cap", "finish"), [(1, "length"), (14, "length"), (15, "stop")])
def test_the_cap(cap: int, finish: str) -> None:
    told = events(ask(), cap)
    assert Finish(finish) in told
    assert usage(told).output_tokens == cap


@pytest.mark.parametrize("stop", ["simulated", ["nothing", "answer", "simulated"]])
def test_stop_sequences_are_not_said(stop: Any) -> None:
    told = events(ask(stop=stop))
    assert text(told) == "This is a "
    assert Finish("stop") in told


def test_choices_share_the_usage() -> None:
    told = events(ask(n=3), cap=2)
    assert [text(told, index) for index in range(3)] == ["This is"] * 3
    assert told[-4:-1] == [Finish("length", 0), Finish("length", 1), Finish("length", 2)]
    assert usage(told).output_tokens == 6


def test_usage_grows_with_the_request() -> None:
    short, long = usage(events(ask("hi"))), usage(events(ask("hi" * 100)))
    assert (short.input_tokens, long.input_tokens) == (5, 54)
    assert usage(events(ask("hi", tools=[WEATHER]))).input_tokens > short.input_tokens


def test_the_same_request_gets_the_same_answer() -> None:
    assert events(ask("hi")) == events(ask("hi"))
    assert events(ask("hi")) != events(ask("ho"))


# ── tools ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("choice", "question", "called"),
    [
        ("required", "hi", ["get_weather"]),
        ("required", "use get_time", ["get_time"]),
        ({"type": "function", "function": {"name": "get_time"}}, "hi", ["get_time"]),
        ("auto", "use get_weather, please", ["get_weather"]),
        ("auto", "use get_weather and get_time", ["get_weather", "get_time"]),
        ("auto", "hi", []),
        ("none", "use get_weather", []),
    ],
)
def test_which_tools_are_called(choice: Any, question: str, called: list[str]) -> None:
    told = events(ask(question, tools=[WEATHER, CLOCK], tool_choice=choice))
    assert names(told) == called
    assert Finish("tool_calls" if called else "stop") in told


def test_a_call_has_an_id_and_arguments_valid_for_its_schema() -> None:
    chat = ask("get_weather get_time", tools=[WEATHER, CLOCK])
    told, identity = events(chat, chunk_words=9), fingerprint(chat)
    assert told[1:-1] == [
        ToolCallDelta(position=0, id=f"call_sim_{identity}_0_0", name="get_weather", arguments=ARGUMENTS),
        ToolCallDelta(position=1, id=f"call_sim_{identity}_0_1", name="get_time", arguments="{}"),
        Finish("tool_calls"),
    ]
    assert usage(told).output_tokens == 1 + 4 + 1 + 1


def test_calls_in_words_and_one_at_a_time() -> None:
    told = events(ask("get_weather get_time", tools=[WEATHER, CLOCK], parallel_tool_calls=False))
    assert names(told) == ["get_weather"]
    assert arguments(told) == ARGUMENTS


def test_a_cap_cuts_arguments_as_it_would_in_reality() -> None:
    told = events(ask(tools=[WEATHER], tool_choice="required"), cap=2)
    assert arguments(told) == '{"city":'
    assert Finish("length") in told


def test_a_tool_result_is_told() -> None:
    messages = [
        {"role": "user", "content": "get_weather in Rome"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "function": WEATHER["function"]}]},
        {"role": "tool", "tool_call_id": "c", "content": "sunny, 21 °C"},
    ]
    told = events(ask(messages=messages, tools=[WEATHER]))
    assert text(told).endswith("The tool answered: sunny, 21 °C")
    assert Finish("stop") in told


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"tool_choice": "required"}, "invalid_value", "tool_choice"),
        (
            {"tools": [CLOCK], "tool_choice": {"type": "function", "function": {"name": "x"}}},
            "invalid_value",
            "tool_choice",
        ),
        ({"tools": [CLOCK], "tool_choice": {"type": "custom"}}, "unsupported_parameter", "tool_choice"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "unsupported_parameter", "tools[0].type"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"not": {}}}}},
            "unsupported_parameter",
            "response_format.json_schema.schema",
        ),
        ({"service_tier": "flex"}, "unsupported_parameter", "service_tier"),
    ],
)
def test_what_it_cannot_do_is_refused(fields: dict[str, Any], code: str, param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        play(ask(**fields))
    assert (refused.value.code, refused.value.param) == (code, param)


# ── formats, reasoning ─────────────────────────────────────────────────────────────────────────────────────────────


def test_json_for_a_schema_and_json_of_any_shape() -> None:
    schema = WEATHER["function"]["parameters"]
    told = events(ask(response_format={"type": "json_schema", "json_schema": {"name": "w", "schema": schema}}))
    assert text(told) == ARGUMENTS
    assert json.loads(text(events(ask(response_format={"type": "json_object"}), reply="ok"))) == {"answer": "ok"}


@pytest.mark.parametrize(
    ("fields", "reasons"),
    [
        ({"thinking": {"type": "enabled"}}, True),
        ({"thinking": {"type": "disabled"}, "enable_thinking": True}, False),
        ({"enable_thinking": True}, True),
        ({"enable_thinking": False, "reasoning_effort": "high"}, False),
        ({"reasoning_effort": "low"}, True),
        ({"reasoning_effort": "minimal"}, False),
        ({}, False),
    ],
)
def test_reasoning_comes_first_and_is_counted(fields: dict[str, Any], reasons: bool) -> None:
    told = events(ask(**fields), reply="ok", chunk_words=99)
    assert isinstance(told[1], ReasoningDelta) == reasons
    counted = usage(told)
    assert (counted.reasoning_tokens, counted.output_tokens) == ((11, 12) if reasons else (0, 1))


def test_the_cap_covers_reasoning() -> None:
    told = events(ask(enable_thinking=True), cap=5)
    assert (usage(told).reasoning_tokens, usage(told).output_tokens, text(told)) == (5, 5, "")
    assert Finish("length") in told


def test_fields_without_a_meaning_here_are_named() -> None:
    target = dialect.target(SimulatorOptions())
    exchange = Simulator().open(ask(logprobs=True, temperature=0.5, x_custom=1), target)
    assert list(exchange.dropped) == ["logprobs", "x_custom"]


def test_a_priced_service_tier_is_metered() -> None:
    (*_, last) = play(ask(service_tier="flex"), price=Price(service_tiers={"flex": Fraction(1, 2)}))
    assert isinstance(last, Emit)
    assert usage(list(last.events)).service_tier == "flex"


# ── the script ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("words", [1, 2, 3, 250])
def test_answers_of_any_size(words: int) -> None:
    assert usage(events(ask(), words=words)).output_tokens == words
    assert usage(events(ask(), reply="你好 ok", words=words)).output_tokens == words


def test_delays() -> None:
    steps = play(ask(), reply="a b c", delay_ms=200, chunk_delay_ms=50)
    waits = [step.seconds for step in steps if isinstance(step, Wait)]
    assert waits == [0.2, 0.05, 0.05]
    assert isinstance(steps[0], Wait)


@pytest.mark.parametrize(
    ("status", "kind"), [(429, UpstreamBusy), (500, UpstreamFailed), (401, UpstreamRejectedUs), (503, UpstreamFailed)]
)
def test_an_error_before_the_answer(status: int, kind: type[UpstreamError]) -> None:
    (error,) = play(ask(), fail={"status": status, "code": "ServerOverloaded", "retry_after_s": 7})
    assert isinstance(error, kind)
    assert error.upstream == {"status": status, "code": "ServerOverloaded", "request_id": ""}
    assert status != 429 or error.retry_after_s == 7


def test_an_answer_that_breaks_off() -> None:
    first, second, error = play(ask(), reply="a b c", fail={"after_chunks": 2})
    assert isinstance(first, Emit)
    assert second == Emit((TextDelta(" b"),))
    assert isinstance(error, StreamTruncated)


@pytest.mark.parametrize(
    ("stream", "after_chunks", "progress"),
    [(False, 1, Progress.AMBIGUOUS), (False, 0, Progress.HEADERS_ONLY), (True, 1, Progress.HEADERS_ONLY)],
)
def test_half_a_json_answer_was_made(stream: bool, after_chunks: int, progress: Progress) -> None:
    error = play(ask(stream=stream), reply="a b", fail={"after_chunks": after_chunks})[-1]
    assert isinstance(error, StreamTruncated)
    assert error.progress is progress


def test_a_fault_behind_the_answers_end_comes_before_its_finish() -> None:
    (_, error) = play(ask(), reply="a", fail={"after_chunks": 9, "status": 500})
    assert isinstance(error, UpstreamFailed)


def test_a_silence_and_then_the_rest() -> None:
    steps = play(ask(), reply="a b", fail={"stall_s": 3, "after_chunks": 1})
    assert [step for step in steps if isinstance(step, Wait)] == [Wait(3)]
    assert steps[1] == Wait(3)
    assert isinstance(steps[-1], Emit)


def test_a_fault_for_some_questions_only() -> None:
    fault = {"status": 500, "when": "break"}
    assert isinstance(play(ask("please break"), fail=fault)[-1], UpstreamFailed)
    assert isinstance(play(ask("please don't"), fail=fault)[-1], Emit)


@pytest.mark.parametrize("options", [{"fail": {}}, {"fail": {"status": 200}}, {"delay": 3}, {"reply": " "}, {"words": 0}])
def test_options_are_checked(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SimulatorOptions(**options)


@given(
    question=st.text(max_size=60),
    cap=st.integers(1, 40),
    n=st.integers(1, 3),
    words=st.none() | st.integers(1, 60),
    thinks=st.booleans(),
    stop=st.none() | st.text(max_size=3) | st.lists(st.text(max_size=3), max_size=3),
)
def test_usage_stays_within_its_bounds(question: str, cap: int, n: int, words: int | None, thinks: bool, stop: Any) -> None:
    fields = {"stop": stop} if stop is not None else {}
    chat = ask(question, n=n, enable_thinking=thinks, **fields)
    told = events(chat, cap, words=words)
    counted = usage(told)
    assert 0 < counted.input_tokens <= chat.body_bytes
    assert 0 <= counted.output_tokens <= cap * n
    assert counted.reasoning_tokens <= counted.output_tokens
    assert len([event for event in told if isinstance(event, Finish)]) == n
    pieces = [event for event in told if isinstance(event, TextDelta | ReasoningDelta)]
    assert len(pieces) == counted.output_tokens


@pytest.mark.parametrize(
    ("chat", "fits"),
    [
        (ask("x" * 400), 104),
        (ChatRequest(task="embeddings", body={"input": "one two three"}, body_bytes=30, model="m"), 3),
    ],
)
def test_what_has_no_room_in_the_context_is_refused(chat: ChatRequest, fits: int) -> None:
    target = dialect.target(SimulatorOptions())
    assert isinstance(open_exchange(Simulator(), chat, replace(target, context_tokens=fits)).next(), Emit)
    with pytest.raises(UpstreamError) as refused:
        open_exchange(Simulator(), chat, replace(target, context_tokens=fits - 1)).next()
    assert (refused.value.code, refused.value.remedy) == ("context_length_exceeded", Remedy.NEVER)
