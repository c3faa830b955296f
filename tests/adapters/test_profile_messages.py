from __future__ import annotations

from typing import Any

import pytest

from adapters.profile import Profile
from adapters.profile_messages import write_messages

CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
USER: dict[str, Any] = {"role": "user", "content": "hi"}
ASKS: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": [CALL]}
SAYS: dict[str, Any] = {"role": "assistant", "content": "so"}
RESULT: dict[str, Any] = {"role": "tool", "tool_call_id": "c", "content": "22"}


def written(messages: list[Any], model: str = "m", **quirks: Any) -> tuple[list[Any], list[str]]:
    body: dict[str, Any] = {"messages": messages}
    dropped = write_messages(body, Profile(name="p", base_url="https://p.example", **quirks), model)
    return body["messages"], dropped


def thought(message: dict[str, Any], reasoning: str = " ") -> dict[str, Any]:
    return {**message, "reasoning_content": reasoning}


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([USER, SAYS, USER], [USER, SAYS, USER]),
        ([USER, ASKS, RESULT], [USER, thought(ASKS), RESULT]),
        ([USER, ASKS, RESULT, SAYS, USER], [USER, thought(ASKS), RESULT, thought(SAYS), USER]),
        ([USER, SAYS, USER, ASKS, RESULT], [USER, SAYS, USER, thought(ASKS), RESULT]),
        ([USER, thought(ASKS, "why"), RESULT], [USER, thought(ASKS, "why"), RESULT]),
    ],
)
def test_a_turn_with_tools_has_all_of_its_reasoning(history: list[Any], expected: list[Any]) -> None:
    assert written(history, replay_reasoning="") == (expected, [])


def test_no_reasoning_is_made_up_where_none_is_wanted() -> None:
    assert written([USER, ASKS, RESULT])[0] == [USER, ASKS, RESULT]
    assert written([USER, ASKS, RESULT], "other", replay_reasoning="deepseek")[0] == [USER, ASKS, RESULT]
    body: dict[str, Any] = {"messages": [USER, ASKS, RESULT], "thinking": {"type": "disabled"}}
    write_messages(body, Profile(name="p", base_url="https://p.example", replay_reasoning=""), "m")
    assert body["messages"] == [USER, ASKS, RESULT]


def test_neighbours_of_one_role_become_one_message() -> None:
    history = [{"role": "developer", "content": "a"}, {"role": "system", "content": "b"}, USER, {**USER, "name": "ann"}, SAYS]
    merged, dropped = written(history, alternating_roles=True, system_role_only=True)
    assert merged == [{"role": "system", "content": "a\n\nb"}, {"role": "user", "content": "hi\n\nhi"}, SAYS]
    assert dropped == ["messages[].name"]


def test_what_is_more_than_text_is_not_merged() -> None:
    history = [ASKS, RESULT, RESULT, {"role": "user", "content": [{"type": "text", "text": "x"}]}, USER]
    assert written(history, alternating_roles=True)[0] == history


def test_an_empty_content_becomes_a_space() -> None:
    history = [{**USER, "content": ""}, {"role": "assistant", "content": None}, ASKS]
    assert [message["content"] for message in written(history, no_empty_content=True)[0]] == [" ", " ", None]
