"""What Ark's Chat door refuses. Nulls count as absent; unknown fields pass."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from tests.fakes.answers import text_of
from tests.fakes.ark_door import invalid
from tests.fakes.ark_models import Model

_RANGES = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "frequency_penalty": (-2, 2),
    "presence_penalty": (-2, 2),
    "repetition_penalty": (0, 2),
    "top_logprobs": (0, 20),
    "n": (1, 5),
    "max_completion_tokens": (1, 65536),
    "max_tokens": (0, float("inf")),
}
_CHOICES = {
    "reasoning_effort": {"none", "minimal", "low", "medium", "high", "xhigh", "max"},
    "service_tier": {"auto", "default", "fast", "flex"},
}
_THINKING = {"enabled", "disabled", "auto"}
_ROLES = {"system", "user", "assistant", "tool"}
_PARTS = {"text", "image_url", "video_url", "input_audio", "file"}
_FORMATS = {"text", "json_object", "json_schema"}
_NOT_WHILE_THINKING = (
    "stop",
    "frequency_penalty",
    "presence_penalty",
    "logprobs",
    "top_logprobs",
    "logit_bias",
)
_UNSUPPORTED = "InvalidParameter.UnsupportedParameter"


def without_nulls(value: Any) -> Any:
    """The value without members that are null, at any depth: SDKs send them for whatever was not set."""
    if isinstance(value, dict):
        return {name: without_nulls(member) for name, member in value.items() if member is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def required(body: Mapping[str, Any] | None, *names: str) -> Mapping[str, Any]:
    """Raises: Refusal: 400, the body is no JSON object or lacks a member."""
    if body is None:
        raise invalid("", "The request body is not a JSON object.")
    for name in names:
        if not body.get(name):
            raise invalid(name, f"The request is missing {name}.", code="MissingParameter")
    return body


def check_chat(body: Mapping[str, Any], model: Model, *, fast_tier: bool) -> None:
    """Raises: Refusal: 400 with the parameter that Ark would not take."""
    for name, (low, high) in _RANGES.items():
        value = body.get(name, low)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise invalid(name, f"{name} must be between {low} and {high}.")
    for name, allowed in _CHOICES.items():
        if name in body and body[name] not in allowed:
            raise invalid(name, f"{name} must be one of {', '.join(sorted(allowed))}.")
    if body.get("service_tier") == "fast" and not fast_tier:
        raise invalid("service_tier", "service_tier fast is not available here.")
    if "max_tokens" in body and "max_completion_tokens" in body:
        raise invalid("max_tokens", "max_tokens and max_completion_tokens can not be set together.")
    _check_thinking(body, model)
    if not model.samples_freely:
        for name in _NOT_WHILE_THINKING:
            if body.get(name):
                raise invalid(name, f"{name} is not supported by this model.", code=_UNSUPPORTED)
    _check_messages(body["messages"], model)
    _check_tools(body)
    _check_format(body)


def _check_thinking(body: Mapping[str, Any], model: Model) -> None:
    kind = body.get("thinking", {}).get("type", "enabled")
    if kind not in _THINKING or (kind == "auto" and not model.auto_thinks):
        raise invalid("thinking.type", f"thinking.type {kind} is not supported by this model.")
    if kind == "disabled" and body.get("reasoning_effort") in {"low", "medium", "high"}:
        raise invalid("reasoning_effort", "reasoning_effort needs thinking, which is disabled.")


def sealed(text: str) -> str:
    """What stands for encrypted reasoning: opaque, and different for each text."""
    return "enc:" + hashlib.sha256(text.encode()).hexdigest()


def _check_messages(messages: Any, model: Model) -> None:
    if not isinstance(messages, list):
        raise invalid("messages", "messages must be a list.")
    open_calls: set[str] = set()
    for message in messages:
        if not isinstance(message, dict):
            raise invalid("messages", "Each message must be an object.")
        role = message.get("role")
        if role is None:
            raise invalid("messages.role", "A message has no role.", code="InvalidArgumentError")
        if role == "developer":
            raise invalid("messages.role", "The value of messages.role is invalid: developer.")
        if role not in _ROLES:
            raise invalid("messages.role", f"Unknown role {role}.", code="InvalidArgumentError.UnknownRole")
        if role == "tool":
            if message.get("tool_call_id") not in open_calls:
                raise invalid("messages.tool_call_id", "A tool result must follow the call that it answers.")
            open_calls.remove(message["tool_call_id"])
        else:
            open_calls = {call["id"] for call in message.get("tool_calls", [])}
        if role == "assistant" and not message.get("content") and not message.get("tool_calls"):
            raise invalid("messages.content", "An assistant message needs content or tool_calls.")
        _check_content(message.get("content", ""))
        _check_reasoning(message, model)


def _check_reasoning(message: Mapping[str, Any], model: Model) -> None:
    reasoning, encrypted = message.get("reasoning_content", ""), message.get("encrypted_content")
    if (reasoning or encrypted) and not model.takes_reasoning:
        raise invalid("messages.reasoning_content", "This model takes no earlier reasoning.")
    if encrypted is not None and encrypted != sealed(reasoning):
        raise invalid("messages.encrypted_content", "Invalid signature in encrypted_content.")


def _check_content(content: Any) -> None:
    for part in content if isinstance(content, list) else []:
        if part.get("type") not in _PARTS:
            raise invalid("messages.content.type", f"Unknown content part {part.get('type')}.")


def _check_tools(body: Mapping[str, Any]) -> None:
    names = []
    for tool in body.get("tools", []):
        if tool.get("type") != "function" or not tool.get("function", {}).get("name"):
            raise invalid("tools.type", "Only tools of type function with a name are supported.")
        names.append(tool["function"]["name"])
    choice = body.get("tool_choice", "auto")
    if isinstance(choice, str):
        if choice not in {"none", "auto", "required"}:
            raise invalid("tool_choice", f"Unknown tool_choice {choice}.")
    elif choice.get("function", {}).get("name") not in names:
        raise invalid("tool_choice", "tool_choice names a function that is not in tools.")


def _check_format(body: Mapping[str, Any]) -> None:
    wanted = body.get("response_format", {"type": "text"})
    kind = wanted.get("type")
    if kind not in _FORMATS:
        raise invalid("response_format.type", f"Unknown response_format {kind}.")
    if kind == "json_schema" and not wanted.get("json_schema", {}).get("schema"):
        raise invalid("response_format.json_schema", "json_schema has no schema.", code="MissingParameter")
    if kind == "json_object" and "json" not in _all_text(body["messages"]).lower():
        raise invalid("response_format.type", "The word json must be in the messages to use json_object.")


def _all_text(messages: Sequence[Mapping[str, Any]]) -> str:
    return "\n".join(text_of(message.get("content")) for message in messages)


def stop_list(value: Any) -> tuple[str, ...]:
    """Up to four stop sequences out of a string or a list.

    Raises: Refusal: 400.
    """
    stops = (value,) if isinstance(value, str) else tuple(value or ())
    if len(stops) > 4:
        raise invalid("stop", "At most 4 stop sequences.")
    return stops
