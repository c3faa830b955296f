"""What fake models say, and how it is cut into tokens."""

from __future__ import annotations

from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from tests.fakes.answers import Answer, Ask, ToolCall, compose, instance_of, pieces, speak

CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOLS: dict[str, Any] = {"get_weather": CITY, "get_time": {}}


@pytest.mark.parametrize("text", ["Hello, you.", "你好，世界", "  two  spaces ", "a_b-c\n\n🙂", ""])
def test_pieces_lose_nothing(text: str) -> None:
    assert "".join(pieces(text)) == text


def test_pieces_are_words_and_single_characters() -> None:
    assert pieces("Hello, 你好") == ["Hello", ",", " 你", "好"]


def test_caps() -> None:
    answer = Answer(reasoning="a b c", text="d e f")
    whole = speak(answer)
    assert (whole.joined("reasoning"), whole.joined("text"), whole.finish) == ("a b c", "d e f", "stop")
    capped = speak(answer, answer_cap=1)
    assert (capped.joined("reasoning"), capped.joined("text"), capped.finish) == ("a b c", "d", "length")
    capped = speak(answer, total_cap=2)
    assert (capped.joined("reasoning"), capped.joined("text"), capped.finish) == ("a b", "", "length")
    assert speak(answer, total_cap=6).finish == "stop"


def test_the_first_stop_sequence_ends_the_text() -> None:
    speech = speak(Answer(text="one two three"), stops=[" three", " two"])
    assert (speech.joined("text"), speech.stop, speech.finish) == ("one", " two", "stop")


def test_a_cap_may_cut_a_tool_call() -> None:
    calls = (ToolCall(name="a", arguments="{}"), ToolCall(name="b", arguments="{}"))
    speech = speak(Answer(tool_calls=calls), answer_cap=5)
    assert [(call.name, call.arguments) for call in speech.calls] == [("a", "{}"), ("b", "{")]
    assert speech.finish == "length"


@pytest.mark.parametrize(
    ("ask", "called"),
    [
        (Ask(tools=TOOLS, last_user="hi"), []),
        (Ask(tools=TOOLS, last_user="get_time and get_weather"), ["get_weather", "get_time"]),
        (Ask(tools=TOOLS, last_user="get_time and get_weather", parallel=False), ["get_weather"]),
        (Ask(tools=TOOLS, last_user="get_time", choice="none"), []),
        (Ask(tools=TOOLS, last_user="get_time", choice="required"), ["get_time"]),
        (Ask(tools=TOOLS, last_user="hi", choice="required"), ["get_weather"]),
        (Ask(tools=TOOLS, last_user="hi", choice="get_time"), ["get_time"]),
        (Ask(tools=TOOLS, last_user="get_time", tool_results=("noon",)), []),
    ],
)
def test_which_tools_are_called(ask: Ask, called: list[str]) -> None:
    assert [call.name for call in compose(ask).tool_calls] == called


@pytest.mark.parametrize(
    "schema",
    [
        CITY,
        {"enum": ["c", "f"]},
        {"type": "array", "items": {"type": "integer", "minimum": 7}, "minItems": 2},
        {"type": "string", "minLength": 9},
        {"type": ["boolean", "null"]},
        {"anyOf": [{"type": "null"}, {"type": "string"}]},
        {
            "$defs": {"point": {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}},
            "type": "object",
            "properties": {"at": {"$ref": "#/$defs/point"}},
            "required": ["at"],
        },
    ],
)
def test_instances_fit_their_schema(schema: dict[str, Any]) -> None:
    jsonschema.validate(instance_of(schema), schema)
