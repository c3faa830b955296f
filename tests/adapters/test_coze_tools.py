"""Coze's chats that wait for tools of the client: calls, and results that go on with them."""

from __future__ import annotations

from typing import Any

import pytest

from proxy import Finish, Remedy, TextDelta, ToolCallDelta
from tests.adapters import coze_answers as coze
from tests.adapters.coze_answers import (
    CALL,
    CALL_ID,
    CREATED,
    QUERY,
    RESULT,
    STARTED,
    WEATHER_ASKED,
    ask,
    chat,
    completed,
    data,
    delta,
    events,
    fault_of,
    message,
    opened,
    play,
    polled,
    streamed,
    texts,
    usage,
    waiting,
)
from tests.adapters.dialect import three_ways

HI = {"role": "user", "content": "hi"}

WANTS_WEATHER = [
    ToolCallDelta(position=0, id=CALL_ID, name="get_weather", arguments='{"city":"Tokyo"}'),
    Finish("tool_calls"),
]


def test_a_tool_call() -> None:
    body = events(
        CREATED,
        delta("One moment."),
        completed("One moment."),
        completed("get_weather", kind="function_call", number=2),
        ("chat.requires_action", waiting(CALL, tokens=(10, 4))),
        coze.DONE,
    )
    told = three_ways(streamed, body)
    assert told.events == [STARTED, TextDelta("One moment."), usage(10, 4), *WANTS_WEATHER]


def test_two_calls_one_without_arguments() -> None:
    more = {"id": "B2", "type": "function", "function": {"name": "photograph", "arguments": ""}}
    told = three_ways(streamed, events(CREATED, ("chat.requires_action", waiting(CALL, more)), coze.DONE))
    assert told.events[3] == ToolCallDelta(position=1, id="coze_75_74_B2", name="photograph", arguments="{}")


def test_a_question_of_a_workflow_is_an_answer() -> None:
    question = {"id": "", "type": "reply_message", "function": None}
    body = events(CREATED, delta("Which city?"), ("chat.requires_action", waiting(question)), coze.DONE)
    assert three_ways(streamed, body).events[-1] == Finish("stop")


def test_a_polled_tool_call() -> None:
    played = play(polled(), data(chat("in_progress")), data(waiting(CALL, tokens=(10, 4))), data([message("One moment.")]))
    assert played.events[2:] == [TextDelta("One moment."), *WANTS_WEATHER]


def test_results_go_on_with_the_chat_that_waits_and_pay_for_what_is_new() -> None:
    exchange = opened(ask(HI, WEATHER_ASKED, RESULT, stream=True))
    ended = events(CREATED, delta("Warm."), ("chat.completed", chat("completed", (17, 9))), coze.DONE)
    played = play(exchange, data(waiting(CALL, tokens=(10, 4))), ended)
    assert played.asked == [f"POST /v3/chat/retrieve{QUERY}", f"POST /v3/chat/submit_tool_outputs{QUERY}"]
    assert played.bodies[1] == {
        "tool_outputs": [{"tool_call_id": CALL["id"], "output": "22 degrees"}],
        "stream": True,
    }
    assert played.events == [STARTED, TextDelta("Warm."), usage(7, 5), Finish("stop")]


def test_counts_that_begin_anew_are_taken_as_they_are() -> None:
    exchange = opened(ask(HI, WEATHER_ASKED, RESULT, stream=True))
    ended = events(CREATED, delta("Warm."), ("chat.completed", chat("completed", (12, 3))), coze.DONE)
    assert usage(12, 3) in play(exchange, data(waiting(CALL, tokens=(10, 4))), ended).events


def test_results_polled_do_not_repeat_what_was_said_before() -> None:
    before = message("One moment.")
    played = play(
        polled(HI, WEATHER_ASKED, RESULT),
        *map(data, (waiting(CALL, tokens=(10, 4)), [before], chat("in_progress"), chat("completed", (17, 9)))),
        data([before, message("Warm.", number=2)]),
    )
    assert texts(played.events) == "Warm." and usage(7, 5) in played.events


@pytest.mark.parametrize(
    "found",
    [
        chat("completed"),
        waiting({**CALL, "id": "another"}),
        waiting(CALL, {**CALL, "id": "another"}),
        waiting(CALL) | {"bot_id": "7300000000000000002"},
        waiting(CALL) | {"id": "73"},
    ],
)
def test_a_chat_that_does_not_wait_for_these_results_gets_none(found: dict[str, Any]) -> None:
    error = fault_of(opened(ask(HI, WEATHER_ASKED, RESULT)), data(found))
    assert (error.code, error.status) == ("upstream_invalid_request", 400)
    assert error.remedy is Remedy.NEXT_ROUTE
