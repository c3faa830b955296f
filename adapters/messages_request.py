"""A Chat Completions body → the body for a door of Anthropic's shape, `POST …/v1/messages`.

What every vendor takes is written as it is; what some lack, or have beyond, a MessagesShape tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.chat_fields import asked_function, asked_schema, asked_tier, note_others, refuse_left_out, unsupported
from adapters.messages_shape import MessagesShape
from adapters.messages_turns import conversation
from adapters.profile_request import fits, moved_within
from adapters.profile_thinking import write_thinking
from proxy import ChatRequest, Target, refuse_unpriced

_AS_THEY_ARE = ("temperature", "top_p")
_READ = frozenset(
    {
        *_AS_THEY_ARE,
        "enable_thinking",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "model",
        "n",
        "parallel_tool_calls",
        "reasoning_effort",
        "response_format",
        "service_tier",
        "stop",
        "stream",
        "stream_options",
        "thinking",
        "tool_choice",
        "tools",
        "user",
    }
)
_THINKING = {"enabled": "enabled", "disabled": "disabled", "auto": "adaptive", "adaptive": "adaptive"}
_CHOICES = {"auto": "auto", "none": "none", "required": "any"}
_SWITCHES = ("thinking", "enable_thinking", "reasoning_effort")
_FREE_TIERS = ("auto", "default")
_NO_EFFORT = ("none", "minimal")


def messages_body(
    chat: ChatRequest, target: Target, shape: MessagesShape, *, reject_unknown: bool
) -> tuple[dict[str, Any], list[str]]:
    """The body to send, and the fields that were left out.

    Raises: BadRequest (unsupported_parameter): a field, role or part that the door can't do and that can't be left out, or,
    with reject_unknown, any that would be.
    """
    asked, model = chat.body, target.upstream_model
    refuse_unpriced(chat, [target])
    if chat.n > 1:
        raise unsupported("'n' above 1", "n")
    # A field at 0, false or [] asks for nothing.
    left_out = sorted(name for name in asked.keys() - _READ if asked[name])
    system, turns = conversation(
        asked["messages"], left_out, system_turns=shape.system_turns, images=not fits(shape.text_only, model)
    )
    body: dict[str, Any] = {
        "model": model,
        "max_tokens": target.output_cap,
        "messages": turns,
        "stream": chat.stream,
    }
    if system:
        body["system"] = system
    body |= {name: asked[name] for name in _AS_THEY_ARE if name in asked}
    left_out += moved_within(body, shape.within, model)
    if (stop := asked.get("stop")) and shape.stops:
        body["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    elif stop:
        left_out.append("stop")
    if "user" in asked:
        body["metadata"] = {"user_id": asked["user"]}
    body |= _tools(asked, shape, left_out)
    body |= _thinking_and_effort(asked, left_out) if shape.effort else _thinking(asked, shape, target, left_out)
    if shape.formats:
        body |= _output_format(asked.get("response_format") or {}, left_out)
    elif asked.get("response_format", {}).get("type", "text") != "text":
        left_out.append("response_format")
    tier = asked_tier(asked, (*_FREE_TIERS, *shape.tiers))
    body |= tier if shape.tiers else {}
    if reject_unknown:
        refuse_left_out(left_out)
    return body, left_out


def _tools(asked: Mapping[str, Any], shape: MessagesShape, left_out: list[str]) -> dict[str, Any]:
    if not asked.get("tools"):
        return {}
    tools = []
    for at, tool in enumerate(asked["tools"]):
        if tool["type"] != "function":
            raise unsupported(f"tools of type {tool['type']!r}", f"tools[{at}].type")
        function = tool["function"]
        schema = function.get("parameters")
        written = {"name": function["name"], "input_schema": {"type": "object"} if schema is None else schema}
        told = ("description", "strict") if shape.strict_tools else ("description",)
        written |= {name: function[name] for name in told if function.get(name) is not None}
        if function.get("strict") and not shape.strict_tools and "tools[].function.strict" not in left_out:
            left_out.append("tools[].function.strict")
        tools.append(written)
    choice = _tool_choice(asked.get("tool_choice", "auto"))
    if asked.get("parallel_tool_calls") is False and choice["type"] != "none":
        choice["disable_parallel_tool_use"] = True
    return {"tools": tools, "tool_choice": choice}


def _tool_choice(choice: Any) -> dict[str, Any]:
    if isinstance(choice, str):
        return {"type": _CHOICES[choice]}
    return {"type": "tool", "name": asked_function(choice)}


def _thinking(asked: Mapping[str, Any], shape: MessagesShape, target: Target, left_out: list[str]) -> dict[str, Any]:
    """Thinking that is enabled has a budget, as part of max_tokens: half of it, where the client names none."""
    wanted = {name: asked[name] for name in _SWITCHES if name in asked}
    switch = next(switch for switch in shape.thinking if fits(switch.models, target.upstream_model))
    left_out += write_thinking(wanted, switch)
    thinking = wanted.get("thinking")
    if thinking is None:
        return {}
    if not shape.budgets or thinking["type"] != "enabled":
        note_others(thinking, ("type",), "thinking", left_out)
        return {"thinking": {"type": thinking["type"]}}
    note_others(thinking, ("type", "budget_tokens"), "thinking", left_out)
    budget = thinking.get("budget_tokens")
    budget = budget if type(budget) is int and budget > 0 else target.output_cap // 2
    return {"thinking": {"type": "enabled", "budget_tokens": max(1, min(budget, target.output_cap - 1))}}


def _thinking_and_effort(asked: Mapping[str, Any], left_out: list[str]) -> dict[str, Any]:
    """An effort beside thinking switched off contradicts it and is refused by Ark; `thinking` wins over enable_thinking."""
    written: dict[str, Any] = {}
    kind = None
    if "thinking" in asked:
        kind = _THINKING[asked["thinking"]["type"]]
        left_out += [f"thinking.{name}" for name, value in asked["thinking"].items() if name != "type" and value]
    elif "enable_thinking" in asked:
        kind = "enabled" if asked["enable_thinking"] else "disabled"
    if kind is not None:
        written["thinking"] = {"type": kind}
    effort = asked.get("reasoning_effort")
    if effort is not None and kind == "disabled" and effort not in _NO_EFFORT:
        left_out.append("reasoning_effort")
    elif effort is not None:
        written["output_config"] = {"effort": effort}
    return written


def _output_format(wanted: Mapping[str, Any], left_out: list[str]) -> dict[str, Any]:
    """A schema's description and strictness have no place there; nor has its name, a label that asks for nothing."""
    match wanted.get("type"):
        case "json_object":
            return {"output_format": {"type": "json_object"}}
        case "json_schema":
            named = asked_schema(wanted)
            left_out += [f"response_format.json_schema.{name}" for name in ("description", "strict") if named.get(name)]
            return {"output_format": {"type": "json_schema", "schema": named["schema"]}}
    return {}
