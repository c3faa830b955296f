"""Counts that can't be true, and what is billed for them."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.anomalies import judged
from proxy.chat import Usage

OURS = Usage(input_tokens=70, output_tokens=30, estimated=True)


def judge(received_tokens: int = 30, **counts: Any) -> tuple[Usage, tuple[str, ...]]:
    return judged(Usage(**{"input_tokens": 100, "output_tokens": 50, **counts}), received_tokens, lambda: OURS)


@pytest.mark.parametrize(
    "counts",
    [
        {},
        {"cached_input_tokens": 60, "cache_write_tokens": 30, "audio_input_tokens": 10},
        {"reasoning_tokens": 40, "audio_output_tokens": 10},
        {"tool_calls": {"web_search": 2}},
        {"input_tokens": 100_000_000},
    ],
)
def test_what_may_be_true_stays_as_it_is(counts: dict[str, Any]) -> None:
    usage = Usage(**{"input_tokens": 100, "output_tokens": 50, **counts})
    assert judged(usage, 30, lambda: OURS) == (usage, ())


@pytest.mark.parametrize(
    "counts",
    [
        {"input_tokens": -1},
        {"output_tokens": 100_000_001},
        {"tool_calls": {"web_search": -1}},
        {"tool_calls": {"web_search": 10**18}},
    ],
)
def test_what_is_no_count_gives_way_to_our_estimate(counts: dict[str, Any]) -> None:
    assert judge(**counts) == (OURS, ("unusable",))


def test_a_service_tier_is_believed_even_then() -> None:
    assert judge(input_tokens=-1, service_tier="fast")[0].service_tier == "fast"


@pytest.mark.parametrize(
    ("counts", "billed"),
    [
        ({"cached_input_tokens": 101}, (100, 50)),
        ({"cached_input_tokens": 60, "cache_write_tokens": 60}, (100, 50)),
        ({"cached_input_tokens": -5}, (100, 50)),
        ({"input_tokens": 10, "cached_input_tokens": 60}, (70, 50)),
        ({"output_tokens": 10, "reasoning_tokens": 40}, (100, 30)),
        ({"reasoning_tokens": 30, "audio_output_tokens": 21}, (100, 50)),
    ],
)
def test_a_part_that_is_more_than_its_whole_makes_nothing_cheaper(counts: dict[str, Any], billed: tuple[int, int]) -> None:
    usage, kinds = judge(**counts)
    assert kinds == ("parts",)
    assert usage == Usage(
        input_tokens=billed[0],
        output_tokens=billed[1],
        cached_input_tokens=0,
        estimated=True,
    )


def test_the_other_side_keeps_its_parts() -> None:
    usage, _ = judge(cached_input_tokens=101, reasoning_tokens=20)
    assert (usage.cached_input_tokens, usage.reasoning_tokens) == (0, 20)


def test_no_output_although_text_came_is_believed_and_counted() -> None:
    usage, kinds = judge(output_tokens=0)
    assert (usage.output_tokens, usage.estimated, kinds) == (0, False, ("zero",))
    assert judge(0, output_tokens=0)[1] == ()
