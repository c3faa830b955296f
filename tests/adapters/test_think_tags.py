from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.think_tags import ThinkTags

SAID = [
    ("<think>\nwhy</think>\n\nso", "why", "so"),
    ("plain", "", "plain"),
    ("<think>why", "why", ""),
    ("<think>a</think>b\n<think>c</think>d", "ac", "b\nd"),
    ("the tag <think> opens it", "", "the tag <think> opens it"),
    ("<think>1 < 2 </thin k></think>yes", "1 < 2 </thin k>", "yes"),
    ("a < b\n<thin", "", "a < b\n<thin"),
    ("</think>stray", "", "</think>stray"),
    ("<think></think>", "", ""),
]


def split(pieces: list[str]) -> tuple[str, str]:
    tags = ThinkTags()
    said = [*map(tags.feed, pieces), tags.end()]
    return "".join(reasoning for reasoning, _ in said), "".join(text for _, text in said)


@pytest.mark.parametrize(("whole", "reasoning", "text"), SAID)
def test_reasoning_leaves_the_text_wherever_it_is_cut(whole: str, reasoning: str, text: str) -> None:
    assert split([whole]) == (reasoning, text)
    assert split(list(whole)) == (reasoning, text)
    for at in range(len(whole)):
        assert split([whole[:at], whole[at:]]) == (reasoning, text)


@given(st.lists(st.sampled_from(["<think>", "</think>", "<", "think>", "\n", "a", "</", "<th"])), st.data())
def test_cuts_never_show(tokens: list[str], data: st.DataObject) -> None:
    whole = "".join(tokens)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=4)))
    pieces = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert split(pieces) == split([whole])


def test_what_is_certain_leaves_at_once() -> None:
    tags = ThinkTags()
    assert tags.feed("<think>wh") == ("wh", "")
    assert tags.feed("y</thi") == ("y", "")
    assert tags.feed("nk>s") == ("", "s")
