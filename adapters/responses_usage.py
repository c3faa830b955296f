"""What a response of Ark's Responses door says of its tokens → our usage.

Unlike Anthropic's, its input_tokens includes what came out of a cache, as OpenAI's prompt_tokens does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from adapters.json_members import object_of
from adapters.openai_answer import MOST_TOKENS, read_usage
from proxy import Usage

_FREE_TIERS = ("auto", "default")


def response_usage(response: Mapping[str, Any], asked_tier: str | None) -> Sequence[Usage]:
    """The usage in OpenAI's words, or nothing if the provider didn't say enough.

    Args: response: {"usage": {"input_tokens": int, "output_tokens": int, "input_tokens_details"?: {"cached_tokens": int, …},
    "output_tokens_details"?: {"reasoning_tokens": int}, "tool_usage"?: {"web_search": int, …}}, "service_tier"?: str, …}.
    asked_tier: what one that doesn't say which tier it served is taken to have served.
    """
    counted = object_of(response.get("usage"))
    block = {
        "prompt_tokens": counted.get("input_tokens"),
        "completion_tokens": counted.get("output_tokens"),
        "prompt_tokens_details": object_of(counted.get("input_tokens_details")),
        "completion_tokens_details": object_of(counted.get("output_tokens_details")),
    }
    usage = read_usage(block, response.get("service_tier"))
    if usage is None:
        return ()
    calls = {name: count for name, count in object_of(counted.get("tool_usage")).items() if _is_count(count)}
    reported = {**block, "total_tokens": usage.input_tokens + usage.output_tokens}
    if calls:
        reported["tool_usage"] = calls
    served = usage.service_tier or (None if asked_tier in _FREE_TIERS else asked_tier)
    return [usage._replace(tool_calls=calls, service_tier=served, reported=reported)]


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 < value <= MOST_TOKENS
