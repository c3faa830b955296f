"""A Chat Completions body → the body for Ark's `POST /responses`.

The door refuses a field that it doesn't know (`json: unknown field "x"`), at any depth, so only what it is known to take is
ever written. Source: notes of live calls of 2026-09, the vendor's documents 82379/1569618, and its SDK's types/responses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from adapters.ark_models import ArkModel, ark_model
from adapters.ark_request import write_thinking
from adapters.chat_fields import (
    asked_function,
    asked_schema,
    asked_tier,
    note_others,
    refuse_built_in,
    refuse_left_out,
    unsupported,
)
from adapters.responses_items import input_items
from adapters.responses_translation import FIELD, is_translation, translation_items
from proxy import ChatRequest, Target, refuse_unpriced

_AS_THEY_ARE = frozenset({"metadata", "prompt_cache_key", "safety_identifier", "temperature", "top_p"})
_READ = _AS_THEY_ARE | {
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "model",
    "n",
    "service_tier",
    "store",
    "stream",
    "stream_options",
    "user",
}
_READ_OF_CHATS = _READ | {
    "enable_thinking",
    "max_tool_calls",
    "parallel_tool_calls",
    "reasoning_effort",
    "response_format",
    "thinking",
    "tool_choice",
    "tools",
}
_READ_OF_TRANSLATIONS = _READ | {FIELD}
_OF_FUNCTION = ("name", "description", "parameters", "strict")
_OF_WEB_SEARCH = ("limit", "max_keyword", "sources", "user_location")
_OF_LOCATION = ("type", "city", "country", "region", "timezone")
_OF_SCHEMA = ("name", "description", "schema", "strict")
_TIERS = ("auto", "default", "fast", "flex")
_THINKING = ("enable_thinking", "thinking", "reasoning_effort")
ENCRYPTED = "reasoning.encrypted_content"


class ArkResponsesOptions(BaseModel):
    """Keys of a provider with `adapter: ark_responses`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    unknown_fields: Literal["drop", "reject"] = Field(
        default="drop",
        description="Request fields that the door can't do: drop (named in x-paifang-dropped) or reject (400).",
    )
    store: bool = Field(
        default=False,
        description="Let Ark keep answers for three days, its own default. A request's store: false holds all the same.",
    )
    encrypted_reasoning: bool = Field(
        default=True,
        description="Ask thinking models for their reasoning in encrypted form too, which clients send back in tool loops as "
        "encrypted_content. false for models that refuse it.",
    )
    audio_parts: bool = Field(
        default=False,
        description="Pass input_audio parts on. Ark documents them, but was seen to refuse them here.",
    )
    source_language: str | None = Field(
        default=None, description="Of translation models: the language of the text, like zh; left out, it is detected."
    )
    target_language: str | None = Field(
        default=None,
        description="Of translation models: the language to translate into, unless the request names one. Where it is set, the "
        "models behind ep- ids are translation models.",
    )

    @property
    def languages(self) -> dict[str, str]:
        named = {"source_language": self.source_language, "target_language": self.target_language}
        return {name: language for name, language in named.items() if language}


def responses_body(chat: ChatRequest, target: Target, options: ArkResponsesOptions) -> tuple[dict[str, Any], list[str]]:
    """The body to send, and the fields that were left out.

    Raises: BadRequest: a field, role or part that the door can't do and that can't be left out, or, with
    `unknown_fields: reject`, any that would be.
    """
    asked, model = chat.body, target.upstream_model
    refuse_unpriced(chat, [target])
    if chat.n > 1:
        raise unsupported("'n' above 1", "n")
    translates = is_translation(model, asked, options.languages)
    # A field at 0, false or [] asks for nothing.
    left_out = sorted(name for name in asked.keys() - (_READ_OF_TRANSLATIONS if translates else _READ_OF_CHATS) if asked[name])
    if translates:
        only = {"input": translation_items(asked, options.languages, left_out)}
    else:
        only = _of_a_chat(asked, model, options, left_out)
    body = {
        "model": model,
        **only,
        "max_output_tokens": target.output_cap,
        "stream": chat.stream,
        **{name: asked[name] for name in sorted(_AS_THEY_ARE & asked.keys())},
        **asked_tier(asked, _TIERS),
    }
    if "user" in asked:
        body.setdefault("safety_identifier", asked["user"])
    # The tier `flex` takes nothing that is kept.
    body["store"] = options.store and asked.get("store", True) is not False and body.get("service_tier") != "flex"
    if asked.get("store") and not body["store"]:
        left_out.append("store")
    if options.unknown_fields == "reject":
        refuse_left_out(left_out)
    return body, left_out


def _of_a_chat(asked: Mapping[str, Any], model: str, options: ArkResponsesOptions, left_out: list[str]) -> dict[str, Any]:
    refuse_built_in(asked, "; name the tool web_search in 'tools'")
    known = ark_model(model, endpoint_thinks=True, smart_router=False)
    written: dict[str, Any] = {"input": input_items(asked["messages"], model, left_out, audio=options.audio_parts)}
    written |= _tools(asked, left_out)
    written |= _thinking(asked, known, left_out)
    written |= _text_format(asked.get("response_format") or {}, left_out)
    off = written.get("thinking", {}).get("type") == "disabled"
    if options.encrypted_reasoning and not off and known.is_known and known.thinks:
        written["include"] = [ENCRYPTED]
    return written


def _tools(asked: Mapping[str, Any], left_out: list[str]) -> dict[str, Any]:
    if not asked.get("tools"):
        return {}
    written: dict[str, Any] = {"tools": [_tool(tool, f"tools[{at}]", left_out) for at, tool in enumerate(asked["tools"])]}
    choice = asked.get("tool_choice")
    if choice is not None:
        written["tool_choice"] = choice if isinstance(choice, str) else {"type": "function", "name": asked_function(choice)}
    written |= {name: asked[name] for name in ("max_tool_calls", "parallel_tool_calls") if name in asked}
    return written


def _tool(tool: Mapping[str, Any], place: str, left_out: list[str]) -> dict[str, Any]:
    """A function's members stand beside its type there; web_search is the built-in tool that an answer can show as OpenAI's."""
    match tool["type"]:
        case "function":
            function = tool["function"]
            note_others(function, _OF_FUNCTION, "tools[].function", left_out)
            return {"type": "function"} | _those(function, _OF_FUNCTION)
        case "web_search":
            note_others(tool, ("type", *_OF_WEB_SEARCH), "tools[]", left_out)
            written = {"type": "web_search"} | _those(tool, _OF_WEB_SEARCH)
            if isinstance(written.get("user_location"), Mapping):
                note_others(written["user_location"], _OF_LOCATION, "tools[].user_location", left_out)
                written["user_location"] = _those(written["user_location"], _OF_LOCATION)
            return written
        case kind:
            raise unsupported(f"tools of type {kind!r}", f"{place}.type")


def _thinking(asked: Mapping[str, Any], known: ArkModel, left_out: list[str]) -> dict[str, Any]:
    wanted = _those(asked, _THINKING)
    left_out += write_thinking(wanted, known)
    written = _those(wanted, ("thinking",))
    if "reasoning_effort" in wanted:
        written["reasoning"] = {"effort": wanted["reasoning_effort"]}
    return written


def _text_format(wanted: Mapping[str, Any], left_out: list[str]) -> dict[str, Any]:
    match wanted.get("type"):
        case "json_object":
            return {"text": {"format": {"type": "json_object"}}}
        case "json_schema":
            named = asked_schema(wanted)
            note_others(named, _OF_SCHEMA, "response_format.json_schema", left_out)
            return {"text": {"format": {"type": "json_schema"} | _those(named, _OF_SCHEMA)}}
    return {}


def _those(values: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: values[name] for name in names if values.get(name) is not None}
