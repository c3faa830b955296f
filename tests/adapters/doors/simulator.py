"""The simulator answers by itself, so its text is a setting, its counts are its own, and nothing goes wrong on the way."""

from __future__ import annotations

from adapters.simulator import Simulator, SimulatorOptions
from proxy.testkit import TEXT, Door

SAYS_TEXT = ("text", "text_stream", "tool_results", "vision")

DOOR = Door(
    adapter=Simulator(),
    options=SimulatorOptions(reply=TEXT),
    answers=dict.fromkeys(SAYS_TEXT, ()),
    cannot={"usage": "it counts what it was asked and what it says"},
    nothing_else="it answers by itself",
)
