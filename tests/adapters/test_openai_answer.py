from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from adapters.openai_chat import exchange as open_exchange
from adapters.openai_chat import post
from proxy import (
    Exchange,
    Finish,
    Usage,
)
from tests.adapters.dialect import (
    JSON,
    chat,
    hear,
    parts,
    stream,
)


def exchange() -> Exchange:
    return open_exchange(post("/chat/completions", {}, stream=True), chat())


ANSWER = {
    "id": "c1",
    "object": "chat.completion",
    "created": 7,
    "model": "up-1",
    "extra": {"model": "up-1"},
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "hi", "reasoning_content": "why", "refusal": None},
            "logprobs": None,
            "finish_reason": "length",
        }
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2},
}


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (
            {
                "prompt_tokens": 100,
                "completion_tokens": 50,
                "prompt_tokens_details": {"cached_tokens": 40, "audio_tokens": 5, "cache_creation_input_tokens": 6},
                "completion_tokens_details": {"reasoning_tokens": 30, "audio_tokens": 1},
            },
            {"cached_input_tokens": 40, "audio_input_tokens": 5, "cache_write_tokens": 6, "reasoning_tokens": 30}
            | {"audio_output_tokens": 1},
        ),
        ({"prompt_tokens": 100, "completion_tokens": 50, "prompt_cache_hit_tokens": 7}, {"cached_input_tokens": 7}),
        ({"prompt_tokens": 100, "completion_tokens": 50, "cached_tokens": 8}, {"cached_input_tokens": 8}),
        # What can't be true is the gateway's to judge.
        ({"prompt_tokens": 100, "completion_tokens": 50, "cached_tokens": 101}, {"cached_input_tokens": 101}),
        ({"prompt_tokens": 100, "completion_tokens": 50, "cached_tokens": -1}, {"cached_input_tokens": -1}),
        ({"prompt_tokens": 100, "completion_tokens": 50, "cached_tokens": "9"}, {}),
        ({"prompt_tokens": 100, "completion_tokens": 50, "prompt_tokens_details": None}, {}),
    ],
)
def test_usage_is_read_with_its_details(block: dict[str, Any], expected: dict[str, Any]) -> None:
    told = hear(exchange(), [orjson.dumps({**ANSWER, "usage": block})], headers=JSON)
    assert told.events[1] == Usage(input_tokens=100, output_tokens=50, reported=block, **expected)


def test_usage_of_zero_is_believed() -> None:
    block = {"prompt_tokens": 0, "completion_tokens": 0}
    told = hear(exchange(), [orjson.dumps({**ANSWER, "usage": block})], headers=JSON)
    assert told.events[1] == Usage(input_tokens=0, output_tokens=0, reported=block)


@pytest.mark.parametrize("count", [-1, 1.0, True, "5", None, 10**9 + 1, 10**30])
def test_usage_that_cannot_be_is_left_to_the_estimate(count: Any) -> None:
    for block in ({"prompt_tokens": count, "completion_tokens": 1}, {"prompt_tokens": 1, "completion_tokens": count}):
        told = hear(exchange(), [json.dumps({**ANSWER, "usage": block}).encode()], headers=JSON)
        assert len(told.events) == 1


def test_service_tier_that_was_asked_for_counts_where_none_is_told() -> None:
    opened = open_exchange(post("/x", {}, stream=False), chat({"service_tier": "priority"}))
    usage = hear(opened, [orjson.dumps(ANSWER)], headers=JSON).events[1]
    assert isinstance(usage, Usage)
    assert usage.service_tier == "priority"


def test_service_tier_that_was_served_is_told() -> None:
    told = hear(exchange(), [orjson.dumps({**ANSWER, "service_tier": "flex"})], headers=JSON)
    usage = told.events[1]
    assert isinstance(usage, Usage)
    assert usage.service_tier == "flex"


@pytest.mark.parametrize("reason", [5, True, "weird", ["stop"], {"why": "stop"}])
def test_a_finish_reason_of_an_odd_kind_finishes(reason: Any) -> None:
    choice = {"index": 0, "delta": {"content": "hi"}, "finish_reason": reason}
    told = hear(exchange(), [stream(json.dumps({"choices": [choice]}))])
    assert told.fault is None and parts(told)[-1] == Finish("stop")


@pytest.mark.parametrize("choices", [None, [], [{"index": 0, "text": "hi"}], [{"message": "hi"}], [{"message": None}], [{}]])
def test_an_answer_without_a_message_is_none_and_its_usage_stands(choices: Any) -> None:
    asked = exchange()
    told = hear(asked, [orjson.dumps({**ANSWER, "choices": choices})], headers=JSON)
    assert told.events == [] and told.fault is not None
    assert told.fault.message == "The provider answered with JSON that is no chat completion."
    assert asked.reported == Usage(input_tokens=3, output_tokens=2, reported=ANSWER["usage"])
