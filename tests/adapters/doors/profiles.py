"""What the sixteen families send where they do as OpenAI does. Their quirks have a table of their own: quirks.py."""

from __future__ import annotations

from collections.abc import Mapping

from adapters.profile import Profile
from adapters.profiled_chat import ProfiledChat
from adapters.profiles import PROFILES
from proxy.testkit import Door
from tests.adapters.doors.openai_chat import ANSWERS, ERRORS
from tests.fakes.families import MODELS

CANNOT: Mapping[str, Mapping[str, str]] = {"longcat": {"vision": "its models read texts alone"}}


def door(profile: Profile) -> Door:
    cannot = CANNOT.get(profile.name, {})
    said = {name: reply for name, reply in {**ANSWERS, **ERRORS}.items() if name not in cannot}
    return Door(adapter=ProfiledChat(profile), upstream_model=MODELS[profile.name], answers=said, cannot=cannot)


DOORS = tuple(map(door, PROFILES))
