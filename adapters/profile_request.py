"""A client's Chat Completions body → the body for a family, by its profile.

What the vendor means by other words is mapped, what it can't do is left out and named, what would change the answer's shape
is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from adapters.openai_request import CAPS, NEVER_FORWARDED, take_out, write_cap, write_stream
from adapters.profile import Profile, Within
from adapters.profile_messages import with_bare_images, write_messages
from adapters.profile_options import GlmOptions, ProfileOptions, QwenOptions, SparkOptions
from adapters.profile_thinking import write_thinking
from proxy import BadRequest, ChatRequest, Target, refuse_unpriced


def fits(models: str | None, model: str) -> bool:
    """Whether a profile's expression for models means this one; None means none."""
    return models is not None and re.search(models, model) is not None


def streams(chat: ChatRequest, profile: Profile, options: ProfileOptions, model: str) -> bool:
    """Whether the provider is asked for a stream, whatever the client wants."""
    if profile.tools_unstreamed and chat.body.get("tools"):
        return False
    if isinstance(options, QwenOptions) and options.stream_only:
        return True
    return chat.stream or fits(profile.stream_only, model)


def moved_within(body: dict[str, Any], limits: Sequence[Within], model: str) -> list[str]:
    """Move the numbers of a body to the nearest that are taken. Returns the fields that were left out instead."""
    dropped: list[str] = []
    for limit in limits:
        value: Any = body.get(limit.field)
        if type(value) not in (int, float) or limit.low <= value <= limit.high or not fits(limit.models, model):
            continue
        if limit.or_left_out:
            dropped += take_out(body, frozenset({limit.field}))
        else:
            body[limit.field] = min(max(value, limit.low), limit.high)
    return dropped


def profile_body(
    chat: ChatRequest, target: Target, profile: Profile, options: ProfileOptions
) -> tuple[dict[str, Any], Sequence[str]]:
    """The body to send, and the fields that were left out.

    Raises: BadRequest (unsupported_parameter): a field without a price, or more choices than the model gives.
    """
    refuse_unpriced(chat, [target])
    model = target.upstream_model
    body = dict(chat.body)
    dropped = take_out(body, NEVER_FORWARDED)
    body["model"] = model
    _write_cap(body, target, profile)
    write_stream(
        body,
        streamed=streams(chat, profile, options, model),
        ask_for_usage=profile.usage_in_stream if options.usage_in_stream is None else options.usage_in_stream,
    )
    switch = next((switch for switch in profile.thinking if fits(switch.models, model)), None)
    if switch is not None:
        dropped += write_thinking(body, switch)
    for left_out in profile.left_out:
        if fits(left_out.models, model):
            dropped += take_out(body, left_out.fields)
    dropped += _write_sampling(body, profile, model)
    dropped += _write_stop(body, profile)
    dropped += _write_user(body, profile)
    dropped += _write_format(body, profile, model)
    dropped += _write_tools(body, profile, model)
    dropped += write_messages(body, profile, model)
    if isinstance(options, GlmOptions) and options.bare_images:
        body["messages"] = with_bare_images(body["messages"])
    if isinstance(options, SparkOptions) and options.tool_calls_switch and body.get("tools"):
        body["tool_calls_switch"] = True
    dropped += (name for name, value in profile.always_sent.items() if body.get(name, value) != value)
    return {**body, **profile.always_sent}, sorted(set(dropped))


def _write_cap(body: dict[str, Any], target: Target, profile: Profile) -> None:
    limits = (limit for models, limit in profile.most_output_tokens if fits(models, target.upstream_model))
    cap = min(target.output_cap, next(limits, target.output_cap))
    if profile.cap_field not in CAPS:
        for name in CAPS:
            body.pop(name, None)
    write_cap(body, cap, profile.cap_field)


def _write_sampling(body: dict[str, Any], profile: Profile, model: str) -> list[str]:
    if fits(profile.one_choice, model) and (choices := body.pop("n", 1)) > 1:
        message = f"'n' is {choices}; this model gives one answer at a time."
        raise BadRequest(message, code="unsupported_parameter", param="n")
    if profile.do_sample and body.get("temperature") == 0:
        body["do_sample"] = False
    return moved_within(body, profile.within, model)


def _write_stop(body: dict[str, Any], profile: Profile) -> list[str]:
    stop = body.get("stop")
    if not profile.one_stop or not isinstance(stop, list) or len(stop) < 2:
        return []
    body["stop"] = stop[:1]
    return ["stop"]


def _write_user(body: dict[str, Any], profile: Profile) -> list[str]:
    user = body.pop("user", None)
    if user is None:
        return []
    if profile.user_pattern and not re.fullmatch(profile.user_pattern, user):
        return ["user"]
    body[profile.user_field] = user[: profile.user_characters]
    return []


def _write_format(body: dict[str, Any], profile: Profile, model: str) -> list[str]:
    if not fits(profile.no_json_schema, model) or body.get("response_format", {}).get("type") != "json_schema":
        return []
    body["response_format"] = {"type": "json_object"}
    return ["response_format.json_schema"]


def _write_tools(body: dict[str, Any], profile: Profile, model: str) -> list[str]:
    if profile.loose_tools and "tools" in body:
        body["tools"] = [_loose(tool) for tool in body["tools"]]
    choices = next((choices for models, choices in profile.tool_choices if fits(models, model)), None)
    choice = body.get("tool_choice")
    if choices is None or choice is None or (choice if isinstance(choice, str) else "function") in choices:
        return []
    del body["tool_choice"]
    if choice == "none":
        body.pop("tools", None)
        return []
    return ["tool_choice"]


def _loose(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    function = tool.get("function")
    return {**tool, "function": {"strict": False, **function}} if isinstance(function, dict) else tool
