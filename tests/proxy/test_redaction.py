"""Credentials blotted out of texts, and of whatever holds texts."""

from __future__ import annotations

import pytest

from proxy.redaction import redacted
from proxy.secret import Secret

KEY = Secret("upstream-key-00000000")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("key upstream-key-00000000 is wrong", "key ***** is wrong"),
        ("Incorrect API key: sk-abcdefgh12345678.", "Incorrect API key: *****."),
        ("Authorization: Bearer abc.def", "Authorization: Bearer *****"),
        ('{"x-api-key": "abc"}', '{"x-api-key": "*****"}'),
        ("http://user:word@proxy.example:3128/", "http://user:*****@proxy.example:3128/"),
        ("eyJhbGciOi.eyJzdWIiOi.c2lnbmF0dXJl was no good", "***** was no good"),
        ("a task-list, no key", "a task-list, no key"),
    ],
)
def test_a_text(said: str, told: str) -> None:
    assert redacted(said, [KEY]) == told


def test_all_that_holds_texts() -> None:
    said = {"status": 401, "said": [KEY.reveal(), {"again": KEY.reveal()}], "none": None}
    assert redacted(said, [KEY]) == {"status": 401, "said": ["*****", {"again": "*****"}], "none": None}


def test_a_secret_that_is_but_a_word_blots_out_nothing() -> None:
    assert redacted("the word", [Secret("word"), Secret("")]) == "the word"
