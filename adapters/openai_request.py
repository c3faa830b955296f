"""A client's Chat Completions body → the body for a provider that speaks the same dialect.

Each step is one function on a plain dict, so that a vendor's profile is a row of steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from proxy import BadRequest, ChatRequest, Target

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

_FREE_TIERS = frozenset({"auto", "default"})
_CLIENT_TOOLS = frozenset({"function", "custom"})
_SEARCHES = ("web_search_options", "enable_search", "search_options", "web_search", "enable_enhancement", "plugins")
_PRICED = frozenset({"service_tier", "tools", "modalities", "audio", "prediction", "background", *_SEARCHES})
"""Without one of these nothing changes the price."""


def refuse_unpriced(body: Mapping[str, Any], target: Target) -> None:
    """Refuse what would change the price in a way that the model's price doesn't name.

    Raises: BadRequest (unsupported_parameter) naming the field.
    """
    if _PRICED.isdisjoint(body):
        return
    tier = body.get("service_tier", "auto")
    if not isinstance(tier, str) or (tier not in _FREE_TIERS and tier not in target.price.service_tiers):
        raise _unpriced("service_tier", "this service tier")
    for tool in body.get("tools") or ():
        kind = tool.get("type")
        if kind not in _CLIENT_TOOLS and kind not in target.price.tools:
            raise _unpriced("tools", f"built-in tools of type {kind!r}")
    for name in _SEARCHES:
        # An empty object asks for a search with the provider's defaults.
        if body.get(name) not in (None, False, []) and "web_search" not in target.price.tools:
            raise _unpriced(name, "web search")
    if body.get("modalities") not in (None, [], ["text"]) or body.get("audio"):
        raise _unpriced("modalities", "output other than text")
    if body.get("prediction"):
        raise _unpriced("prediction", "rejected predictions")  # billed as output on top of the cap
    if body.get("background"):
        raise BadRequest("'background' is not available here.", code="unsupported_parameter", param="background")


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
    own = False
    for name in CAPS:
        if name in body:
            body[name], own = cap, True
    if not own:
        body[field] = cap


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
    refuse_unpriced(chat.body, target)
    body = dict(chat.body)
    dropped = take_out(body, NEVER_FORWARDED)
    body["model"] = target.upstream_model
    write_cap(body, target.output_cap, cap_field)
    write_stream(body, streamed=chat.stream, ask_for_usage=ask_for_usage)
    return body, dropped


def _unpriced(field: str, what: str) -> BadRequest:
    return BadRequest(
        f"{field!r}: this model has no price for {what}; leave it out or ask the gateway's operator for one.",
        code="unsupported_parameter",
        param=field,
    )
