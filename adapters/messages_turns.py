"""OpenAI's messages → Anthropic's system text and turns of content blocks.

    system, developer   at the start: the system text; later, and where there is nothing else: a turn of role system,
                        or of role user where the door has no such turns
    user                text and image blocks
    assistant           thinking (reasoning_content, signed by encrypted_content), text and tool_use blocks
    tool                tool_result blocks of a user turn

Neighbours of one role become one turn, as turns alternate there and the results of one turn's calls belong together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from adapters.chat_fields import asked_text, note_others, unsupported
from proxy import BadRequest

Block = dict[str, Any]

_SYSTEM_ROLES = frozenset({"system", "developer"})
_READ_OF_MESSAGE = {
    "system": frozenset({"role", "content"}),
    "developer": frozenset({"role", "content"}),
    "user": frozenset({"role", "content"}),
    "assistant": frozenset({"role", "content", "refusal", "reasoning_content", "encrypted_content", "tool_calls"}),
    "tool": frozenset({"role", "content", "tool_call_id"}),
}


def conversation(
    messages: Sequence[Mapping[str, Any]], left_out: list[str], *, system_turns: bool, images: bool
) -> tuple[str, list[dict[str, Any]]]:
    """The system text, "" without one, and the turns: {"role": "user" | "assistant" | "system", "content": blocks}.

    left_out: gets the names of members that have no place there: "messages[].name". images: the model sees them.
    Raises: BadRequest (unsupported_parameter) naming the role or the part that can't be said.
    """
    opening = 0
    # One turn at least must be left.
    while opening < len(messages) - 1 and messages[opening]["role"] in _SYSTEM_ROLES:
        opening += 1
    turns: list[dict[str, Any]] = []
    system: list[str] = []
    for at, message in enumerate(messages):
        role, blocks = _turn(message, f"messages[{at}]", left_out, images=images)
        if role == "system" and not system_turns:
            role = "user"
        if at < opening:
            system += [block["text"] for block in blocks]
        elif turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": role, "content": blocks})
    for turn in turns:
        turn["content"] = turn["content"] or ""
    return "\n\n".join(system), turns


def _turn(message: Mapping[str, Any], place: str, left_out: list[str], *, images: bool) -> tuple[str, list[Block]]:
    role = message["role"]
    if role not in _READ_OF_MESSAGE:
        raise unsupported(f"messages of role {role!r}", f"{place}.role")
    note_others(message, _READ_OF_MESSAGE[role], "messages[]", left_out)
    content = message.get("content")
    match role:
        case "user":
            return "user", _blocks(content, place, left_out, images=images)
        case "assistant":
            return "assistant", _assistant_blocks(message, place, left_out)
        case "tool":
            return "user", [_tool_result(message, place, left_out, images=images)]
        case _:
            return "system", _blocks(content, place, left_out)


def _assistant_blocks(message: Mapping[str, Any], place: str, left_out: list[str]) -> list[Block]:
    blocks: list[Block] = []
    thinking, signature = (asked_text(message, name, place) for name in ("reasoning_content", "encrypted_content"))
    if thinking or signature:
        block: Block = {"type": "thinking", "thinking": thinking}
        blocks.append({**block, "signature": signature} if signature else block)
    blocks += _blocks(message.get("content"), place, left_out)
    blocks += _blocks(asked_text(message, "refusal", place), place, left_out)
    for at, call in enumerate(message.get("tool_calls") or ()):
        function = call.get("function")
        if not isinstance(function, Mapping):
            raise unsupported(f"tool calls of type {call.get('type')!r}", f"{place}.tool_calls[{at}].type")
        given = {"id": call["id"]} if call.get("id") else {}
        arguments = _arguments(function.get("arguments"))
        blocks.append({"type": "tool_use", **given, "name": function["name"], "input": arguments})
    return blocks


def _arguments(text: Any) -> dict[str, Any]:
    """A call's arguments as the object they must be. What a model wrote amiss is kept, so that it can see it."""
    if not text:
        return {}
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, TypeError, RecursionError):
        value = text
    return value if isinstance(value, dict) else {"arguments": text}


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _tool_result(message: Mapping[str, Any], place: str, left_out: list[str], *, images: bool) -> Block:
    call = message.get("tool_call_id")
    given = {"tool_use_id": call} if call else {}
    content = message.get("content")
    if not isinstance(content, str):
        content = _blocks(content, place, left_out, images=images)
    return {"type": "tool_result", **given, "content": content}


def _blocks(content: Any, place: str, left_out: list[str], *, images: bool = False) -> list[Block]:
    """The blocks of a text, of a list of parts, or of nothing. Empty texts make no block, as doors refuse such."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    blocks: list[Block] = []
    for at, part in enumerate(content or ()):
        kind = part["type"]
        if kind in ("text", "refusal"):
            blocks += _blocks(asked_text(part, kind, f"{place}.content[{at}]"), place, left_out)
        elif kind == "image_url" and images:
            blocks.append(_image(part.get("image_url"), f"{place}.content[{at}].image_url", left_out))
        else:
            raise unsupported(f"content parts of type {kind!r} here", f"{place}.content[{at}].type")
        note_others(part, frozenset({"type", kind}), "messages[].content[]", left_out)
    return blocks


def _image(image: Any, place: str, left_out: list[str]) -> Block:
    """image: {"url": "https://…" or "data:image/png;base64,…", "detail"?: "auto"}."""
    url = image.get("url") if isinstance(image, Mapping) else None
    if not isinstance(url, str):
        raise BadRequest(f"'{place}.url' must be a string.", param=f"{place}.url")
    if image.get("detail") != "auto":
        note_others(image, frozenset({"url"}), "messages[].content[].image_url", left_out)
    scheme = url[:8].lower()
    if scheme.startswith(("https://", "http://")):
        return {"type": "image", "source": {"type": "url", "url": url}}
    head, comma, data = url.partition(",")
    media_type, *parameters = head[len("data:") :].split(";")
    if not scheme.startswith("data:") or not comma or parameters[-1:] != ["base64"]:
        raise BadRequest(f"'{place}.url' must be an http(s) URL, or data:<media type>;base64,….", param=f"{place}.url")
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}
