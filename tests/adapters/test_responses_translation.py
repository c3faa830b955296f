"""A chat with a translation model: one text, and the languages."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.responses_request import ArkResponsesOptions, responses_body
from proxy import BadRequest
from tests.adapters import dialect

MODEL = "doubao-seed-translation-250915"
ENDPOINT = "ep-20250101120000-ab1cd"
TO_EN = {"target_language": "en"}


def written(model: str = MODEL, options: dict[str, Any] | None = None, **fields: Any) -> tuple[dict[str, Any], list[str]]:
    given = ArkResponsesOptions(**(options or {}))
    return responses_body(dialect.chat(fields), dialect.target(given, upstream_model=model), given)


def languages(model: str = MODEL, **how: Any) -> Any:
    [item] = written(model, **how)[0]["input"]
    [part] = item["content"]
    return part["translation_options"]


def refused(**how: Any) -> tuple[str, str | None]:
    with pytest.raises(BadRequest) as caught:
        written(**how)
    return caught.value.code, caught.value.param


def test_a_translation() -> None:
    asked = {"source_language": "zh", "target_language": "en"}
    body, left_out = written(translation_options=asked, temperature=0.1, reasoning_effort="low", tools=[])
    assert body == {
        "model": MODEL,
        "input": [
            {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": "hi", "translation_options": asked}],
            }
        ],
        "max_output_tokens": 1000,
        "temperature": 0.1,
        "stream": False,
        "store": False,
    }
    assert left_out == ["reasoning_effort"]


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"translation_options": TO_EN}, TO_EN),
        ({"options": TO_EN}, TO_EN),
        ({"options": {"target_language": "fr", "source_language": "de"}, "translation_options": TO_EN}, None),
        ({"model": "seed-translation-250915", "options": TO_EN}, TO_EN),
        ({"model": ENDPOINT, "options": TO_EN}, TO_EN),
        ({"model": ENDPOINT, "translation_options": TO_EN}, TO_EN),
    ],
)
def test_languages_of_the_request_and_of_the_provider(how: dict[str, Any], expected: Any) -> None:
    assert languages(**how) == (expected or {"source_language": "de", "target_language": "en"})


def test_other_models_do_not_translate() -> None:
    body, left_out = written("doubao-seed-2-0-lite-260428", options=TO_EN, translation_options=TO_EN)
    assert (body["input"], left_out) == ([{"type": "message", "role": "user", "content": "hi"}], ["translation_options"])
    assert written(ENDPOINT)[0]["input"] == [{"type": "message", "role": "user", "content": "hi"}]


def test_a_system_message_would_be_translated_so_it_is_left_out_and_named() -> None:
    messages = [
        {"role": "system", "content": "You are a translator."},
        {"role": "developer", "content": "Be exact."},
        {"role": "user", "name": "ann", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
    ]
    body, left_out = written(messages=messages, translation_options={**TO_EN, "glossary": {}})
    assert body["input"][0]["content"][0]["text"] == "ab"
    assert left_out == ["translation_options.glossary", "messages[].role:system", "messages[].name"]


USER = {"role": "user", "content": "hi"}


@pytest.mark.parametrize(
    ("how", "code", "param"),
    [
        ({}, "invalid_value", "translation_options.target_language"),
        ({"translation_options": {"source_language": "en"}}, "invalid_value", "translation_options.target_language"),
        ({"translation_options": {"target_language": 7}}, "invalid_value", "translation_options.target_language"),
        ({"translation_options": "en"}, "invalid_value", "translation_options"),
        ({"options": TO_EN, "messages": [USER, USER]}, "unsupported_parameter", "messages"),
        ({"options": TO_EN, "messages": [{"role": "assistant", "content": "a"}]}, "unsupported_parameter", "messages"),
        ({"options": TO_EN, "messages": [{"role": "system", "content": "a"}]}, "unsupported_parameter", "messages"),
        (
            {"options": TO_EN, "messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "unsupported_parameter",
            "messages",
        ),
    ],
)
def test_what_is_no_translation_is_refused(how: dict[str, Any], code: str, param: str) -> None:
    assert refused(**how) == (code, param)
