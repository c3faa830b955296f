import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.routing import plan, route
from proxy.chat import ChatRequest
from proxy.context import Principal
from proxy.money import FREE
from proxy.snapshot import ModelEntry
from tests.plugins.targets import context, target


def names(targets: list) -> list[str]:
    return [target.route for target in targets]


def test_lower_priority_first_then_weight_then_fallback_models() -> None:
    pool = [target("slow", priority=9), target("fast", priority=1), target("other", model="deepseek", priority=0)]
    assert names(plan(pool, 0)) == ["fast", "slow", "other"]


def test_weights_share_a_priority_exactly_and_evenly() -> None:
    pool = [target("three", weight=3), target("one", weight=1)]
    firsts = [plan(pool, turn)[0].route for turn in range(8)]
    assert firsts == ["three", "three", "one", "three"] * 2


@given(st.lists(st.integers(1, 20), min_size=1, max_size=5))
def test_over_a_whole_cycle_each_route_is_first_as_often_as_its_weight(weights: list[int]) -> None:
    pool = [target(str(number), weight=weight) for number, weight in enumerate(weights)]
    firsts = Counter(plan(pool, turn)[0].route for turn in range(sum(weights)))
    assert firsts == {str(number): weight for number, weight in enumerate(weights)}


@given(st.integers(0, 10**6))
def test_every_candidate_is_in_the_plan_once(turn: int) -> None:
    pool = [target(str(number), weight=number + 1, priority=number % 2) for number in range(5)]
    assert sorted(names(plan(pool, turn))) == ["0", "1", "2", "3", "4"]


def test_those_who_take_over_share_by_weight_too() -> None:
    pool = [target("a", weight=1), target("b", weight=1), target("c", weight=2)]
    seconds = Counter(plan(pool, turn)[1].route for turn in range(4 * 3 * 100) if plan(pool, turn)[0].route == "a")
    assert seconds["c"] == 2 * seconds["b"]


@pytest.mark.parametrize(
    ("weights", "out", "firsts"),
    [
        ({"a": 70, "b": 20, "c": 10}, "", {"a": 7000, "b": 2000, "c": 1000}),
        ({"a": 70, "b": 20, "c": 10}, "a", {"b": 6667, "c": 3333}),
        ({"a": 70, "b": 20, "c": 10}, "b", {"a": 8750, "c": 1250}),
        ({"a": 3, "b": 1}, "", {"a": 7500, "b": 2500}),
        ({"a": 3, "b": 1}, "b", {"a": 10_000}),
        ({"a": 4999, "b": 5001}, "", {"a": 4999, "b": 5001}),
        ({"a": 3333, "b": 3333, "c": 3334}, "", {"a": 3333, "b": 3333, "c": 3334}),
    ],
)
def test_weights_are_exact_over_10_000_requests_also_while_a_route_is_out(
    weights: dict[str, int], out: str, firsts: dict[str, int]
) -> None:
    pool = [target(name, weight=weight) for name, weight in weights.items() if name != out]
    assert Counter(plan(pool, turn)[0].route for turn in range(10_000)) == firsts


@pytest.mark.parametrize("weights", [(333_333, 333_333, 333_334), (1_000_000, 1), (999_983, 999_979, 7)])
def test_large_weights_are_shared_too_and_at_once(weights: tuple[int, ...]) -> None:
    pool = [target(str(number), weight=weight) for number, weight in enumerate(weights)]
    began_s = time.process_time()
    firsts = Counter(plan(pool, turn)[0].route for turn in range(1000))
    assert time.process_time() - began_s < 0.2
    due = [1000 * weight / sum(weights) for weight in weights]
    assert all(abs(firsts[str(number)] - share) < 3 for number, share in enumerate(due))


def test_over_all_turns_large_weights_are_exact() -> None:
    pool = [target("a", weight=5_000), target("b", weight=5_003)]
    assert Counter(plan(pool, turn)[0].route for turn in range(10_003)) == {"a": 5_000, "b": 5_003}


def sticky_plan(pool: list, *, sticky: bool = True, key: str = "ci", **fields: str) -> list[str]:
    entry = ModelEntry(
        name="m", task="chat", family="f", aliases=(), pool=tuple(pool), resting={}, fallbacks=(), price=FREE,
        context_tokens=None, max_output_tokens=1, sticky=sticky,
    )  # fmt: skip
    chat = ChatRequest(body=fields, body_bytes=2, model="m")
    return names(list(route(context(model=entry, chat=chat, principal=Principal(id=key)), pool)))


def test_a_prompt_cache_key_stays_on_one_route_and_the_keys_share_by_weight() -> None:
    pool = [target("a", weight=3), target("b", weight=1)]
    keys = [f"conversation-{number}" for number in range(10_000)]
    homes = {key: sticky_plan(pool, prompt_cache_key=key)[0] for key in keys}
    assert homes == {key: sticky_plan(pool, prompt_cache_key=key, user="ignored")[0] for key in keys}
    assert Counter(homes.values())["a"] == pytest.approx(7500, abs=150)


def test_only_the_keys_of_a_route_that_is_out_move_and_they_come_back() -> None:
    pool = [target(name) for name in "abc"]
    keys = [f"conversation-{number}" for number in range(1000)]
    before = {key: sticky_plan(pool, prompt_cache_key=key) for key in keys}
    without = {key: sticky_plan(pool[1:], prompt_cache_key=key) for key in keys}
    assert all(without[key] == [name for name in before[key] if name != "a"] for key in keys)
    assert Counter(plan[0] for plan in without.values())["b"] == pytest.approx(500, abs=60)


def test_a_user_is_as_good_as_a_key_and_nothing_is_left_to_the_turn() -> None:
    pool = [target(str(number)) for number in range(50)]
    in_turn = names(plan(pool, 0))
    assert sticky_plan(pool) == sticky_plan(pool, sticky=False, user="ann") == in_turn
    assert sticky_plan(pool, user="ann") == sticky_plan(pool, prompt_cache_key="ann") != in_turn
    assert sticky_plan(pool, user="ann") != sticky_plan(pool, user="ann", key="another")


def test_priorities_come_before_what_is_sticky() -> None:
    pool = [target("late", priority=2), target("early", priority=1), target("other", model="deepseek", priority=0)]
    assert {tuple(sticky_plan(pool, user=str(number))) for number in range(50)} == {("early", "late", "other")}
