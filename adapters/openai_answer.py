"""Choices and usage of OpenAI's dialect → the parts of our answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from proxy import (
    FINISH_REASONS,
    Extra,
    Finish,
    Part,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    UpstreamProtocolError,
    Usage,
)

MOST_TOKENS = 10**9
"""No model reads or writes as many; a count above is a fault."""

_STARTED_FIELDS = ("service_tier", "system_fingerprint")
_READ_OF_MESSAGE = frozenset({"role", "content", "reasoning_content", "reasoning", "tool_calls"})
_READ_OF_CHOICE = frozenset({"index", "delta", "message", "finish_reason", "usage"})


def started_of(values: Mapping[str, Any]) -> Started:
    """What a chunk or an answer says of itself as a whole."""
    identity, created, model = values.get("id"), values.get("created"), values.get("model")
    return Started(
        id=identity if isinstance(identity, str) else None,
        created=created if type(created) is int else None,
        model=model if isinstance(model, str) else None,
        fields={name: values[name] for name in _STARTED_FIELDS if values.get(name) is not None},
    )


def choices_of(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The choices of a chunk or an answer; none where the member is absent or null.

    Raises: UpstreamProtocolError: they are not a list of objects.
    """
    choices = values.get("choices")
    if choices is None:
        return []
    if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
        raise UpstreamProtocolError("The provider's choices are not a list of objects.", detail=repr(choices)[:500])
    return choices


def add_parts(parts: list[Part], choice: Mapping[str, Any], member: str) -> None:
    """Add what one choice says.

    Args: choice: {"index", "delta" | "message", "finish_reason"}. member: "delta" in a stream, "message" else.
    """
    index = index_of(choice)
    message = choice.get(member)
    if isinstance(message, dict):
        _add_message(parts, message, index)
    if extra := _others(choice, _READ_OF_CHOICE):
        parts.append(Extra(choice=extra, index=index))
    reason = choice.get("finish_reason")
    if reason:
        known = isinstance(reason, str) and reason in FINISH_REASONS
        parts.append(Finish(reason if known else "stop", index))


def index_of(choice: Mapping[str, Any]) -> int:
    """Which choice it is; some providers leave the index out where there is one choice."""
    index = choice.get("index")
    return index if type(index) is int and index >= 0 else 0


def read_usage(block: Any, service_tier: Any = None) -> Usage | None:
    """Read a provider's usage object.

    None where a count is missing, negative, absurd or no integer: the answer was served all the same, so the
    gateway bills its own estimate rather than fail or trust it. A detail that is no integer counts as 0; one that is
    negative or more than the whole it is part of is passed on, for the gateway to judge.

    Args: block: {"prompt_tokens": int, "completion_tokens": int, "prompt_tokens_details"?: {"cached_tokens"?: int, …}, …}.
    """
    if not isinstance(block, dict):
        return None
    prompt, completion = _count(block.get("prompt_tokens")), _count(block.get("completion_tokens"))
    if prompt is None or completion is None:
        return None
    read, written = _details(block, "prompt_tokens_details"), _details(block, "completion_tokens_details")
    # DeepSeek's name, then Kimi's, stand beside the counts and not in the details.
    cached = read.get("cached_tokens", block.get("prompt_cache_hit_tokens", block.get("cached_tokens")))
    return Usage(
        input_tokens=prompt,
        output_tokens=completion,
        cached_input_tokens=_part(cached),
        cache_write_tokens=_part(read.get("cache_creation_input_tokens")),
        reasoning_tokens=_part(written.get("reasoning_tokens")),
        audio_input_tokens=_part(read.get("audio_tokens")),
        audio_output_tokens=_part(written.get("audio_tokens")),
        service_tier=service_tier if isinstance(service_tier, str) else None,
        reported=block,
    )


def _add_message(parts: list[Part], message: Mapping[str, Any], index: int) -> None:
    # Aggregators say `reasoning`, and some of them both.
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    if isinstance(reasoning, str) and reasoning:
        parts.append(ReasoningDelta(reasoning, index))
    content = message.get("content")
    if isinstance(content, str) and content:
        parts.append(TextDelta(content, index))
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        for position, call in enumerate(calls):
            if isinstance(call, dict):
                parts.append(_tool_call(call, position, index))
    if extra := _others(message, _READ_OF_MESSAGE):
        parts.append(Extra(delta=extra, index=index))


def _tool_call(call: Mapping[str, Any], position: int, index: int) -> ToolCallDelta:
    told = call.get("index")
    function = call.get("function")
    function = function if isinstance(function, dict) else {}
    identity, name, arguments = call.get("id"), function.get("name"), function.get("arguments")
    if arguments is not None and not isinstance(arguments, str):
        arguments = json.dumps(arguments)
    return ToolCallDelta(
        position=told if type(told) is int and told >= 0 else position,
        id=identity if isinstance(identity, str) else None,
        name=name if isinstance(name, str) else None,
        arguments=arguments or "",
        index=index,
    )


def _others(value: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    if value.keys() <= known:
        return {}
    return {name: member for name, member in value.items() if name not in known and member is not None}


def _details(block: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    details = block.get(name)
    return details if isinstance(details, dict) else {}


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value <= MOST_TOKENS else None


def _part(value: Any) -> int:
    return value if type(value) is int else 0
