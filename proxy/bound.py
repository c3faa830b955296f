"""The most that a request may cost: what is held for it before anything is sent.

Input: the bytes of the request's JSON, as a token of byte-level BPE has at least one, plus what the door adds
(`prompt_overhead_tokens`), and never more than the model's context. Output: the cap that is written upstream, times n; the
model's own where the door takes none. Input that the bytes don't show (media behind URLs, files, earlier turns kept by the
provider, results of built-in tools) is bound by `context_tokens`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from proxy.chat import ChatRequest
from proxy.context import Target
from proxy.errors import BadRequest

IMAGE_TOKENS = 16_384
"""An inline picture compresses better than text: this many for each. The largest maximum that these families document for one
image (Qwen-VL; Doubao's is 5,120)."""
UNSEEN_TOKENS = 1_048_576
"""For input that the bytes don't show, where the model has no `context_tokens`: the largest context on offer."""
TOOL_CALLS = 10
"""Calls of a provider's built-in tool in one answer, where the request has no `max_tool_calls`."""
BUILT_IN_FIELDS = frozenset({"tools", "web_search_options", "enable_search"})
"""Without one of these no built-in tool is asked for."""
STATE_FIELDS = frozenset({"previous_response_id", "conversation", "conversation_id", "context_id", "prompt"})
"""Fields by which the provider adds what it has kept."""
TELLING_FIELDS = BUILT_IN_FIELDS | STATE_FIELDS | {"max_tool_calls"}
"""Without one of these a request brings nothing but its messages."""
STANDARD_TIERS = (None, "auto", "default", "standard")
"""Service tiers that cost what the price says."""


def cost_bound(chat: ChatRequest, targets: Sequence[Target]) -> int:
    """Nano-USD: the most over every route the request may take."""
    return _most(chat, targets, _surplus(chat), None)


def affordable_cap(chat: ChatRequest, targets: Sequence[Target], amount_nanousd: int) -> int:
    """The largest output cap, in tokens per choice, with which the request can't cost more than the amount; 0 if none."""
    surplus = _surplus(chat)
    low, high = 0, max((target.output_cap for target in targets), default=0)
    while low < high:
        cap = (low + high + 1) // 2
        if _most(chat, targets, surplus, cap) <= amount_nanousd:
            low = cap
        else:
            high = cap - 1
    return low


def smallest_cost_bound(chat: ChatRequest, targets: Sequence[Target]) -> int:
    """Nano-USD: the most it may cost with an answer of one token, the least that can be asked for."""
    return _most(chat, targets, _surplus(chat), 1)


def refuse_unpriced(chat: ChatRequest, targets: Sequence[Target]) -> None:
    """What changes the price must have one on every route. Raises: BadRequest: a service tier or a tool has none."""
    tools = built_in_tools(chat)
    service_tier = chat.body.get("service_tier")
    if not tools and service_tier in STANDARD_TIERS:
        return
    for price in (target.price for target in targets if not target.price.free):
        if service_tier not in STANDARD_TIERS and str(service_tier) not in price.service_tiers:
            raise BadRequest(
                f"The service tier {str(service_tier)[:64]!r} has no price here. Leave service_tier out, or ask the "
                "operator to add it to the model's price.",
                code="unsupported_parameter",
                param="service_tier",
            )
        for tool in tools:
            if tool not in price.tools:
                raise BadRequest(
                    f"The built-in tool {tool[:64]!r} has no price here. Leave it out, or ask the operator to add it to "
                    "the model's price.",
                    code="unsupported_parameter",
                    param="tools",
                )


def built_in_tools(chat: ChatRequest) -> frozenset[str]:
    """Names of the tools that the provider itself would run, and bill by the call."""
    if BUILT_IN_FIELDS.isdisjoint(chat.body):
        return frozenset()
    names = {name for name in ("web_search_options", "enable_search") if chat.body.get(name)}
    tools = chat.body.get("tools")
    for tool in tools if isinstance(tools, list) else ():
        if isinstance(tool, dict) and tool.get("type", "function") not in ("function", "custom"):
            function = tool.get("function")
            named = function.get("name") if isinstance(function, dict) else None
            names.add(str(named or tool["type"]))
    return frozenset(names)


class _Surplus:
    """What a request brings beside its bytes."""

    __slots__ = ("calls", "images", "tools", "unseen")

    def __init__(self, unseen: bool, images: int, tools: frozenset[str], calls: int) -> None:
        self.unseen = unseen
        self.images = images
        self.tools = tools
        self.calls = calls


def _surplus(chat: ChatRequest) -> _Surplus:
    tools, unseen, calls, images = frozenset[str](), False, TOOL_CALLS, 0
    if not TELLING_FIELDS.isdisjoint(chat.body):
        tools, asked = built_in_tools(chat), chat.body.get("max_tool_calls")
        unseen = bool(tools) or any(chat.body[name] for name in STATE_FIELDS.intersection(chat.body))
        calls = asked if type(asked) is int and asked >= 0 else TOOL_CALLS
    messages = chat.body.get("messages") if chat.task == "chat" else [{"content": chat.body["input"]}]
    for part in _parts(messages):
        if _is_text(part):
            continue
        if _is_inline_image(part):
            images += 1
        elif not _is_inline_audio(part):
            unseen = True
    return _Surplus(unseen, images, tools, calls)


def _most(chat: ChatRequest, targets: Sequence[Target], surplus: _Surplus, cap: int | None) -> int:
    most = 0
    tool_calls = dict.fromkeys(surplus.tools, surplus.calls * chat.n) if surplus.tools else None
    for target in targets:
        tokens = chat.body_bytes + target.prompt_overhead_tokens + surplus.images * IMAGE_TOKENS
        if surplus.unseen:
            tokens = target.context_tokens or tokens + UNSEEN_TOKENS
        elif target.context_tokens is not None:
            tokens = min(tokens, target.context_tokens)
        output_cap = target.output_cap if cap is None or not target.caps_output else min(cap, target.output_cap)
        most = max(most, target.price.bound_nanousd(tokens, chat.n * output_cap, tool_calls=tool_calls))
    return most


def _parts(messages: Any) -> Iterator[Mapping[str, Any]]:
    """Every part of every message that is more than a string."""
    for message in messages if isinstance(messages, list) else ():
        if not isinstance(message, dict):
            continue
        content = message.get("content")
        if isinstance(content, list):
            yield from (part for part in content if isinstance(part, dict))
        if message.get("audio"):
            yield {"type": "earlier_audio"}


def _is_text(part: Mapping[str, Any]) -> bool:
    return part.get("type", "text") in ("text", "input_text", "output_text", "refusal", "thinking")


def _is_inline_image(part: Mapping[str, Any]) -> bool:
    if part.get("type") not in ("image_url", "input_image"):
        return False
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) else image
    return isinstance(url, str) and url.startswith("data:") and not part.get("file_id")


def _is_inline_audio(part: Mapping[str, Any]) -> bool:
    audio = part.get("input_audio")
    return part.get("type") == "input_audio" and isinstance(audio, dict) and not audio.keys() & {"url", "file_id", "id"}
