"""Volcengine Ark's bots, `/bots/chat/completions`: Ark's Chat, around which a bot adds a prompt, plugins and knowledge.

A bot says what its models used in `bot_usage`, one entry per model, and where it looked things up in `references`; both ride
on any chunk. We answer with their sum as `usage` and with `annotations`, as OpenAI's models that search do.
Source: the vendor's SDK and the open-source runtime for bots, which frames its events with CRLF.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import BaseModel, Field

from adapters.ark import ARK, ArkOptions, ark_send
from adapters.ark_request import KNOWN
from adapters.one_post import OnePost
from adapters.openai_answer import MOST_TOKENS, choices_of, read_usage
from adapters.openai_stream import ChatReader
from adapters.sse import SseEvent
from proxy import BadRequest, ChatEvent, ChatRequest, Exchange, Target, Usage, dumps

_KNOWN = KNOWN | {"max_tokens", "metadata"}
_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")
_DETAILS = (("prompt_tokens_details", "cached_tokens"), ("completion_tokens_details", "reasoning_tokens"))
_TITLES = ("title", "doc_title", "doc_name", "chunk_title")


class ArkBotsOptions(ArkOptions):
    """Keys of a provider with `adapter: ark_bots`."""

    cap_field: Literal["max_tokens", "max_completion_tokens"] = Field(
        default="max_tokens",
        description="Where the output cap is written: max_tokens, the one that the vendor's SDK has for bots, or "
        "max_completion_tokens, which would count reasoning too.",
    )


class ArkBots:
    """The adapter `ark_bots`; a route's model is the bot's id."""

    name = "ark_bots"
    base_url: str | None = "https://ark.cn-beijing.volces.com/api/v3"
    signer = "volcengine"
    simulated = False
    counts_tool_calls = True
    calls_unasked = True
    options: type[BaseModel] = ArkBotsOptions
    prompt_overhead_tokens = 65_536
    """A bot's own prompt, what its plugins find and its knowledge: none of it is in the request. Operators know better."""

    def open(self, chat: ChatRequest, target: Target) -> Exchange:
        """Raises: BadRequest: the request has what a bot can't do, or chooses the models that it runs on."""
        options = target.options
        assert isinstance(options, ArkBotsOptions)
        _refuse_other_models(chat.body.get("metadata"))
        path, cap_field = "/bots/chat/completions", options.cap_field
        send, dropped = ark_send(path, chat, target, options, known=_KNOWN, cap_field=cap_field)
        priced = frozenset(target.price.tools).union(target.cost.tools if target.cost else ())
        return OnePost(send, BotReader(chat, priced), ARK.error, dropped)


class BotReader(ChatReader):
    """Reads a bot's answer as one in OpenAI's shape. priced: the plugins whose calls have a price."""

    def __init__(self, chat: ChatRequest, priced: frozenset[str]) -> None:
        super().__init__(chat, replace(ARK, usage=lambda block, tier: _read_bot_usage(block, tier, priced)))
        self._told: list[Any] = []

    def event(self, sse: SseEvent, values: dict[str, Any]) -> Sequence[ChatEvent]:
        if self._translate(values, "delta"):
            data = dumps(values).decode()
            sse = SseEvent(sse.with_data(data), sse.event, data)
        return super().event(sse, values)

    def whole(self, values: dict[str, Any]) -> Sequence[ChatEvent]:
        self._translate(values, "message")
        return super().whole(values)

    def _translate(self, values: dict[str, Any], member: str) -> bool:
        """Put `bot_usage` and `references` in OpenAI's places. Returns whether there was either."""
        if not values.keys() & {"bot_usage", "references"}:
            return False
        used, found = values.pop("bot_usage", None), values.pop("references", None)
        if isinstance(used, dict):
            values["usage"] = _summed(used)
        # The same references may come with the first chunk and with the last one.
        new = [one for one in found if isinstance(one, dict) and one not in self._told] if isinstance(found, list) else []
        self._told += new
        if new:
            choices = choices_of(values)
            if not choices:
                values["choices"] = choices = [{"index": 0}]
            message = choices[0].get(member)
            annotations = [_annotation(reference) for reference in new]
            choices[0][member] = {**(message if isinstance(message, dict) else {}), "annotations": annotations}
        return True


def _refuse_other_models(metadata: Any) -> None:
    """Raises: BadRequest: a group chat names endpoints of the caller's choice, beyond his models and their price."""
    group = metadata.get("group_chat_config") if isinstance(metadata, dict) else None
    characters = group.get("characters") if isinstance(group, dict) else None
    for character in characters if isinstance(characters, list) else ():
        if isinstance(character, dict) and character.get("model_desc"):
            raise BadRequest(
                "'metadata.group_chat_config' may not choose models: leave model_desc out.",
                code="unsupported_parameter",
                param="metadata",
            )


def _summed(used: Mapping[str, Any]) -> dict[str, Any]:
    """A usage object that sums up every model, with the counts beside it. A count that can't be read makes the sum None."""
    entries = used.get("model_usage")
    whole: dict[str, Any] = {name: used[name] for name in ("model_usage", "action_usage") if used.get(name)}
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries) or not entries:
        return whole
    for name in _COUNTS:
        counts = [entry.get(name) for entry in entries]
        whole[name] = sum(counts) if all(type(count) is int and count >= 0 for count in counts) else None
    for block, name in _DETAILS:
        details = [entry[block] for entry in entries if isinstance(entry.get(block), dict)]
        whole[block] = {name: sum(_count(detail.get(name)) for detail in details)}
    return whole


def _read_bot_usage(block: Any, service_tier: Any, priced: frozenset[str]) -> Usage | None:
    usage = read_usage(block, service_tier)
    if usage is None or not priced:
        return usage
    calls: dict[str, int] = {}
    actions = block.get("action_usage")
    for action in actions if isinstance(actions, list) else ():
        name = _first(action, "action_name", "name") if isinstance(action, dict) else None
        if name in priced:
            calls[name] = calls.get(name, 0) + _count(action.get("count", action.get("search_count")))
    return usage._replace(tool_calls=calls)


def _annotation(reference: Mapping[str, Any]) -> dict[str, Any]:
    """OpenAI's annotation, with the reference's other members beside. A bot doesn't say which part of its text it backs."""
    citation = {
        **{name: value for name, value in reference.items() if value not in (None, "")},
        "url": _first(reference, "url", "mobile_url") or "",
        "title": _first(reference, *_TITLES) or "",
        "start_index": 0,
        "end_index": 0,
    }
    return {"type": "url_citation", "url_citation": citation}


def _first(values: Mapping[str, Any], *names: str) -> str | None:
    return next((values[name] for name in names if isinstance(values.get(name), str) and values[name]), None)


def _count(value: Any) -> int:
    return value if type(value) is int and 0 <= value <= MOST_TOKENS else 0
