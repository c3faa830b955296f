"""The messages of a conversation, as a family wants them: roles, empty contents, reasoning given back."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from adapters.profile import Profile
from proxy import BadRequest

Message = dict[str, Any]

_PLACEHOLDER = " "
"""What stands for reasoning that a client dropped, and for a content that is empty."""
_DATA_URL = re.compile(r"data:image/[^;,]+;base64,")


def write_messages(body: dict[str, Any], profile: Profile, model: str) -> list[str]:
    """Write the messages anew where the profile wants them so; the client's stay as they are. Returns what is left out.

    Raises: BadRequest (unsupported_parameter): an image for a model that sees none.
    """
    messages: list[Message] = [dict(message) for message in body["messages"]]
    dropped: list[str] = []
    if profile.system_role_only:
        for message in messages:
            if message["role"] == "developer":
                message["role"] = "system"
    if profile.text_only is not None and re.search(profile.text_only, model):
        for message in messages:
            if isinstance(message.get("content"), list):
                message["content"] = _one_text(message["content"], dropped)
    if profile.alternating_roles:
        messages = _merged(messages, dropped)
    if profile.no_empty_content:
        for message in messages:
            if not message.get("content") and not message.get("tool_calls"):
                message["content"] = _PLACEHOLDER
    if profile.flat_images is not None and re.search(profile.flat_images, model):
        messages = [_with_parts(message, _flat) for message in messages]
        if any("detail" in part["image_url"] for part in _images(body["messages"])):
            dropped.append("messages[].content[].image_url.detail")
    if profile.replay_reasoning is not None and re.search(profile.replay_reasoning, model) and _thinks(body):
        _replay(messages)
    if profile.replay_as_details:
        for message in messages:
            if reasoning := message.pop("reasoning_content", None):
                message["reasoning_details"] = [{"type": "reasoning.text", "text": reasoning, "index": 0}]
    body["messages"] = messages
    return dropped


def _one_text(parts: Sequence[Mapping[str, Any]], dropped: list[str]) -> str:
    if any(part["type"] != "text" for part in parts):
        raise BadRequest("This model reads texts alone.", code="unsupported_parameter", param="messages")
    dropped += (f"messages[].content[].{name}" for part in parts for name in part if name not in ("type", "text"))
    return "".join(part["text"] for part in parts)


def _images(messages: Sequence[Message]) -> Iterator[Mapping[str, Any]]:
    for message in messages:
        if isinstance(message.get("content"), list):
            yield from (part for part in message["content"] if _url_of(part) is not None)


def with_bare_images(messages: Sequence[Message]) -> list[Message]:
    """The messages with their base64 images as base64 alone."""
    return [_with_parts(message, _bare) for message in messages]


def _with_parts(message: Message, change: Callable[[Mapping[str, Any], str], Mapping[str, Any]]) -> Message:
    """The message with its images changed. change: (part, the image's address) → part."""
    content = message.get("content")
    if not isinstance(content, list):
        return message
    return {**message, "content": [change(part, url) if (url := _url_of(part)) else part for part in content]}


def _url_of(part: Mapping[str, Any]) -> str | None:
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) else None
    return url if isinstance(url, str) else None


def _bare(part: Mapping[str, Any], url: str) -> Mapping[str, Any]:
    return {**part, "image_url": {**part["image_url"], "url": _DATA_URL.sub("", url, count=1)}}


def _flat(part: Mapping[str, Any], url: str) -> Mapping[str, Any]:
    if _DATA_URL.match(url):
        return {"type": "image_base64", "image_base64": _DATA_URL.sub("", url, count=1)}
    return {"type": "image_url", "image_url": url}


def _thinks(body: Mapping[str, Any]) -> bool:
    thinking = body.get("thinking")
    return not (isinstance(thinking, dict) and thinking.get("type") == "disabled")


def _replay(messages: Sequence[Message]) -> None:
    """A turn, from one user message to the next, that has tools must have all of its reasoning."""
    for turn in _turns(messages):
        if any(message.get("tool_calls") or message["role"] == "tool" for message in turn):
            for message in turn:
                if message["role"] == "assistant" and not message.get("reasoning_content"):
                    message["reasoning_content"] = _PLACEHOLDER


def _turns(messages: Sequence[Message]) -> list[list[Message]]:
    turns: list[list[Message]] = [[]]
    for message in messages:
        if message["role"] == "user":
            turns.append([])
        else:
            turns[-1].append(message)
    return turns


def _merged(messages: Sequence[Message], dropped: list[str]) -> list[Message]:
    """Neighbours of one role as one message, as far as they have nothing but texts."""
    merged: list[Message] = []
    for message in messages:
        last = merged[-1] if merged else None
        if last is not None and message["role"] == last["role"] and _is_text(message) and _is_text(last):
            if last.pop("name", None) or message.get("name"):
                dropped.append("messages[].name")
            texts = (last["content"], message["content"])
            last["content"] = "\n\n".join(text for text in texts if text)
        else:
            merged.append(message)
    return merged


def _is_text(message: Message) -> bool:
    plain = message.keys() <= {"role", "content", "name"}
    return plain and message["role"] != "tool" and isinstance(message.get("content"), str)
