"""The whole request: every field of OpenAI's Chat Completions, and what else clients of Paifang may send.

Each case is a field with a value that asks for something, and the fields that it needs beside it. What becomes of it must
show: in what is sent, in `dropped`, or in a refusal that names it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from proxy.testkit.scenarios import CALLS, PICTURE_DATA, PICTURE_URL, TOOL


@dataclass(frozen=True, kw_only=True)
class FieldCase:
    """One field, or a member deep inside of one."""

    name: str
    """As `dropped` and refusals name it: "seed", "messages[].name"."""
    fields: Mapping[str, Any]
    without: Mapping[str, Any] = field(default_factory=dict)
    """The same request without it."""


OF_THE_GATEWAY = frozenset({"model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens"})
"""Fields that the gateway itself sees to, or that other checks are about."""

_SCHEMA = {"type": "json_schema", "json_schema": {"name": "city", "schema": {"type": "object", "properties": {}}}}

FIELDS: Mapping[str, tuple[Any, Mapping[str, Any]]] = {
    "audio": ({"voice": "alloy", "format": "wav"}, {"modalities": ["text", "audio"]}),
    "enable_thinking": (False, {}),
    "frequency_penalty": (0.5, {}),
    "function_call": ({"name": "get_weather"}, {"functions": [TOOL["function"]]}),
    "functions": ([TOOL["function"]], {}),
    "logit_bias": ({"50256": -100}, {}),
    "logprobs": (True, {}),
    "metadata": ({"team": "red"}, {}),
    "modalities": (["text", "audio"], {}),
    "moderation": ({"model": "omni-moderation-latest"}, {}),
    "n": (2, {}),
    "parallel_tool_calls": (False, {"tools": [TOOL]}),
    "prediction": ({"type": "content", "content": "a guess"}, {}),
    "presence_penalty": (0.5, {}),
    "prompt_cache_key": ("cache-1", {}),
    "prompt_cache_options": ({"mode": "explicit"}, {}),
    "prompt_cache_retention": ("24h", {}),
    "reasoning_effort": ("high", {}),
    "response_format": (_SCHEMA, {}),
    "safety_identifier": ("person-1", {}),
    "seed": (7, {}),
    "service_tier": ("priority", {}),
    "stop": (["THE END"], {}),
    "store": (True, {}),
    "temperature": (0.3, {}),
    "thinking": ({"type": "disabled"}, {}),
    "tool_choice": ("required", {"tools": [TOOL]}),
    "tools": ([TOOL], {}),
    "top_logprobs": (3, {"logprobs": True}),
    "top_p": (0.3, {}),
    "user": ("person-1", {}),
    "verbosity": ("low", {}),
    "web_search_options": ({}, {}),
    "x_field_of_nobody": ({"a": 1}, {}),
}
"""Name → a value, and the fields that it needs."""

REDIRECTING: Mapping[str, Any] = {
    "api_base": "https://thief.example",
    "api_key": "sk-of-thief.example",
    "base_url": "https://thief.example",
    "extra_body": {"to": "thief.example"},
    "extra_headers": {"x-to": "thief.example"},
    "extra_query": {"to": "thief.example"},
    "fallbacks": ["thief.example"],
    "headers": {"host": "thief.example"},
    "organization": "thief.example",
    "provider": {"only": ["thief.example"]},
}
"""Fields that could lead the call, or its credentials, elsewhere: never sent, always named."""
THIEF = "thief.example"


def field_cases() -> Sequence[FieldCase]:
    """Every case: the fields of the body, then members deep inside of messages and tools."""
    top = [FieldCase(name=name, fields={**beside, name: value}, without=beside) for name, (value, beside) in FIELDS.items()]
    return [*top, *_NESTED]


def _said(role: str, content: Any, **members: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **members}


def _messages(*messages: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [_said("user", "Hi"), *messages]}


def _part(kind: str, value: Any) -> FieldCase:
    text = {"type": "text", "text": "Look"}
    return FieldCase(
        name=f"messages[].content[].{kind}",
        fields=_messages(_said("user", [text, {"type": kind, kind: value}])),
        without=_messages(_said("user", [text])),
    )


def _member(role: str, name: str, value: Any, *before: dict[str, Any], **others: Any) -> FieldCase:
    return FieldCase(
        name=f"messages[].{name}",
        fields=_messages(*before, _said(role, "Well", **others, **{name: value})),
        without=_messages(*before, _said(role, "Well", **others)),
    )


def _tool(kind: str, value: Any) -> FieldCase:
    return FieldCase(name="tools", fields={"tools": [TOOL, {"type": kind, kind: value}]}, without={"tools": [TOOL]})


_CALLED = _said(
    "assistant",
    None,
    tool_calls=[{"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}} for c in CALLS[:1]],
)
_NAMED = {"type": "function", "function": {"name": "get_weather"}}
_ALLOWED = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [_NAMED]}}

_NESTED = (
    _part("image_url", {"url": PICTURE_URL}),
    _part("image_url", {"url": f"data:image/png;base64,{PICTURE_DATA}"}),
    _part("input_audio", {"data": "UklGRg==", "format": "wav"}),
    _part("file", {"file_id": "file-1"}),
    _part("video_url", {"url": "https://example.com/cat.mp4"}),
    FieldCase(
        name="messages[].content[].image_url.detail",
        fields=_messages(_said("user", [{"type": "image_url", "image_url": {"url": PICTURE_URL, "detail": "high"}}])),
        without=_messages(_said("user", [{"type": "image_url", "image_url": {"url": PICTURE_URL}}])),
    ),
    FieldCase(
        name="messages[].content[].prompt_cache_breakpoint",
        fields=_messages(_said("user", [{"type": "text", "text": "Look", "prompt_cache_breakpoint": {"mode": "explicit"}}])),
        without=_messages(_said("user", [{"type": "text", "text": "Look"}])),
    ),
    FieldCase(
        name="messages[].content[].refusal",
        fields=_messages(_said("assistant", [{"type": "refusal", "refusal": "I can't."}]), _said("user", "Why?")),
        without=_messages(_said("assistant", "Well"), _said("user", "Why?")),
    ),
    FieldCase(name="messages", fields=_messages(_said("system", "Be brief.")), without=_messages()),
    FieldCase(name="messages", fields=_messages(_said("developer", "Be brief.")), without=_messages()),
    FieldCase(name="messages", fields=_messages(_said("function", "18 degrees", name="get_weather")), without=_messages()),
    _member("user", "name", "ann"),
    _member("system", "name", "ann"),
    _member("assistant", "name", "bob"),
    _member("assistant", "refusal", "I can't."),
    _member("assistant", "audio", {"id": "audio-1"}),
    _member("assistant", "function_call", {"name": "get_weather", "arguments": "{}"}),
    _member("assistant", "reasoning_content", "so be it"),
    _member("assistant", "tool_calls", _CALLED["tool_calls"]),
    _member("tool", "tool_call_id", "call_1", _CALLED),
    _member("user", "x_member_of_nobody", "y"),
    _tool("custom", {"name": "free_text"}),
    _tool("web_search", {}),
    FieldCase(
        name="tools",
        fields={"tools": [{**TOOL, "function": {**TOOL["function"], "strict": True}}]},  # type: ignore[dict-item]
        without={"tools": [TOOL]},
    ),
    FieldCase(name="tool_choice", fields={"tools": [TOOL], "tool_choice": _NAMED}, without={"tools": [TOOL]}),
    FieldCase(name="tool_choice", fields={"tools": [TOOL], "tool_choice": _ALLOWED}, without={"tools": [TOOL]}),
    FieldCase(name="tool_choice", fields={"tools": [TOOL], "tool_choice": "none"}, without={"tools": [TOOL]}),
    FieldCase(name="response_format", fields={"response_format": {"type": "json_object"}}),
    FieldCase(
        name="response_format",
        fields={"response_format": {**_SCHEMA, "json_schema": {**_SCHEMA["json_schema"], "strict": True}}},  # type: ignore[dict-item]
        without={"response_format": _SCHEMA},
    ),
    FieldCase(name="stop", fields={"stop": "THE END"}),
    FieldCase(name="temperature", fields={"temperature": 0}),
    FieldCase(name="top_p", fields={"top_p": 0}),
)
