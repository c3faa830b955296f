"""OpenAI's messages → Ark's: the members and parts that Ark's Chat has, and no others.

Whether Ark refuses members that it doesn't know is not known, so none are sent. What has no place there is named, and what
can't be left out without changing what is asked is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from adapters.ark_models import ArkModel
from adapters.chat_fields import note_others, unsupported
from adapters.openai_request import without_nulls

_ANYONE = frozenset({"role", "content", "name"})
_READ_OF_MESSAGE = {
    "system": _ANYONE,
    "user": _ANYONE,
    "assistant": _ANYONE | {"tool_calls", "reasoning_content", "encrypted_content", "refusal", "prefix"},
    "tool": _ANYONE | {"tool_call_id"},
}
_REASONING = ("reasoning_content", "encrypted_content")
_MEDIA = ("image_url", "video_url", "input_audio", "file")
_READ_OF_CALL = frozenset({"id", "type", "function", "index"})


def write_messages(body: dict[str, Any], model: ArkModel) -> list[str]:
    """Write the messages as Ark takes them. Returns what was left out: "messages[].audio".

    Raises: BadRequest (unsupported_parameter): a role, a tool call or a part of a message that Ark doesn't have.
    """
    left_out: list[str] = []
    messages = [_message(message, f"messages[{at}]", model, left_out) for at, message in enumerate(body["messages"])]
    if model.marks_prefix and messages[-1]["role"] == "assistant":
        messages[-1]["prefix"] = True
    body["messages"] = messages
    return left_out


def _message(message: Mapping[str, Any], place: str, model: ArkModel, left_out: list[str]) -> dict[str, Any]:
    # Ark refuses developers.
    role = "system" if message["role"] == "developer" else message["role"]
    if role not in _READ_OF_MESSAGE:
        raise unsupported(f"messages of role {role!r}", f"{place}.role")
    _note(message, _READ_OF_MESSAGE[role], "messages[]", left_out)
    written = {
        name: value
        for name, value in message.items()
        if value is not None and name in _READ_OF_MESSAGE[role] and (model.takes_reasoning or name not in _REASONING)
    }
    written["role"] = role
    written.pop("prefix", None)
    refusal = written.pop("refusal", None)
    if refusal:
        written["content"] = _with_refusal(written.get("content"), refusal)
    if role == "tool":
        written.setdefault("content", "")
    if isinstance(written.get("content"), list):
        written["content"] = _parts(written["content"], f"{place}.content", model, left_out)
    if "tool_calls" in written:
        written["tool_calls"] = _calls(written["tool_calls"], f"{place}.tool_calls", left_out)
    return written


def _with_refusal(content: Any, refusal: Any) -> Any:
    """Ark has no place for what a model refused to say but its text."""
    if not content:
        return refusal
    said = content if isinstance(content, list) else [{"type": "text", "text": content}]
    return [*said, {"type": "refusal", "refusal": refusal}]


def _parts(parts: Sequence[Mapping[str, Any]], place: str, model: ArkModel, left_out: list[str]) -> list[Any]:
    written = []
    for at, part in enumerate(parts):
        kind = part["type"]
        if kind == "refusal":
            written.append({"type": "text", "text": part.get("refusal")})
        elif kind == "text" or (kind in _MEDIA and not model.text_only):
            written.append({"type": kind, kind: without_nulls(part.get(kind))})
        else:
            raise unsupported(f"content parts of type {kind!r}", f"{place}[{at}].type")
        _note(part, frozenset({"type", kind}), "messages[].content[]", left_out)
    return written


def _calls(calls: Sequence[Mapping[str, Any]], place: str, left_out: list[str]) -> list[dict[str, Any]]:
    written = []
    for at, call in enumerate(calls):
        kind = call.get("type") or "function"
        if kind != "function":
            raise unsupported(f"tool calls of type {kind!r}", f"{place}[{at}].type")
        _note(call, _READ_OF_CALL, "messages[].tool_calls[]", left_out)
        named = {"id": call["id"]} if call.get("id") is not None else {}
        written.append({**named, "type": "function", "function": without_nulls(call["function"])})
    return written


def _note(values: Mapping[str, Any], read: frozenset[str], place: str, left_out: list[str]) -> None:
    """SDKs send `annotations: []` back, and more of the kind, that asks for nothing."""
    note_others({name: value for name, value in values.items() if value not in ("", [], {})}, read, place, left_out)
