from __future__ import annotations

from typing import Any

import pytest

from adapters.profile import Thinking
from adapters.profile_thinking import write_thinking

TYPE = Thinking(style="type")
LEVELS = ("low", "high", "max")
GRADED = Thinking(style="type", efforts=LEVELS)
EFFORT = Thinking(style="effort", efforts=LEVELS)
WITH_NONE = Thinking(style="effort", efforts=("none", *LEVELS))
ADAPTIVE = Thinking(style="type", types=("adaptive", "disabled"))
ON, OFF = {"type": "enabled"}, {"type": "disabled"}
SOME = {"type": "enabled", "budget_tokens": 9}


@pytest.mark.parametrize(
    ("switch", "wish", "sent", "dropped"),
    [
        (TYPE, {}, {}, []),
        (TYPE, {"enable_thinking": True}, {"thinking": ON}, []),
        (TYPE, {"enable_thinking": True, "thinking": OFF}, {"thinking": OFF}, []),
        (TYPE, {"thinking": SOME}, {"thinking": SOME}, []),
        (TYPE, {"thinking": {"type": "auto"}}, {}, ["thinking"]),
        (TYPE, {"reasoning_effort": "none"}, {"thinking": OFF}, []),
        (TYPE, {"reasoning_effort": "high"}, {"thinking": ON}, []),
        (TYPE, {"enable_thinking": True, "reasoning_effort": "high"}, {"thinking": ON}, ["reasoning_effort"]),
        (GRADED, {"reasoning_effort": "medium"}, {"reasoning_effort": "high"}, []),
        (GRADED, {"reasoning_effort": "minimal"}, {"reasoning_effort": "low"}, []),
        (GRADED, {"thinking": ON, "reasoning_effort": "max"}, {"thinking": ON, "reasoning_effort": "max"}, []),
        (GRADED, {"thinking": OFF, "reasoning_effort": "max"}, {"thinking": OFF}, ["reasoning_effort"]),
        (EFFORT, {"enable_thinking": True}, {}, []),
        (EFFORT, {"enable_thinking": False}, {}, ["enable_thinking"]),
        (EFFORT, {"reasoning_effort": "none"}, {}, ["reasoning_effort"]),
        (WITH_NONE, {"enable_thinking": False}, {"reasoning_effort": "none"}, []),
        (WITH_NONE, {"reasoning_effort": "none"}, {"reasoning_effort": "none"}, []),
        (ADAPTIVE, {"enable_thinking": True}, {"thinking": {"type": "adaptive"}}, []),
        (ADAPTIVE, {"thinking": {"type": "adaptive"}}, {"thinking": {"type": "adaptive"}}, []),
        (Thinking(style="flag"), {"thinking": ON}, {"enable_thinking": True}, []),
        (Thinking(style="flag"), {"thinking": SOME}, {"enable_thinking": True, "thinking_budget": 9}, []),
        (Thinking(style="mode"), {"thinking": SOME}, {"thinking_mode": True}, ["thinking.budget_tokens"]),
        (Thinking(style="mode"), {"thinking": OFF}, {"thinking_mode": False}, []),
        (Thinking(style="enabled"), {"enable_thinking": True}, {"thinking": {"enabled": True}}, []),
        (
            Thinking(style="template"),
            {"thinking": OFF, "chat_template_kwargs": {"x": 1}},
            {"chat_template_kwargs": {"x": 1, "enable_thinking": False}},
            [],
        ),
        (Thinking(style="always"), {"enable_thinking": True}, {}, []),
        (Thinking(style="always"), {"thinking": OFF}, {}, ["thinking"]),
        (Thinking(style="never"), {"enable_thinking": False}, {}, ["enable_thinking"]),
        (Thinking(style="never"), {"enable_thinking": True, "thinking": ON}, {}, ["thinking", "enable_thinking"]),
        (Thinking(style="never"), {"reasoning_effort": "high"}, {}, ["reasoning_effort"]),
    ],
)
def test_a_wish_in_the_vendors_words(switch: Thinking, wish: dict[str, Any], sent: dict[str, Any], dropped: list[str]) -> None:
    body = dict(wish)
    assert (write_thinking(body, switch), body) == (dropped, sent)
