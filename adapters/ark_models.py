"""What Ark's models take in Chat, by their ids: the generations differ, and refuse what the others have.

Source: Ark's Chat API reference, its page on deep thinking of 2026-08, and notes of live calls. Of an id that we don't know,
such as a plan's own names, nothing is held back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_SAMPLING = frozenset({"frequency_penalty", "logit_bias", "logprobs", "presence_penalty", "stop", "top_logprobs"})
_NOT_OF_SMART_ROUTERS = frozenset({"logit_bias", "logprobs", "parallel_tool_calls", "stop", "tool_choice", "top_logprobs"})
_SINCE_1_6 = frozenset({"parallel_tool_calls", "tool_choice"})
_DATE = re.compile(r"-([0-9]{6})$")
_FIRST_TO_REPLAY = "251228"
"""Seed 1.8."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArkModel:
    """One model, as far as requests to it differ."""

    thinks: bool = True
    """`thinking` and `reasoning_effort` mean something to it."""
    has_efforts: bool = True
    """It knows `reasoning_effort`; else `thinking` alone."""
    has_auto: bool = False
    """It knows `thinking.type: auto`."""
    thinks_always: bool = False
    """It refuses to have thinking turned off; at effort low it does without."""
    takes_reasoning: bool = True
    """Earlier reasoning may be sent back to it."""
    marks_prefix: bool = False
    """A last message of the assistant is continued only if it is marked."""
    text_only: bool = False
    lacks: frozenset[str] = frozenset()
    """Request fields that it refuses."""
    is_known: bool = True


@lru_cache(maxsize=1024)
def ark_model(name: str, *, endpoint_thinks: bool, smart_router: bool) -> ArkModel:
    """What is known of a model's id.

    Args: endpoint_thinks, smart_router: what the operator says of ids that don't tell (ep-…, bot-…).
    """
    if name.startswith(("ep-", "bot-")):
        lacks = _SAMPLING if endpoint_thinks else frozenset()
        return ArkModel(
            thinks=endpoint_thinks,
            has_auto=True,
            takes_reasoning=endpoint_thinks,
            text_only=smart_router,
            lacks=lacks | _NOT_OF_SMART_ROUTERS if smart_router else lacks,
        )
    # BytePlus leaves the brand out, or has one of its own: seed-1-8-251228, dola-seed-….
    plain = name.removeprefix("doubao-").removeprefix("dola-")
    dated = _DATE.search(plain)
    recent = dated is None or dated[1] >= _FIRST_TO_REPLAY
    if plain.startswith("1-5-"):
        thinks = plain.startswith("1-5-thinking-")
        return ArkModel(
            thinks=thinks,
            has_efforts=False,
            has_auto=plain.startswith("1-5-thinking-pro-m-"),
            takes_reasoning=False,
            lacks=_SINCE_1_6 | _SAMPLING if thinks else _SINCE_1_6,
        )
    if plain == "seed-character-251128":
        return ArkModel(thinks=False, has_efforts=False, takes_reasoning=False)
    if plain.startswith("seed-"):
        return ArkModel(
            has_efforts=recent or plain == "seed-1-6-251015",
            has_auto=plain == "seed-1-6-250615",
            takes_reasoning=recent,
            lacks=_SAMPLING,
        )
    if plain.startswith("deepseek-"):
        newer = plain.startswith(("deepseek-v3-2-", "deepseek-v4-"))
        return ArkModel(
            takes_reasoning=newer or recent,
            marks_prefix=plain.startswith("deepseek-v4-1-flash"),
            # DeepSeek V4 is the one thinking model that takes stop sequences.
            lacks=_SAMPLING - {"stop"} if plain.startswith("deepseek-v4-") else _SAMPLING,
        )
    if plain.startswith(("glm-", "kimi-", "ark-code-")):
        return ArkModel(thinks_always=plain.startswith("glm-5.3"), lacks=_SAMPLING)
    return ArkModel(has_auto=True, is_known=False)
