"""A Chat Completions body → the body for DashScope's own generation: {"model", "input": {"messages"}, "parameters"}.

Source: the vendor's SDK (dashscope 2.0.2: aigc/generation.py, aigc/multimodal_conversation.py, acli/providers/tongyi.py), its
API reference and its page of error codes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapters.chat_fields import asked_function, asked_schema, asked_tier, refuse_built_in, refuse_left_out, unsupported
from adapters.dashscope_messages import media_of, native_messages
from adapters.dashscope_options import DashScopeOptions
from adapters.profile import Thinking, Within
from adapters.profile_request import moved_within
from adapters.profile_thinking import write_thinking
from proxy import TOOL_FIELDS, ChatRequest, Target, refuse_unpriced

_AS_THEY_ARE = (
    "logprobs",
    "parallel_tool_calls",
    "presence_penalty",
    "repetition_penalty",
    "seed",
    "stop",
    "temperature",
    "top_k",
    "top_logprobs",
    "top_p",
    "translation_options",
)
_READ = frozenset(
    {
        *_AS_THEY_ARE,
        *TOOL_FIELDS,
        "enable_thinking",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "model",
        "n",
        "reasoning_effort",
        "response_format",
        "service_tier",
        "stream",
        "stream_options",
        "thinking",
        "thinking_budget",
        "tool_choice",
        "tools",
    }
)
_WITHIN = (Within(field="temperature", low=0, high=1.99), Within(field="top_p", low=1e-6, high=0.999999))
_FREE_TIERS = ("auto", "default")
_SWITCHES = ("thinking", "enable_thinking", "reasoning_effort", "thinking_budget")
_BY_FLAG = Thinking(style="flag")

_STREAM_ONLY = re.compile(r"^(qwq|qvq)|omni|^qwen3-[0-9]|-thinking")
"""Models that answer in streams alone."""
_THINKS = re.compile(r"^(qwq|qvq)|^qwen3-[0-9]|-thinking|^qwen3\.8-max|^glm-")
"""Models that think if nobody says otherwise."""
_SCHEMAS = re.compile(r"^qwen3\.[78]")
"""Models that know json_schema, and not json_object alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """What is to be sent."""

    body: Mapping[str, Any]
    dropped: list[str]
    streamed: bool
    """Whatever the client wants."""
    media: list[str]
    """Addresses of images and videos."""


def generation(chat: ChatRequest, target: Target, options: DashScopeOptions) -> Generation:
    """Translate a request.

    Raises: BadRequest (unsupported_parameter): a field, role or part that the door can't do and that can't be left out, or,
    with `unknown_fields: reject`, any that would be.
    """
    asked, model = chat.body, target.upstream_model
    refuse_unpriced(chat, [target])
    if chat.n > 1:
        raise unsupported("'n' above 1", "n")
    refuse_built_in(asked)
    asked_tier(asked, _FREE_TIERS)
    # A field at 0, false or [] asks for nothing.
    left_out = sorted(name for name in asked.keys() - _READ if asked[name])
    messages = native_messages(asked["messages"], left_out)
    parameters: dict[str, Any] = {"result_format": "message"}
    parameters |= {name: asked[name] for name in _AS_THEY_ARE if name in asked}
    left_out += moved_within(parameters, _WITHIN, model)
    parameters |= _tools(asked, left_out)
    parameters |= _format(asked.get("response_format") or {}, model, left_out)
    parameters |= _thinking(asked, target, options, left_out)
    streamed = chat.stream or options.stream_only or "thinking_budget" in parameters or bool(_STREAM_ONLY.search(model))
    if streamed:
        parameters["incremental_output"] = True
    if options.unknown_fields == "reject":
        refuse_left_out(left_out)
    body = {"model": model, "input": {"messages": messages}, "parameters": parameters}
    return Generation(body=body, dropped=left_out, streamed=streamed, media=media_of(messages))


def _tools(asked: Mapping[str, Any], left_out: list[str]) -> dict[str, Any]:
    if not asked.get("tools"):
        return {}
    for at, tool in enumerate(asked["tools"]):
        if tool["type"] != "function":
            raise unsupported(f"tools of type {tool['type']!r}", f"tools[{at}].type")
    written: dict[str, Any] = {"tools": asked["tools"]}
    choice = asked.get("tool_choice", "auto")
    if choice == "required" and len(asked["tools"]) > 1:
        left_out.append("tool_choice")  # no word for: any of these
    elif choice == "required":
        written["tool_choice"] = _forced(asked["tools"][0]["function"]["name"])
    elif choice != "auto":
        written["tool_choice"] = choice if isinstance(choice, str) else _forced(asked_function(choice))
    return written


def _forced(name: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def _format(wanted: Mapping[str, Any], model: str, left_out: list[str]) -> dict[str, Any]:
    match wanted.get("type"):
        case "json_object":
            return {"response_format": {"type": "json_object"}}
        case "json_schema":
            named = asked_schema(wanted)
            if _SCHEMAS.search(model):
                return {"response_format": {"type": "json_schema", "json_schema": named}}
            left_out.append("response_format.json_schema")
            return {"response_format": {"type": "json_object"}}
    return {}


def _thinking(asked: Mapping[str, Any], target: Target, options: DashScopeOptions, left_out: list[str]) -> dict[str, Any]:
    """The switch and both caps: max_tokens counts what is said after the thinking, thinking_budget the thinking, and what
    is held for the request is their sum.
    """
    wanted = {name: asked[name] for name in _SWITCHES if name in asked}
    left_out += write_thinking(wanted, _BY_FLAG)
    budget = wanted.pop("thinking_budget", None)
    budget_name = "thinking_budget" if "thinking_budget" in asked else "thinking.budget_tokens"
    cap = target.output_cap
    if not wanted.get("enable_thinking", _THINKS.search(target.upstream_model) is not None):
        left_out += [budget_name] if budget else []
        return {**wanted, "max_tokens": cap}
    if type(budget) is not int or budget < 1:
        left_out += [budget_name] if budget else []
        budget = min(cap // 2, options.max_thinking_tokens or cap)
    budget = max(1, min(budget, cap - 1))
    return {**wanted, "max_tokens": max(1, cap - budget), "thinking_budget": budget}
