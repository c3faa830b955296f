"""Messages in, input items of the Responses door out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.responses_items import input_items
from proxy import BadRequest

LITE = "doubao-seed-2-0-lite-260428"
URL = "https://example.com/a"
CALLS = [
    {"id": "call_1", "type": "function", "function": {"name": "now", "arguments": ' {"zone": "UTC"}'}},
    {"id": "call_2", "type": "function", "function": {"name": "ping", "arguments": ""}},
]


def items(*messages: dict[str, Any], model: str = LITE, audio: bool = False) -> tuple[list[dict[str, Any]], list[str]]:
    left_out: list[str] = []
    return input_items(messages, model, left_out, audio=audio), left_out


def part(**members: Any) -> tuple[dict[str, Any], list[str]]:
    """What becomes of one part of a user's message."""
    ([item], left_out) = items({"role": "user", "content": [members]}, audio=True)
    [written] = item["content"]
    return written, left_out


def refused(*messages: dict[str, Any]) -> tuple[str, str | None]:
    with pytest.raises(BadRequest) as caught:
        items(*messages)
    return caught.value.code, caught.value.param


def test_a_tool_loop_keeps_reasoning_calls_and_results() -> None:
    thought = {"reasoning_content": "two calls", "encrypted_content": "c2ln"}
    told, left_out = items(
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "what time is it?", "name": "ann"},
        {"role": "assistant", "content": "Let me see.", **thought, "tool_calls": CALLS},
        {"role": "tool", "tool_call_id": "call_1", "content": "12:00"},
        {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "po"}, {"type": "text", "text": "ng"}]},
        {"role": "developer", "content": "now be long"},
    )
    assert told == [
        {"type": "message", "role": "system", "content": "be brief"},
        {"type": "message", "role": "user", "content": "what time is it?"},
        {
            "type": "reasoning",
            "status": "completed",
            "summary": [{"type": "summary_text", "text": "two calls"}],
            "encrypted_content": "c2ln",
        },
        {"type": "message", "role": "assistant", "content": "Let me see."},
        {"type": "function_call", "call_id": "call_1", "name": "now", "arguments": ' {"zone": "UTC"}'},
        {"type": "function_call", "call_id": "call_2", "name": "ping", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "12:00"},
        {"type": "function_call_output", "call_id": "call_2", "output": "pong"},
        {"type": "message", "role": "system", "content": "now be long"},
    ]
    assert left_out == ["messages[].name"]


@pytest.mark.parametrize(
    ("model", "kinds"),
    [
        ("doubao-seed-1-8-251228", ["reasoning", "message", "message"]),
        ("ep-20250101120000-ab1cd", ["reasoning", "message", "message"]),
        ("deepseek-v3-2-251201", ["reasoning", "message", "message"]),
        ("doubao-seed-1-6-250615", ["message", "message"]),
        ("seed-1-6-250915", ["message", "message"]),
    ],
)
def test_models_before_seed_1_8_are_not_shown_their_reasoning(model: str, kinds: list[str]) -> None:
    said = {"role": "assistant", "content": "hm", "reasoning_content": "thought"}
    told, left_out = items(said, {"role": "user", "content": "go on"}, model=model)
    assert [item["type"] for item in told] == kinds
    assert left_out == ([] if "reasoning" in kinds else ["messages[].reasoning_content"])


def test_a_last_message_of_the_assistant_is_to_be_continued() -> None:
    begun = {"role": "assistant", "content": [{"type": "text", "text": "Once "}, {"type": "refusal", "refusal": "upon"}]}
    told, _ = items({"role": "user", "content": "a tale"}, begun)
    assert told[-1] == {"type": "message", "role": "assistant", "content": "Once upon", "partial": True}


def test_an_answer_that_was_refused_or_empty_stays_a_turn() -> None:
    refusal = {"role": "assistant", "content": None, "refusal": "I can't."}
    told, _ = items(refusal, {"role": "user", "content": "why?"}, {"role": "assistant", "content": ""})
    assert [item["content"] for item in told] == ["I can't.", "why?", ""]
    assert "partial" not in told[-1]


LIMIT = {"min_pixels": 1764, "max_pixels": 40000}


@pytest.mark.parametrize(
    ("given", "expected", "dropped"),
    [
        ({"type": "text", "text": "a"}, {"type": "input_text", "text": "a"}, []),
        (
            {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
            {"type": "input_text", "text": "a"},
            ["messages[].content[].cache_control"],
        ),
        (
            {"type": "image_url", "image_url": {"url": URL, "detail": "xhigh", "image_pixel_limit": {**LIMIT, "x": 1}}},
            {"type": "input_image", "image_url": URL, "detail": "xhigh", "image_pixel_limit": LIMIT},
            ["messages[].content[].image_url.image_pixel_limit.x"],
        ),
        (
            {"type": "image_url", "image_url": {"file_id": "file-1", **LIMIT, "detail": "original"}},
            {"type": "input_image", "file_id": "file-1", "image_pixel_limit": LIMIT},
            ["messages[].content[].image_url.detail"],
        ),
        (
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0="}},
            {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0="},
            [],
        ),
        (
            {"type": "video_url", "video_url": {"url": URL, "fps": 0.5, "detail": "low"}},
            {"type": "input_video", "video_url": URL, "fps": 0.5},
            ["messages[].content[].video_url.detail"],
        ),
        ({"type": "video_url", "video_url": {"file_id": "file-1"}}, {"type": "input_video", "file_id": "file-1"}, []),
        (
            {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
            {"type": "input_audio", "audio_url": "data:audio/wav;base64,UklGRg=="},
            [],
        ),
        ({"type": "input_audio", "input_audio": {"url": URL}}, {"type": "input_audio", "audio_url": URL}, []),
        ({"type": "file", "file": {"file_id": "file-1"}}, {"type": "input_file", "file_id": "file-1"}, []),
        ({"type": "file", "file": {"file_url": URL}}, {"type": "input_file", "file_url": URL}, []),
        (
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBE", "filename": "a.pdf"}},
            {"type": "input_file", "file_data": "data:application/pdf;base64,JVBE", "filename": "a.pdf"},
            [],
        ),
    ],
)
def test_parts(given: dict[str, Any], expected: dict[str, Any], dropped: list[str]) -> None:
    assert part(**given) == (expected, dropped)


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}, "image_url.url"),
        ({"type": "image_url", "image_url": {"url": 7}}, "image_url.url"),
        ({"type": "image_url", "image_url": URL}, "image_url"),
        ({"type": "video_url"}, "video_url"),
        ({"type": "input_audio", "input_audio": {"data": "UklGRg=="}}, "input_audio.format"),
        ({"type": "input_audio", "input_audio": {}}, "input_audio.data"),
        ({"type": "file", "file": {"filename": "a.pdf"}}, "file.file_url"),
    ],
)
def test_parts_without_their_source_are_refused(given: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        part(**given)
    assert (caught.value.code, caught.value.param) == ("invalid_value", f"messages[0].content[0].{param}")


USER = {"role": "user", "content": "hi"}
IMAGE = {"type": "image_url", "image_url": {"url": URL}}


@pytest.mark.parametrize(
    ("message", "code", "param"),
    [
        ({"role": "function", "name": "f", "content": "1"}, "unsupported_parameter", "messages[1].role"),
        ({"role": "user", "content": [{"type": "sticker"}]}, "unsupported_parameter", "messages[1].content[0].type"),
        (
            {"role": "user", "content": [{"type": "input_audio", "input_audio": {"url": URL}}]},
            "unsupported_parameter",
            "messages[1].content[0].type",
        ),
        (
            {"role": "tool", "tool_call_id": "c", "content": [IMAGE]},
            "unsupported_parameter",
            "messages[1].content[0].type",
        ),
        ({"role": "tool", "content": "1"}, "invalid_value", "messages[1].tool_call_id"),
        ({"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}, "invalid_value", "messages[1].tool_calls[0].id"),
    ],
)
def test_what_cannot_be_said_is_refused_by_its_place(message: dict[str, Any], code: str, param: str) -> None:
    assert refused(USER, message) == (code, param)


JUNK = st.sampled_from([None, True, 7, "x", [], ["x"], {}, {"type": "text"}, {"url": 1}])
PART = st.fixed_dictionaries(
    {"type": st.sampled_from(["image_url", "video_url", "input_audio", "file", "refusal", "sticker"])},
    optional=dict.fromkeys(["image_url", "video_url", "input_audio", "file", "refusal"], JUNK),
)
JUNK_CALL = st.fixed_dictionaries(
    {"function": st.fixed_dictionaries({"name": st.just("f")}, optional={"arguments": JUNK})}, optional={"id": JUNK}
)
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "tool"]), "content": st.just("") | st.lists(PART, max_size=2)},
    optional={
        **dict.fromkeys(["name", "refusal", "reasoning_content", "encrypted_content", "tool_call_id"], JUNK),
        "tool_calls": st.lists(JUNK_CALL, max_size=2),
    },
)


@given(st.lists(MESSAGE, min_size=1, max_size=3))
def test_junk_is_written_or_refused(messages: list[dict[str, Any]]) -> None:
    try:
        items(*messages, audio=True)
    except BadRequest as refusal:
        assert refusal.param and refusal.param.startswith("messages[")
