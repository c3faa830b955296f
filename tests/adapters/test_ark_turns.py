from __future__ import annotations

from typing import Any

import pytest

from adapters.ark_models import ArkModel
from adapters.ark_turns import write_messages
from proxy import BadRequest

USER = {"role": "user", "content": "hi"}


def written(*messages: Any, model: ArkModel | None = None) -> tuple[list[Any], list[str]]:
    body: dict[str, Any] = {"messages": list(messages)}
    dropped = write_messages(body, model or ArkModel())
    return body["messages"], dropped


MEDIA = [
    {"type": "text", "text": "t"},
    {"type": "image_url", "image_url": {"url": "https://e.example/a.png", "detail": "xhigh"}},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "image_pixel_limit": {"max_pixels": 9}}},
    {"type": "video_url", "video_url": {"url": "https://e.example/a.mp4", "fps": 0.5}},
    {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
    {"type": "file", "file": {"file_data": "AA==", "filename": "a.pdf"}},
    {"type": "file", "file": {"file_id": "file-1"}},
]


def test_every_kind_of_part_passes_as_it_is() -> None:
    assert written({"role": "user", "content": MEDIA}) == ([{"role": "user", "content": MEDIA}], [])


def test_what_ark_has_no_place_for_is_named() -> None:
    messages, dropped = written(
        {"role": "user", "content": [{"type": "text", "text": "t", "cache_control": {"type": "ephemeral"}}], "id": "m1"},
        {"role": "assistant", "content": "a", "audio": {"id": "x"}, "annotations": [], "function_call": None, "prefix": True},
        {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f"}, "extra": 1}]},
    )
    assert messages == [
        {"role": "user", "content": [{"type": "text", "text": "t"}]},
        {"role": "assistant", "content": "a"},
        {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f"}}]},
    ]
    assert sorted(dropped) == [
        "messages[].audio",
        "messages[].content[].cache_control",
        "messages[].id",
        "messages[].tool_calls[].extra",
    ]


def test_a_refusal_is_said_as_text() -> None:
    parts = [{"type": "refusal", "refusal": "no"}]
    assert written({"role": "assistant", "refusal": "no", "content": None}, {"role": "assistant", "content": parts}) == (
        [{"role": "assistant", "content": "no"}, {"role": "assistant", "content": [{"type": "text", "text": "no"}]}],
        [],
    )
    [both], _ = written({"role": "assistant", "refusal": "no", "content": "a"})
    assert both["content"] == [{"type": "text", "text": "a"}, {"type": "text", "text": "no"}]


def test_a_result_that_says_nothing_is_an_empty_text() -> None:
    result = {"role": "tool", "tool_call_id": "c", "content": None}
    assert written(result)[0] == [{"role": "tool", "tool_call_id": "c", "content": ""}]


REASONED = {"role": "assistant", "content": "a", "reasoning_content": "r", "encrypted_content": "e"}


def test_reasoning_goes_back_to_the_models_that_take_it() -> None:
    assert written(REASONED) == ([REASONED], [])
    assert written(REASONED, model=ArkModel(takes_reasoning=False)) == ([{"role": "assistant", "content": "a"}], [])


def test_a_prefix_is_marked_where_that_is_asked_for() -> None:
    begun = {"role": "assistant", "content": "The"}
    assert written(USER, begun)[0] == [USER, begun]
    assert written(begun, USER, begun, model=ArkModel(marks_prefix=True))[0] == [begun, USER, {**begun, "prefix": True}]


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "function", "name": "f", "content": "x"}, "messages[0].role"),
        ({"role": "user", "content": [{"type": "input_video", "input_video": {}}]}, "messages[0].content[0].type"),
        (
            {"role": "assistant", "tool_calls": [{"id": "c", "type": "custom", "function": {"name": "f"}}]},
            "messages[0].tool_calls[0].type",
        ),
    ],
)
def test_what_can_not_be_left_out_is_refused(message: Any, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        written(message)
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", param)


def test_a_smart_router_takes_text_alone() -> None:
    router = ArkModel(text_only=True)
    assert written({"role": "user", "content": MEDIA[:1]}, model=router)[1] == []
    with pytest.raises(BadRequest) as caught:
        written({"role": "user", "content": MEDIA[:2]}, model=router)
    assert caught.value.param == "messages[0].content[1].type"
