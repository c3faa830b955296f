"""A client's Chat Completions body → the body for a provider that speaks the same dialect.

Each step is one function on a plain dict, so that a vendor's profile is a row of steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from proxy import ChatRequest, Target, refuse_unpriced

REDIRECTING = frozenset(
    {
        "api_base",
        "api_key",
        "api_type",
        "api_version",
        "base_url",
        "credentials",
        "custom_llm_provider",
        "deployment_id",
        "extra_body",
        "extra_headers",
        "extra_query",
        "fallbacks",
        "headers",
        "litellm_params",
        "model_list",
        "models",
        "organization",
        "project",
        "provider",
        "proxy",
        "route",
        "timeout",
        "user_config",
    }
)
"""Never forwarded: SDKs or gateways behind us would send the call or its credentials elsewhere."""

OTHER_CAPS = frozenset({"best_of", "max_new_tokens", "max_output_tokens"})
"""Never forwarded: a cap in other words, or a multiplier, that would lead past the cap we write."""

NEVER_FORWARDED = REDIRECTING | OTHER_CAPS
CAPS = ("max_tokens", "max_completion_tokens")


def take_out(body: dict[str, Any], names: frozenset[str]) -> list[str]:
    """Remove these fields. Returns those that were there, in alphabetical order."""
    if names.isdisjoint(body):
        return []
    found = sorted(names.intersection(body))
    for name in found:
        del body[name]
    return found


def write_cap(body: dict[str, Any], cap: int, field: str) -> None:
    """Write the output cap where the client has its own, else in `field`."""
    for name in [name for name in CAPS if name in body] or [field]:
        body[name] = cap


def write_stream(body: dict[str, Any], *, streamed: bool, ask_for_usage: bool) -> None:
    """Ask for a stream or for JSON, and for usage in a stream whether the client wants it or not."""
    if not streamed:
        if body.get("stream"):
            del body["stream"]
            body.pop("stream_options", None)
        return
    body["stream"] = True
    options = dict(body.get("stream_options") or {})
    options.pop("include_usage", None)
    if ask_for_usage:
        options["include_usage"] = True
    if options:
        body["stream_options"] = options
    else:
        body.pop("stream_options", None)


def without_nulls(value: Any) -> Any:
    """The value without null members, at every level of its objects. Null items of arrays stay."""
    if isinstance(value, dict):
        return {name: without_nulls(member) for name, member in value.items() if member is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def openai_body(
    chat: ChatRequest, target: Target, *, cap_field: str, ask_for_usage: bool
) -> tuple[dict[str, Any], Sequence[str]]:
    """The body to send, and the fields that were left out.

    Raises: BadRequest: a field changes the price and the model's price doesn't name it.
    """
    refuse_unpriced(chat, [target])
    body = dict(chat.body)
    dropped = take_out(body, NEVER_FORWARDED)
    body["model"] = target.upstream_model
    write_cap(body, target.output_cap, cap_field)
    write_stream(body, streamed=chat.stream, ask_for_usage=ask_for_usage)
    return body, dropped
