"""Strikes: how many, how close together, and whose."""

from structlog.testing import capture_logs

from proxy.hookspecs import STAGE_OF_HOOK
from proxy.strikes import Strikes


def added(strikes: Strikes, *at_s: float, hook: str = "observe") -> list[bool]:
    with capture_logs():
        return [strikes.add("p", hook, "waited too long", when_s) for when_s in at_s]


def test_the_fifth_within_a_minute_is_one_too_many_and_told_once() -> None:
    strikes = Strikes()
    assert added(strikes, 0, 15, 30, 45, 60, 61) == [False, False, False, False, True, False]
    assert strikes.off == {("p", "observe")}


def test_seldom_enough_is_often_enough_forgiven() -> None:
    strikes = Strikes()
    assert not any(added(strikes, *range(0, 1600, 16)))
    assert strikes.off == set()


def test_each_plugin_has_its_own() -> None:
    strikes = Strikes()
    added(strikes, 0, 0, 0, 0)
    assert not strikes.add("q", "observe", "waited too long", 0)


def test_what_fails_closed_is_never_switched_off() -> None:
    strikes = Strikes()
    for hook in STAGE_OF_HOOK.keys() - {"observe"}:
        assert not any(added(strikes, *[0] * 100, hook=hook))
    assert strikes.off == set()
