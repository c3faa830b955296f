"""The most that a request may cost: what is held for it before anything is sent.

Input: the bytes of the request's JSON, as a token of byte-level BPE has at least one, plus what the door adds
(`prompt_overhead_tokens`), and never more than the model's context. Output: the cap that is written upstream, times n; the
model's own where the door takes none. Input that the bytes don't show (media behind URLs, files, earlier turns kept by the
provider, results of built-in tools) is bound by `context_tokens`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
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
TOOL_FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "enable_enhancement": "web_search",
        "enable_search": "web_search",
        "plugins": "plugins",
        "search_options": "web_search",
        "web_search": "web_search",
        "web_search_options": "web_search",
    }
)
"""{a field that asks for a tool of the provider's own: the tool's name in prices}. An empty object asks, too: for the
provider's defaults. `tools` asks by its entries' types."""
STATE_FIELDS = frozenset({"previous_response_id", "conversation", "conversation_id", "context_id", "prompt"})
"""Fields by which the provider adds what it has kept."""
BUILT_IN_FIELDS = frozenset({"tools", *TOOL_FIELDS})
"""Without one of these no tool of the provider's own is asked for."""
TELLING_FIELDS = BUILT_IN_FIELDS | STATE_FIELDS | {"max_tool_calls"}
"""Without one of these a request brings nothing but its messages."""
PRICED_FIELDS = BUILT_IN_FIELDS | {"service_tier", "modalities", "audio", "prediction", "background"}
"""Without one of these nothing changes the price."""
STANDARD_TIERS = (None, "auto", "default")
"""Service tiers that cost what the price says."""
CLIENT_TOOLS = ("function", "custom")
"""Types of the tools that clients run themselves."""


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
    """Refuse what changes the price in a way that a target's price doesn't name, or that its door doesn't count.

    Raises: BadRequest (unsupported_parameter) naming the field.
    """
    body = chat.body
    if PRICED_FIELDS.isdisjoint(body):
        return
    tier, tools = body.get("service_tier"), built_in_tools(body)
    for target in targets:
        if tier not in STANDARD_TIERS and (not isinstance(tier, str) or tier not in target.price.service_tiers):
            raise _unpriced("service_tier", "this service tier")
        for tool, field in tools.items():
            if tool not in target.price.tools:
                raise _unpriced(field, f"the provider's tool {tool[:64]!r}")
            if target.price.tools[tool] and not target.counts_tool_calls:
                raise _unsupported(
                    field,
                    f"calls of {tool[:64]!r} have a price, but the provider's answers don't count them; leave it out or ask "
                    "the gateway's operator for a route that counts them.",
                )
    if body.get("modalities") not in (None, [], ["text"]) or body.get("audio"):
        raise _unpriced("modalities", "output other than text")
    if body.get("prediction"):
        raise _unpriced("prediction", "rejected predictions")  # billed as output on top of the cap
    if body.get("background"):
        raise _unsupported("background", "it is not available here.")


def built_in_tools(body: Mapping[str, Any]) -> dict[str, str]:
    """{the name of a tool that the provider itself would run, and bill by the call: the field that asks for it}."""
    if BUILT_IN_FIELDS.isdisjoint(body):
        return {}
    asked: dict[str, str] = {}
    tools = body.get("tools")
    for tool in tools if isinstance(tools, list) else ():
        if isinstance(tool, dict) and tool.get("type", "function") not in CLIENT_TOOLS:
            asked[_tool_name(tool)] = "tools"
    for field, name in TOOL_FIELDS.items():
        if body.get(field) not in (None, False, []):
            asked.setdefault(name, field)
    return asked


class _Surplus:
    """What a request brings beside its bytes."""

    __slots__ = ("calls", "images", "tools", "unseen")

    def __init__(self, unseen: bool, images: int, tools: Collection[str], calls: int) -> None:
        self.unseen = unseen
        self.images = images
        self.tools = tools
        self.calls = calls


def _surplus(chat: ChatRequest) -> _Surplus:
    tools: Collection[str] = ()
    unseen, calls, images = False, TOOL_CALLS, 0
    if not TELLING_FIELDS.isdisjoint(chat.body):
        tools, asked = built_in_tools(chat.body), chat.body.get("max_tool_calls")
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
    asked = dict.fromkeys(surplus.tools, surplus.calls * chat.n)
    for target in targets:
        tool_calls = dict.fromkeys(target.price.tools, TOOL_CALLS * chat.n) if target.calls_unasked else asked
        tokens = chat.body_bytes + target.prompt_overhead_tokens + surplus.images * IMAGE_TOKENS
        if surplus.unseen:
            tokens = target.context_tokens or tokens + UNSEEN_TOKENS
        elif target.context_tokens is not None:
            tokens = min(tokens, target.context_tokens)
        output_cap = target.output_cap if cap is None or not target.caps_output else min(cap, target.output_cap)
        most = max(most, target.price.bound_nanousd(tokens, chat.n * output_cap, tool_calls=tool_calls))
    return most


def _tool_name(tool: Mapping[str, Any]) -> str:
    """Kimi's builtin_function is named by its function, any other tool by its type."""
    function = tool.get("function")
    if tool["type"] == "builtin_function" and isinstance(function, dict) and function.get("name"):
        return str(function["name"])
    return str(tool["type"])


def _unpriced(field: str, what: str) -> BadRequest:
    return _unsupported(field, f"this model has no price for {what}; leave it out or ask the gateway's operator for one.")


def _unsupported(field: str, why: str) -> BadRequest:
    return BadRequest(f"{field!r}: {why}", code="unsupported_parameter", param=field)


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
