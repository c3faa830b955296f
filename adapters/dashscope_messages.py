"""OpenAI's messages → DashScope's: {"role", "content"}, where content is a text, or a list of {"text" | "image" | "video"}.

A list of texts alone becomes one text, as text models take nothing else. Reasoning is not taken back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from adapters.chat_fields import asked_text, note_others, unsupported
from proxy import BadRequest

_READ_OF_MESSAGE = {
    "system": frozenset({"role", "content"}),
    "user": frozenset({"role", "content"}),
    "assistant": frozenset({"role", "content", "refusal", "tool_calls"}),
    "tool": frozenset({"role", "content", "tool_call_id"}),
}
_MEDIA = {"image_url": ("image", ("min_pixels", "max_pixels")), "video_url": ("video", ("min_pixels", "max_pixels", "fps"))}
"""{OpenAI's name of a part: (DashScope's, members beside it that both have)}."""
_SCHEMES = ("https://", "http://", "oss://", "data:")


def native_messages(messages: Sequence[Mapping[str, Any]], left_out: list[str]) -> list[dict[str, Any]]:
    """The messages. left_out: gets the names of members that have no place there: "messages[].name".

    Raises: BadRequest (unsupported_parameter) naming the role or the part that can't be said.
    """
    return [_message(message, f"messages[{at}]", left_out) for at, message in enumerate(messages)]


def media_of(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """The addresses of the images and videos in messages that native_messages made."""
    parts = [part for message in messages if isinstance(message["content"], list) for part in message["content"]]
    return [part[name] for part in parts for name, _ in _MEDIA.values() if name in part]


def _message(message: Mapping[str, Any], place: str, left_out: list[str]) -> dict[str, Any]:
    role = "system" if message["role"] == "developer" else message["role"]
    if role not in _READ_OF_MESSAGE:
        raise unsupported(f"messages of role {role!r}", f"{place}.role")
    note_others(message, _READ_OF_MESSAGE[role], "messages[]", left_out)
    written = {"role": role, "content": _content(message, place, left_out)}
    if role == "assistant" and message.get("tool_calls"):
        written["tool_calls"] = [_call(call, f"{place}.tool_calls[{at}]") for at, call in enumerate(message["tool_calls"])]
    if message.get("tool_call_id"):
        written["tool_call_id"] = message["tool_call_id"]
    return written


def _call(call: Mapping[str, Any], place: str) -> Mapping[str, Any]:
    if not isinstance(call.get("function"), Mapping):
        raise unsupported(f"tool calls of type {call.get('type')!r}", f"{place}.type")
    return call


def _content(message: Mapping[str, Any], place: str, left_out: list[str]) -> str | list[dict[str, Any]]:
    content = message.get("content")
    refusal = asked_text(message, "refusal", place)
    if content is None or isinstance(content, str):
        return (content or "") + refusal
    parts = [_part(part, f"{place}.content[{at}]", left_out) for at, part in enumerate(content)]
    if refusal:
        parts.append({"text": refusal})
    if all(part.keys() == {"text"} for part in parts):
        return "".join(part["text"] for part in parts)
    return parts


def _part(part: Mapping[str, Any], place: str, left_out: list[str]) -> dict[str, Any]:
    kind = part["type"]
    if kind in ("text", "refusal"):
        written: dict[str, Any] = {"text": asked_text(part, kind, place)}
        beside: tuple[str, ...] = ("cache_control",)
    elif kind in _MEDIA:
        name, sizes = _MEDIA[kind]
        written = {name: _address(part.get(kind), f"{place}.{kind}", kind, left_out)}
        beside = ("cache_control", *sizes)
    else:
        raise unsupported(f"content parts of type {kind!r} here", f"{place}.type")
    note_others(part, {"type", kind, *beside}, "messages[].content[]", left_out)
    return written | {name: part[name] for name in beside if part.get(name) is not None}


def _address(medium: Any, place: str, kind: str, left_out: list[str]) -> str:
    """medium: {"url": "https://…", "oss://…" or "data:image/png;base64,…", "detail"?: "auto"}."""
    url = medium.get("url") if isinstance(medium, Mapping) else None
    if not isinstance(url, str) or not url[:8].lower().startswith(_SCHEMES):
        raise BadRequest(f"'{place}.url' must be an http(s) URL, oss://… or data:<media type>;base64,….", param=f"{place}.url")
    if medium.get("detail") != "auto":
        note_others(medium, {"url"}, f"messages[].content[].{kind}", left_out)
    return url
