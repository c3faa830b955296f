"""Every check of every door, one by one: for pytest, or for a loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from proxy.testkit import answerchecks, faultchecks, requestchecks
from proxy.testkit.door import ANSWERED, LIMITS, Door
from proxy.testkit.fields import field_cases
from proxy.testkit.scenarios import FAILURES, SCENARIOS, Failure, Scenario

_OF_ANSWERS: Sequence[Callable[[Door, Scenario], None]] = (
    answerchecks.it_says_what_was_said,
    answerchecks.pieces_leave_as_they_come,
    answerchecks.cuts_do_not_show,
    answerchecks.a_broken_answer_is_never_whole,
    answerchecks.framing_does_not_show,
    answerchecks.what_follows_does_not_show,
    answerchecks.what_is_new_does_not_show,
    answerchecks.broken_characters_do_no_harm,
    answerchecks.exchanges_share_nothing,
)
_OF_FAILURES: Sequence[Callable[[Door, Failure], None]] = (
    faultchecks.it_fails_as_it_should,
    answerchecks.cuts_do_not_show,
)
_OF_TEXTS: Sequence[Callable[[Door, Scenario], None]] = (
    answerchecks.the_other_kind_is_read_or_refused,
    faultchecks.junk_is_no_answer,
    faultchecks.statuses_say_enough,
)
"""For the scenarios `text` and `text_stream`."""
_OF_REQUESTS: Sequence[Callable[[Door], None]] = (
    requestchecks.nothing_leads_elsewhere,
    requestchecks.the_transport_has_its_part,
    requestchecks.the_cap_is_written,
    requestchecks.the_request_stays_as_it_is,
)


@dataclass(frozen=True)
class Check:
    """Call it; it raises AssertionError where the adapter does not hold."""

    name: str
    run: Callable[[], None]

    def __call__(self) -> None:
        self.run()

    def __str__(self) -> str:
        return self.name


def checks_of(door: Door) -> Iterator[Check]:
    """All checks that a door has to pass, leaving out what it says it can't do."""
    yield Check(f"{door}-the_table_is_whole", partial(the_table_is_whole, door))
    for scenario in SCENARIOS:
        if scenario.name in door.answers:
            for of_answer in _OF_ANSWERS:
                if not (of_answer is answerchecks.framing_does_not_show and "framing" in door.cannot):
                    yield _check(door, scenario.name, of_answer, scenario)
            if scenario.name in ("text", "text_stream") and door.replies(scenario.name):
                for of_text in _OF_TEXTS:
                    yield _check(door, scenario.name, of_text, scenario)
    for failure in FAILURES:
        if failure.name in door.answers:
            for of_failure in _OF_FAILURES:
                yield _check(door, failure.name, of_failure, failure)
    if door.adapter.simulated:
        return  # it sends nothing that could be looked at
    for of_request in _OF_REQUESTS:
        yield Check(f"{door}-{of_request.__name__}", partial(of_request, door))
    for number, case in enumerate(field_cases()):
        if case.name not in door.cannot:
            run = partial(requestchecks.a_field_is_never_lost, door, case)
            yield Check(f"{door}-field {number} {case.name}", run)


class AdapterConformance:
    """For pytest: a subclass whose name begins with Test, with `doors`, is the whole test file of an adapter."""

    doors: Sequence[Door] = ()

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """Pytest calls it: one test for each check."""
        if "check" in metafunc.fixturenames:
            metafunc.parametrize("check", [check for door in self.doors for check in checks_of(door)], ids=str)

    def test_there_are_doors(self) -> None:
        if not self.doors:
            raise AssertionError(f"set {type(self).__name__}.doors: one Door for each adapter, or way to configure it")

    def test_adapter(self, check: Check) -> None:
        try:
            check()
        except AssertionError as error:
            raise AssertionError(f"{check}: {error}") from None  # the inside of the kit would tell an author nothing


def the_table_is_whole(door: Door) -> None:
    """Every scenario is answered, or is said to be impossible and why; nothing else is named."""
    known = {*ANSWERED, *LIMITS, *(case.name for case in field_cases())}
    lacking = [name for name in ANSWERED if not (name in door.answers or door.cannot.get(name) or door.nothing_else)]
    answerchecks.same(lacking, [], "put into `answers` (how the provider says it) or `cannot` (and why)")
    answerchecks.same(sorted({*door.answers, *door.cannot} - known), [], "no scenario, field or limit is called")
    answerchecks.same(sorted(door.answers.keys() & door.cannot.keys()), [], "both answered and impossible")
    answerchecks.same([name for name in ("text", "text_stream") if name not in door.answers], [], "every door answers")


def _check(door: Door, name: str, function: Callable[..., None], told: Scenario | Failure) -> Check:
    return Check(f"{door}-{name}-{function.__name__}", partial(function, door, told))
