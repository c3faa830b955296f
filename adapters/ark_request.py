"""An OpenAI body → the body for Ark's Chat Completions, a step at a time.

Source: Ark's Chat API reference of 2026-08 and notes of live calls; it is not known whether Ark refuses
unknown fields, so none are sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.openai_request import CAPS, without_nulls
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
_NOT_WHILE_THINKING = frozenset({"frequency_penalty", "logit_bias", "logprobs", "presence_penalty", "stop", "top_logprobs"})
_NOTHING_IF_EMPTY = _NOT_WHILE_THINKING | {"background", "enable_search", "functions", "metadata", "store"}
_CONSOLE_MADE = ("ep-", "bot-")
_THINKING_FAMILIES = ("doubao-seed-", "seed-", "glm-", "deepseek-", "kimi-")
_THINKING_TYPES = ("enabled", "disabled", "auto")
_NO_EFFORT = ("none", "minimal")


def is_thinking_model(model: str, endpoint_thinks: bool) -> bool:
    """Whether it is a deep-thinking model. An id of an endpoint or a bot (ep-…, bot-…) doesn't tell; its operator does."""
    return endpoint_thinks if model.startswith(_CONSOLE_MADE) else model.startswith(_THINKING_FAMILIES)


def write_cap(body: dict[str, Any], cap: int, field: str) -> None:
    """Write the cap in this field alone: both together are refused."""
    for name in CAPS:
        body.pop(name, None)
    body[field] = min(cap, MOST_OUTPUT_TOKENS)


def write_messages(body: dict[str, Any]) -> None:
    """Drop nulls at every level and call developers `system`: Ark may refuse either."""
    body["messages"] = messages = [without_nulls(message) for message in body["messages"]]
    for message in messages:
        if message.get("role") == "developer":
            message["role"] = "system"


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


def write_thinking(body: dict[str, Any]) -> list[str]:
    """enable_thinking → thinking, Ark's own, which wins where both are given.

    An effort beside thinking switched off is refused by Ark, so it is left out. Returns what was left out.
    """
    dropped = []
    enabled = body.pop("enable_thinking", None)
    thinking = body.get("thinking")
    if thinking is not None and thinking.get("type") not in _THINKING_TYPES:
        del body["thinking"]
        dropped.append("thinking")
    if enabled is not None and "thinking" not in body:
        body["thinking"] = {"type": "enabled" if enabled else "disabled"}
    off = body.get("thinking", {}).get("type") == "disabled"
    if off and body.get("reasoning_effort", "none") not in _NO_EFFORT:
        del body["reasoning_effort"]
        dropped.append("reasoning_effort")
    return dropped


def unsupported(body: Mapping[str, Any], model: str, known: frozenset[str], *, thinks: bool) -> frozenset[str]:
    """Names of the fields of `body` that the door (it knows `known`) or the model can't do."""
    names = body.keys() - known
    if thinks:
        names |= body.keys() & _NOT_WHILE_THINKING
    if model.startswith("deepseek-v4"):  # the one thinking model that takes stop sequences
        names.discard("stop")
    return frozenset(names)


def without_effect(name: str, value: Any) -> bool:
    """Whether a field asks for nothing: a penalty of 0, logprobs false, no stop sequences."""
    return name in _NOTHING_IF_EMPTY and not value
