"""What Ark's Responses door refuses: first of all, any member that it doesn't know, at any depth. Nulls count as absent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.fakes.ark_door import invalid
from tests.fakes.ark_models import Model
from tests.fakes.faults import Refusal

_TOP = {
    "caching",
    "client_metadata",
    "context_management",
    "expire_at",
    "include",
    "input",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "model",
    "parallel_tool_calls",
    "previous_response_id",
    "prompt_cache_key",
    "reasoning",
    "safety_identifier",
    "service_tier",
    "session",
    "store",
    "stream",
    "temperature",
    "text",
    "thinking",
    "tool_choice",
    "tools",
    "top_p",
}
_ITEMS = {
    "message": {"type", "role", "content", "id", "status", "partial"},
    "function_call": {"type", "id", "call_id", "name", "arguments", "status"},
    "function_call_output": {"type", "id", "call_id", "output", "status"},
    "reasoning": {"type", "id", "status", "summary", "content", "encrypted_content"},
}
_PARTS = {
    "input_text": {"type", "text", "translation_options"},
    "input_image": {"type", "image_url", "file_id", "detail", "image_pixel_limit"},
    "input_video": {"type", "video_url", "file_id", "fps"},
    "input_audio": {"type", "audio_url", "file_id"},
    "input_file": {"type", "file_id", "file_data", "file_url", "filename"},
}
_TOOLS = {
    "function": {"type", "name", "description", "parameters", "strict"},
    "web_search": {"type", "limit", "sources", "user_location", "max_keyword"},
}
_INNER = {
    "reasoning": {"effort"},
    "thinking": {"type"},
    "text": {"format"},
    "caching": {"type", "prefix"},
}
_FORMAT = {"type", "name", "description", "schema", "strict"}
_TIERS = {"auto", "default", "fast", "flex"}
_RANGES = {"temperature": (0, 2), "top_p": (0, 1), "max_tool_calls": (1, 10), "max_output_tokens": (1, float("inf"))}
_EFFORTS = {"none", "minimal", "low", "medium", "high", "xhigh", "max"}


def check_responses(body: Mapping[str, Any], model: Model, *, hears: bool, searches: bool) -> None:
    """Args: hears: input_audio is taken. searches: the header that lets web_search in is there.

    Raises: Refusal: 400.
    """
    _known(body, _TOP)
    for name, members in _INNER.items():
        _known(body.get(name, {}), members)
    _known(body.get("text", {}).get("format", {}), _FORMAT)
    for name, (low, high) in _RANGES.items():
        if not low <= body.get(name, low) <= high:
            raise invalid(name, f"{name} must be between {low} and {high}.")
    if body.get("service_tier", "auto") not in _TIERS:
        raise invalid("service_tier", f"service_tier must be one of {', '.join(sorted(_TIERS))}.")
    if body.get("service_tier") == "flex" and body.get("store", True):
        raise invalid("store", "store must be false with service_tier flex.")
    if set(body.get("include", [])) - {"reasoning.encrypted_content"}:
        raise invalid("include", "include accepts reasoning.encrypted_content only.")
    _check_thinking(body, model)
    _check_tools(body, searches=searches)
    items = input_items(body)
    _check_items(items, hears=hears)
    _check_translation(items, model)


def input_items(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The items of the input, which may be a text."""
    given = body["input"]
    return [{"type": "message", "role": "user", "content": given}] if isinstance(given, str) else given


def _known(values: Mapping[str, Any], members: set[str]) -> None:
    for name in values:
        if name not in members:
            raise Refusal(400, "InvalidParameter", f'json: unknown field "{name}"')


def _check_thinking(body: Mapping[str, Any], model: Model) -> None:
    kind = body.get("thinking", {}).get("type", "enabled")
    if kind not in {"enabled", "disabled", "auto"} or (kind == "auto" and not model.auto_thinks):
        raise invalid("thinking.type", f"thinking.type {kind} is not supported by this model.")
    effort = body.get("reasoning", {}).get("effort", "medium")
    if effort not in _EFFORTS:
        raise invalid("reasoning.effort", f"Unknown effort {effort}.")
    if kind == "disabled" and body.get("reasoning", {}).get("effort") in {"low", "medium", "high"}:
        raise invalid("reasoning.effort", "reasoning.effort needs thinking, which is disabled.")


def _check_tools(body: Mapping[str, Any], *, searches: bool) -> None:
    names = []
    for tool in body.get("tools", []):
        members = _TOOLS.get(tool.get("type"))
        if members is None:
            raise invalid("tools.type", f"Unknown tool {tool.get('type')}.")
        _known(tool, members)
        if tool["type"] == "web_search" and not searches:
            raise invalid("tools.type", "web_search needs the header ark-beta-web-search.")
        names.append(tool.get("name"))
    choice = body.get("tool_choice", "auto")
    if isinstance(choice, str):
        if choice not in {"none", "auto", "required"}:
            raise invalid("tool_choice", f"Unknown tool_choice {choice}.")
        return
    _known(choice, {"type", "name"})
    if choice.get("name") not in names:
        raise invalid("tool_choice", "tool_choice names a function that is not in tools.")


def _check_items(items: Sequence[Mapping[str, Any]], *, hears: bool) -> None:
    open_calls: set[str] = set()
    for item in items:
        kind = item.get("type", "message")
        if kind not in _ITEMS:
            raise invalid("input.type", f"Unknown input item {kind}.")
        _known(item, _ITEMS[kind])
        if kind == "function_call":
            open_calls.add(item["call_id"])
        elif kind == "function_call_output":
            if item.get("call_id") not in open_calls:
                raise invalid("input.call_id", "A function_call_output must follow its function_call.")
            open_calls.remove(item["call_id"])
        elif kind == "reasoning":
            for part in item.get("summary", []):
                _known(part, {"type", "text"})
        else:
            if item.get("role") not in {"user", "system", "developer", "assistant"}:
                raise invalid("input.role", f"Unknown role {item.get('role')}.")
            _check_content(item.get("content", ""), hears=hears)


def _check_content(content: Any, *, hears: bool) -> None:
    for part in content if isinstance(content, list) else []:
        kind = part.get("type")
        if kind not in _PARTS or (kind == "input_audio" and not hears):
            raise invalid("input.content.type", f"Unknown content part {kind}.")
        _known(part, _PARTS[kind])
        _known(part.get("image_pixel_limit", {}), {"min_pixels", "max_pixels"})
        if kind != "input_text" and len(part) < 2:
            raise invalid("input.content", f"{kind} is empty.", code="MissingParameter")


def _check_translation(items: Sequence[Mapping[str, Any]], model: Model) -> None:
    parts = [part for item in items if isinstance(item.get("content"), list) for part in item["content"]]
    if not model.translates:
        if any("translation_options" in part for part in parts):
            raise invalid("input.content.translation_options", "This model does not translate.")
        return
    if len(items) != 1 or len(parts) != 1 or parts[0]["type"] != "input_text":
        raise invalid("input", "This model takes one message with one input_text.")
    options = parts[0].get("translation_options", {})
    _known(options, {"source_language", "target_language"})
    if not options.get("target_language"):
        raise invalid("translation_options.target_language", "target_language is missing.", code="MissingParameter")
