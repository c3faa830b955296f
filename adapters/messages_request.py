"""A Chat Completions body → the body for a door of Anthropic's shape, `POST …/v1/messages`.

The shape as Volcengine's own SDK types it (arkruntime 0.17, types/messages): `output_config.effort`, `output_format` and
`thinking` without a budget are there beside what Anthropic's first version had.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.chat_fields import asked_function, asked_schema, asked_tier, refuse_left_out, unsupported
from adapters.messages_turns import conversation
from adapters.openai_request import refuse_unpriced
from proxy import ChatRequest, Target

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
_TIERS = ("auto", "default", "flex")
_NO_EFFORT = ("none", "minimal")


def messages_body(chat: ChatRequest, target: Target, *, reject_unknown: bool) -> tuple[dict[str, Any], list[str]]:
    """The body to send, and the fields that were left out.

    Raises: BadRequest (unsupported_parameter): a field, role or part that the door can't do and that can't be left out, or,
    with reject_unknown, any that would be.
    """
    asked = chat.body
    refuse_unpriced(asked, target)
    if chat.n > 1:
        raise unsupported("'n' above 1", "n")
    # A field at 0, false or [] asks for nothing.
    left_out = sorted(name for name in asked.keys() - _READ if asked[name])
    system, turns = conversation(asked["messages"], left_out)
    body: dict[str, Any] = {
        "model": target.upstream_model,
        "max_tokens": target.output_cap,
        "messages": turns,
        "stream": chat.stream,
    }
    if system:
        body["system"] = system
    body |= {name: asked[name] for name in _AS_THEY_ARE if name in asked}
    if stop := asked.get("stop"):
        body["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    if "user" in asked:
        body["metadata"] = {"user_id": asked["user"]}
    body |= _tools(asked, left_out)
    body |= _thinking(asked, left_out)
    body |= _output_format(asked.get("response_format") or {}, left_out)
    body |= asked_tier(asked, _TIERS)
    if reject_unknown:
        refuse_left_out(left_out)
    return body, left_out


def _tools(asked: Mapping[str, Any], left_out: list[str]) -> dict[str, Any]:
    if not asked.get("tools"):
        return {}
    tools = []
    for at, tool in enumerate(asked["tools"]):
        if tool["type"] != "function":
            raise unsupported(f"tools of type {tool['type']!r}", f"tools[{at}].type")
        function = tool["function"]
        schema = function.get("parameters")
        written = {"name": function["name"], "input_schema": {"type": "object"} if schema is None else schema}
        written |= {name: function[name] for name in ("description", "strict") if function.get(name) is not None}
        tools.append(written)
    choice = _tool_choice(asked.get("tool_choice", "auto"))
    if asked.get("parallel_tool_calls") is False and choice["type"] != "none":
        choice["disable_parallel_tool_use"] = True
    return {"tools": tools, "tool_choice": choice}


def _tool_choice(choice: Any) -> dict[str, Any]:
    if isinstance(choice, str):
        return {"type": _CHOICES[choice]}
    return {"type": "tool", "name": asked_function(choice)}


def _thinking(asked: Mapping[str, Any], left_out: list[str]) -> dict[str, Any]:
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
