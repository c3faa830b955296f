"""Every quirk that a profile declares is shown by the family's fake, and needed: without it the client's answer is wrong."""

from __future__ import annotations

from dataclasses import MISSING, fields, replace
from typing import Any

import pytest

from adapters.profile import Profile
from adapters.profiles import PROFILES
from tests.adapters.asking import Case, ask
from tests.adapters.quirks import CASES

NAMED = {profile.name: profile for profile in PROFILES}
NO_QUIRKS = {"name", "base_url", "intl_url", "signer", "signers", "options", "embeddings"}
DEFAULTS: dict[str, Any] = {
    each.name: each.default_factory() if each.default_factory is not MISSING else each.default
    for each in fields(Profile)
    if each.name not in NO_QUIRKS
}
DECLARED = [
    (profile.name, quirk) for profile in PROFILES for quirk, default in DEFAULTS.items() if getattr(profile, quirk) != default
]


def right(profile: Profile, case: Case) -> bool:
    seen, sent = ask(profile, case)
    return seen == case.expected(profile.name) and case.sent(sent)


def test_every_declared_quirk_has_a_case_and_no_other() -> None:
    assert sorted((name, quirk) for name, cases in CASES.items() for quirk in cases) == sorted(DECLARED)


@pytest.mark.parametrize(("name", "quirk"), DECLARED)
def test_with_the_quirk_the_answer_is_right(name: str, quirk: str) -> None:
    case = CASES[name][quirk]
    seen, sent = ask(NAMED[name], case)
    assert seen == case.expected(name)
    assert case.sent(sent)


@pytest.mark.parametrize(("name", "quirk"), DECLARED)
def test_without_the_quirk_it_is_not(name: str, quirk: str) -> None:
    assert not right(replace(NAMED[name], **{quirk: DEFAULTS[quirk]}), CASES[name][quirk])
