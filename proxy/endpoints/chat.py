"""POST /v1/chat/completions: a body's bytes → ChatRequest. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from proxy.chat import ChatRequest
from proxy.errors import BadRequest
from proxy.jsontext import JsonError, loads

Check = Callable[[str, Any], None]
"""Told (name, value). Raises: BadRequest."""
Checks = Mapping[str, Check]

REQUIRED = ("model", "messages")
MAX_N = 128
MAX_TOKENS = 2**31 - 1
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_FORMATS = ("text", "json_object", "json_schema")
_THINKING = ("enabled", "disabled", "auto", "adaptive")
_ROLES = ("system", "developer", "user", "assistant", "tool", "function")


def parse(raw: bytes) -> ChatRequest:
    """Read and check a Chat Completions request.

    Raises: BadRequest (invalid_json, or invalid_value with `param`).
    """
    return request_of(read_body(raw, REQUIRED, CHECKS), len(raw))


def request_of(body: Mapping[str, Any], body_bytes: int) -> ChatRequest:
    """What a checked body without nulls asks for."""
    cap, other = body.get("max_tokens"), body.get("max_completion_tokens")
    return ChatRequest(
        body=body,
        body_bytes=body_bytes,
        model=body["model"],
        stream=body.get("stream", False),
        include_usage="stream_options" in body and bool(body["stream_options"].get("include_usage")),
        n=body.get("n", 1),
        max_output_tokens=cap if other is None else other if cap is None else min(cap, other),
    )


def read_body(raw: bytes, required: tuple[str, ...], checks: Checks) -> dict[str, Any]:
    """The object that a request's JSON is, without nulls, its members checked. Raises: BadRequest."""
    try:
        body = loads(raw)
    except JsonError as error:
        raise BadRequest(f"The body is not valid JSON: {error}.", code="invalid_json") from None
    if not isinstance(body, dict):
        raise BadRequest(f"The body must be a JSON object, not {_kind(body)}.", code="invalid_json")
    # Some SDKs write every unset parameter as null; OpenAI reads null as absent.
    body = {name: value for name, value in body.items() if value is not None}
    check_members(body, required, checks)
    return body


def check_members(body: Mapping[str, Any], required: tuple[str, ...], checks: Checks) -> None:
    """Raises: BadRequest: a member is missing or not what it should be. Null is as good as absent."""
    for name in required:
        if name not in body:
            raise BadRequest(f"{name!r} is missing.", param=name)
    for name, value in body.items():
        if value is not None and (check := checks.get(name)) is not None:
            check(name, value)


def check_cap(chat: ChatRequest, limit: int) -> None:
    """Raises: BadRequest if the client's own cap is over the model's."""
    for name in ("max_tokens", "max_completion_tokens"):
        value = chat.body.get(name)
        if value is not None and value > limit:
            raise BadRequest(f"{name!r} is {value}; {chat.model} answers with at most {limit} tokens.", param=name)


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if value == []:
        return "an empty array"
    if isinstance(value, bool):
        return "true" if value else "false"
    names: dict[type, str] = {int: "an integer", float: "a number", str: "a string", list: "an array"}
    return names.get(type(value), "an object")


def wrong(name: str, value: object, expected: str) -> BadRequest:
    shown = repr(value)[:64] if type(value) in (int, float, str) else _kind(value)
    return BadRequest(f"{name!r} must be {expected}, not {shown}.", param=name)


def _text(name: str, value: object) -> None:
    if not isinstance(value, str) or not value:
        raise wrong(name, value, "a non-empty string")
    if len(value) > 512 or _CONTROL.search(value):
        raise BadRequest(f"{name!r} must be at most 512 characters, without control characters.", param=name)


def _number(low: float, high: float) -> Callable[[str, object], None]:
    def check(name: str, value: object) -> None:
        if type(value) not in (int, float) or not low <= value <= high:  # type: ignore[operator]
            raise wrong(name, value, f"a number from {low:g} to {high:g}")

    return check


def integer(low: int, high: int) -> Callable[[str, object], None]:
    def check(name: str, value: object) -> None:
        if type(value) is not int or not low <= value <= high:
            raise wrong(name, value, f"an integer from {low} to {high}")

    return check


def _boolean(name: str, value: object) -> None:
    if type(value) is not bool:
        raise wrong(name, value, "true or false")


def one_of(*choices: str) -> Callable[[str, object], None]:
    def check(name: str, value: object) -> None:
        if value not in choices or not isinstance(value, str):
            raise wrong(name, value, "one of " + ", ".join(choices))

    return check


def _typed(*types: str) -> Callable[[str, object], None]:
    """An object whose `type` is one of these."""

    def check(name: str, value: object) -> None:
        if not isinstance(value, dict):
            raise wrong(name, value, "an object")
        one_of(*types)(f"{name}.type", value.get("type"))

    return check


def _messages(name: str, value: object) -> None:
    if not isinstance(value, list) or not value:
        raise wrong(name, value, "an array of at least one message")
    for index, message in enumerate(value):
        place = f"messages[{index}]"
        if not isinstance(message, dict):
            raise wrong(place, message, "an object")
        if message.get("role") not in _ROLES:
            raise wrong(f"{place}.role", message.get("role"), "one of " + ", ".join(_ROLES))
        content = message.get("content")
        if content is not None and not isinstance(content, (str, list)):
            raise wrong(f"{place}.content", content, "a string or an array of parts")
        if isinstance(content, list):
            _parts(place, content)
        if content is None and message["role"] in ("system", "developer", "user"):
            raise BadRequest(f"{place}.content is missing.", param=f"{place}.content")
        _tool_calls(place, message.get("tool_calls"))


def _parts(place: str, parts: list[Any]) -> None:
    for index, part in enumerate(parts):
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            raise wrong(f"{place}.content[{index}]", part, "an object with a type")
        if part["type"] == "text" and not isinstance(part.get("text"), str):
            raise wrong(f"{place}.content[{index}].text", part.get("text"), "a string")


def _tool_calls(place: str, calls: object) -> None:
    if calls is None:
        return
    if not isinstance(calls, list):
        raise wrong(f"{place}.tool_calls", calls, "an array")
    for index, call in enumerate(calls):
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise wrong(f"{place}.tool_calls[{index}]", call, "an object with function.name and function.arguments")


def _tools(name: str, value: object) -> None:
    if not isinstance(value, list):
        raise wrong(name, value, "an array")
    for index, tool in enumerate(value):
        place = f"tools[{index}]"
        if not isinstance(tool, dict) or not isinstance(tool.get("type"), str):
            raise wrong(place, tool, "an object with a type")
        function = tool.get("function")
        if tool["type"] == "function" and not (
            isinstance(function, dict) and isinstance(function.get("name"), str) and function["name"]
        ):
            raise wrong(f"{place}.function", function, "an object with a name")


def _tool_choice(name: str, value: object) -> None:
    if isinstance(value, str):
        one_of("none", "auto", "required")(name, value)
    elif not isinstance(value, dict) or not isinstance(value.get("type"), str):
        raise wrong(name, value, "none, auto, required, or an object that names a function")


def _stop(name: str, value: object) -> None:
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list) or not all(isinstance(stop, str) for stop in stops):
        raise wrong(name, value, "a string or an array of strings")


def _stream_options(name: str, value: object) -> None:
    if not isinstance(value, dict):
        raise wrong(name, value, "an object")
    if value.get("include_usage") is not None:
        _boolean(f"{name}.include_usage", value["include_usage"])


TEXT: Check = _text

CHECKS: Checks = {
    "model": _text,
    "messages": _messages,
    "temperature": _number(0, 2),
    "top_p": _number(0, 1),
    "frequency_penalty": _number(-2, 2),
    "presence_penalty": _number(-2, 2),
    "max_tokens": integer(1, MAX_TOKENS),
    "max_completion_tokens": integer(1, MAX_TOKENS),
    "n": integer(1, MAX_N),
    "stream": _boolean,
    "stream_options": _stream_options,
    "stop": _stop,
    "tools": _tools,
    "tool_choice": _tool_choice,
    "parallel_tool_calls": _boolean,
    "response_format": _typed(*_FORMATS),
    "user": _text,
    "enable_thinking": _boolean,
    "thinking": _typed(*_THINKING),
    "reasoning_effort": one_of(*_EFFORTS),
}
