"""An OpenAI body → the body for Ark's Chat Completions, a step at a time; messages: ark_turns.py.

Source: Ark's Chat API reference of 2026-08 and notes of live calls; it is not known whether Ark refuses
unknown fields, so none are sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from adapters.ark_models import ArkModel
from adapters.openai_request import CAPS
from proxy import BadRequest

MOST_OUTPUT_TOKENS = 65_536
"""The highest max_completion_tokens that Ark takes, also for models that could write more."""

KNOWN = frozenset(
    {
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "messages",
        "model",
        "n",
        "parallel_tool_calls",
        "presence_penalty",
        "reasoning_effort",
        "repetition_penalty",
        "response_format",
        "service_tier",
        "stop",
        "stream",
        "stream_options",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
    }
)
_NOTHING_IF_EMPTY = frozenset(
    {
        "background",
        "enable_search",
        "frequency_penalty",
        "functions",
        "logit_bias",
        "logprobs",
        "metadata",
        "presence_penalty",
        "stop",
        "store",
        "top_logprobs",
    }
)
_DEFAULTS = {"tool_choice": "auto", "parallel_tool_calls": True}
_NO_EFFORT = ("none", "minimal")
_CACHE_ID = re.compile(r"[!-~]{1,128}")


def write_cap(body: dict[str, Any], cap: int, field: str) -> None:
    """Write the cap in this field alone: both together are refused."""
    for name in CAPS:
        body.pop(name, None)
    body[field] = min(cap, MOST_OUTPUT_TOKENS)


def write_tools(body: dict[str, Any]) -> None:
    """Drop the nulls of tools, but not those within JSON schemas, where null is a value.

    Raises: BadRequest: a tool that is not a function; Ark has built-in tools only at other doors.
    """
    if "tools" not in body:
        return
    tools = []
    for tool in body["tools"]:
        if tool.get("type") != "function":
            raise BadRequest("This model takes function tools only.", code="unsupported_parameter", param="tools")
        function = {name: value for name, value in tool["function"].items() if value is not None}
        tools.append({"type": "function", "function": function})
    body["tools"] = tools


def write_thinking(body: dict[str, Any], model: ArkModel) -> list[str]:
    """enable_thinking, thinking and reasoning_effort → the two that Ark has, where the model has them.

    Ark's own `thinking` wins over enable_thinking; an effort beside thinking switched off is refused by Ark, so it is left
    out. Returns what was left out.
    """
    enabled, asked, effort = (body.pop(name, None) for name in ("enable_thinking", "thinking", "reasoning_effort"))
    asked = asked or {}
    dropped = [f"thinking.{name}" for name, value in asked.items() if name != "type" and value is not None]
    kind = asked.get("type")
    if kind not in (None, "enabled", "disabled") and not (kind == "auto" and model.has_auto):
        kind = None
        dropped.append("thinking")
    named = "thinking" if kind else "enable_thinking"
    if kind is None and enabled is not None:
        kind = "enabled" if enabled else "disabled"
    if not model.thinks:
        dropped += [named] if kind not in (None, "disabled") else []
        return dropped + (["reasoning_effort"] if effort not in (None, *_NO_EFFORT) else [])
    if effort in _NO_EFFORT and (model.thinks_always or not model.has_efforts):
        kind, effort = "disabled", None
    if effort not in (None, *_NO_EFFORT) and (kind == "disabled" or not model.has_efforts):
        effort = None
        dropped.append("reasoning_effort")
    if model.thinks_always and kind == "disabled":
        kind, effort = None, "low"
    if kind is not None:
        body["thinking"] = {"type": kind}
    if effort is not None:
        body["reasoning_effort"] = effort
    return dropped


def write_format(body: dict[str, Any]) -> None:
    """Drop the nulls of response_format, but not those within the JSON schema."""
    if "response_format" in body:
        wanted = {name: value for name, value in body["response_format"].items() if value is not None}
        if isinstance(wanted.get("json_schema"), dict):
            wanted["json_schema"] = {name: value for name, value in wanted["json_schema"].items() if value is not None}
        body["response_format"] = wanted


def cache_headers(body: dict[str, Any]) -> dict[str, str]:
    """prompt_cache_key → the header by which Ark keeps requests near their cached prefix. Taken out if it can be sent."""
    key = body.get("prompt_cache_key")
    if not isinstance(key, str) or not _CACHE_ID.fullmatch(key):
        return {}
    del body["prompt_cache_key"]
    return {"x-prompt-cache-id": key}


def unsupported(body: Mapping[str, Any], known: frozenset[str], model: ArkModel) -> frozenset[str]:
    """Names of the fields of `body` that the door (it knows `known`) or the model can't do."""
    return frozenset((body.keys() - known) | (body.keys() & model.lacks))


def without_effect(name: str, value: Any) -> bool:
    """Whether a field asks for nothing: a penalty of 0, logprobs false, no stop sequences, what is the default."""
    return (name in _NOTHING_IF_EMPTY and not value) or (name in _DEFAULTS and value == _DEFAULTS[name])
