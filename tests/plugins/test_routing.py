from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from plugins.routing import plan
from tests.plugins.targets import target


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
