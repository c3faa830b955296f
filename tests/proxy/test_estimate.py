"""Tokens by our own count."""

from __future__ import annotations

import pytest

from proxy.chat import ChatRequest, Extra, Finish, Part, ReasoningDelta, Started, TextDelta, ToolCallDelta
from proxy.estimate import Tally, expected_tokens, tokens_in


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("a", 1), ("abcd", 1), ("abcde", 2), ("你好", 2), ("你好ab", 3)])
def test_a_text(text: str, tokens: int) -> None:
    assert tokens_in(text) == tokens


@pytest.mark.parametrize(
    ("chat", "cap", "tokens"),
    [
        ({"body_bytes": 401}, None, 101 + 1024),
        ({"body_bytes": 400}, 4096, 100 + 1024),
        ({"body_bytes": 400}, 512, 100 + 512),
        ({"body_bytes": 400, "max_output_tokens": 50, "n": 3}, 512, 100 + 150),
        ({"body_bytes": 400, "max_output_tokens": 50, "n": 3}, 20, 100 + 60),
    ],
)
def test_what_a_request_will_come_to(chat: dict[str, int], cap: int | None, tokens: int) -> None:
    assert expected_tokens(ChatRequest(body={}, model="m", **chat), cap) == tokens


def test_what_was_received_and_the_prompt() -> None:
    tally = Tally()
    parts: list[Part] = [
        Started(),
        ReasoningDelta("hmm, "),
        TextDelta("Hello!!!"),
        ToolCallDelta(position=0, name="find", arguments='{"a":1}'),
        Extra(delta={"refusal": "no"}),
    ]
    for part in parts:
        tally.add(part)
    assert (tally.output_tokens, tally.reasoning_tokens, tally.finished) == (2 + 2 + 3, 2, False)
    tally.add(Finish("stop"))
    chat = ChatRequest(body={"messages": [{"role": "user", "content": "hi"}]}, body_bytes=50, model="m")
    usage = tally.usage(chat)
    assert tally.finished and usage.estimated
    assert (usage.input_tokens, usage.output_tokens, usage.reasoning_tokens) == (10, 7, 2)


@pytest.mark.parametrize(("part", "error"), [(Finish("done"), ValueError), ("Hello", TypeError)])
def test_what_is_no_part(part: Part, error: type[Exception]) -> None:
    with pytest.raises(error):
        Tally().add(part)
