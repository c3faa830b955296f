"""OpenAI's messages → the input items of Ark's Responses door.

    system, developer, user   message items, with parts where the content is more than a text
    assistant                 a reasoning item, a message item whose content is a text, and function_call items
    tool                      function_call_output items

The door refuses members that it doesn't know, at any depth, so every member written here is one of its own. An assistant's
last message is a beginning that the model continues, which must be said with `partial`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from adapters.chat_fields import asked_text, note_others, unsupported
from proxy import BadRequest

Item = dict[str, Any]

_READ_OF_MESSAGE = {
    "system": frozenset({"role", "content"}),
    "developer": frozenset({"role", "content"}),
    "user": frozenset({"role", "content"}),
    "assistant": frozenset({"role", "content", "refusal", "reasoning_content", "encrypted_content", "tool_calls"}),
    "tool": frozenset({"role", "content", "tool_call_id"}),
}
_KINDS = {"image_url": "input_image", "video_url": "input_video", "input_audio": "input_audio", "file": "input_file"}
_DETAILS = ("auto", "low", "high", "xhigh")
_PIXELS = ("min_pixels", "max_pixels")
_SCHEMES = ("https://", "http://", "data:")
_DATED = re.compile(r"(?:doubao-)?seed-.*-(\d{6})")
_FIRST_WITH_REASONING = 251228


def input_items(messages: Sequence[Mapping[str, Any]], model: str, left_out: list[str], *, audio: bool) -> list[Item]:
    """The value of `input`.

    Args: model: the provider's id of it; models before seed-1.8 must not be shown their earlier reasoning. audio: whether
    the door takes sounds. left_out: gets the names of members that have no place there: "messages[].name".
    Raises: BadRequest naming the role, the part or the id that can't be said.
    """
    dated = _DATED.fullmatch(model)
    reasons = dated is None or int(dated[1]) >= _FIRST_WITH_REASONING
    items: list[Item] = []
    for at, message in enumerate(messages):
        place = f"messages[{at}]"
        role = message["role"]
        if role not in _READ_OF_MESSAGE:
            raise unsupported(f"messages of role {role!r}", f"{place}.role")
        note_others(message, _READ_OF_MESSAGE[role], "messages[]", left_out)
        match role:
            case "assistant":
                items += _assistant_items(message, place, left_out, reasons=reasons)
            case "tool":
                call = _text(message.get("tool_call_id"), f"{place}.tool_call_id")
                output = _joined(message.get("content"), place, left_out)
                items.append({"type": "function_call_output", "call_id": call, "output": output})
            case _:
                content = _content(message.get("content"), place, left_out, audio=audio)
                items.append(_message("user" if role == "user" else "system", content))
    if items[-1].get("role") == "assistant" and items[-1]["content"]:
        items[-1]["partial"] = True
    return items


def _message(role: str, content: Any) -> Item:
    return {"type": "message", "role": role, "content": content}


def _assistant_items(message: Mapping[str, Any], place: str, left_out: list[str], *, reasons: bool) -> list[Item]:
    items: list[Item] = []
    summary, sealed = (asked_text(message, name, place) for name in ("reasoning_content", "encrypted_content"))
    if reasons and (summary or sealed):
        item: Item = {"type": "reasoning", "status": "completed", "summary": []}
        if summary:
            item["summary"].append({"type": "summary_text", "text": summary})
        items.append({**item, "encrypted_content": sealed} if sealed else item)
    elif not reasons:
        reasoning = {"reasoning_content": summary or None, "encrypted_content": sealed or None}
        note_others(reasoning, (), "messages[]", left_out)
    calls = message.get("tool_calls") or ()
    text = _joined(message.get("content"), place, left_out) + asked_text(message, "refusal", place)
    if text or not calls:
        items.append(_message("assistant", text))
    for at, call in enumerate(calls):
        function = call["function"]
        identity = _text(call.get("id"), f"{place}.tool_calls[{at}].id")
        arguments = asked_text(function, "arguments", f"{place}.tool_calls[{at}].function") or "{}"
        items.append({"type": "function_call", "call_id": identity, "name": function["name"], "arguments": arguments})
    return items


def _joined(content: Any, place: str, left_out: list[str]) -> str:
    """The text of a message that may have nothing else: the door refuses parts there."""
    if isinstance(content, str) or content is None:
        return content or ""
    texts = []
    for at, part in enumerate(content):
        kind = part["type"]
        if kind not in ("text", "refusal"):
            raise unsupported(f"content parts of type {kind!r} here", f"{place}.content[{at}].type")
        note_others(part, ("type", kind), "messages[].content[]", left_out)
        texts.append(asked_text(part, kind, f"{place}.content[{at}]"))
    return "".join(texts)


def _content(content: Any, place: str, left_out: list[str], *, audio: bool) -> Any:
    if isinstance(content, str):
        return content
    parts = []
    for at, part in enumerate(content or ()):
        kind = part["type"]
        where = f"{place}.content[{at}]"
        note_others(part, ("type", kind), "messages[].content[]", left_out)
        if kind == "text":
            parts.append({"type": "input_text", "text": part["text"]})
        elif kind in _KINDS and (audio or kind != "input_audio"):
            given = part.get(kind)
            if not isinstance(given, Mapping):
                raise BadRequest(f"'{where}.{kind}' must be an object.", param=f"{where}.{kind}")
            parts.append({"type": _KINDS[kind], **_media(kind, given, f"{where}.{kind}", left_out)})
        else:
            raise unsupported(f"content parts of type {kind!r} here", f"{where}.type")
    return parts


def _media(kind: str, given: Mapping[str, Any], place: str, left_out: list[str]) -> dict[str, Any]:
    """The members of a part other than text, which stand one level higher there."""
    left = f"messages[].content[].{kind}"
    read = {"file_id", *(("file_url", "file_data", "filename") if kind == "file" else ("url",))}
    written: dict[str, Any] = {}
    if given.get("file_id"):
        written["file_id"] = given["file_id"]
    elif kind == "file":
        written |= _file(given, place)
    elif kind == "input_audio" and not given.get("url"):
        read |= {"data", "format"}
        sound, form = (_text(given.get(name), f"{place}.{name}") for name in ("data", "format"))
        written["audio_url"] = f"data:audio/{form};base64,{sound}"
    else:
        written["audio_url" if kind == "input_audio" else kind] = _url(given.get("url"), f"{place}.url")
    if kind == "video_url":
        read.add("fps")
        written |= {"fps": given["fps"]} if given.get("fps") is not None else {}
    if kind == "image_url":
        read |= {"image_pixel_limit", *_PIXELS}
        if given.get("detail") in _DETAILS:
            read.add("detail")
            written["detail"] = given["detail"]
        # Older SDKs of Ark's write the limit's members into the image itself.
        limit = given.get("image_pixel_limit")
        if isinstance(limit, Mapping):
            note_others(limit, _PIXELS, f"{left}.image_pixel_limit", left_out)
        else:
            limit = given
        if pixels := {name: limit[name] for name in _PIXELS if limit.get(name) is not None}:
            written["image_pixel_limit"] = pixels
    note_others(given, read, left, left_out)
    return written


def _file(given: Mapping[str, Any], place: str) -> dict[str, Any]:
    named = {"filename": given["filename"]} if given.get("filename") else {}
    if given.get("file_data"):
        return {"file_data": given["file_data"], **named}
    return {"file_url": _url(given.get("file_url"), f"{place}.file_url"), **named}


def _url(url: Any, place: str) -> str:
    if not isinstance(url, str) or not url[:8].lower().startswith(_SCHEMES):
        raise BadRequest(f"'{place}' must be an http(s) URL, or data:<media type>;base64,….", param=place)
    return url


def _text(value: Any, place: str) -> str:
    if not isinstance(value, str) or not value:
        raise BadRequest(f"'{place}' must be a non-empty string.", param=place)
    return value
