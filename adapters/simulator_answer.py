"""What the simulator says to a request, how that is cut into tokens, and how many tokens the request has.

A function of the request alone. Functions are called where `tool_choice` forces it (the one it names, else
the first), or where it leaves it open and the last message is the user's and names one ("use get_weather").
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, cycle, islice
from typing import Any

from adapters.openai_errors import Refusal, openai_error
from adapters.simulator_pattern import Unmakeable
from adapters.simulator_schema import example
from proxy import BadRequest, ChatRequest

HEADING = "This is a simulated answer from Paifang, no model was asked."
REASONING = "This reasoning is simulated: the last message is read and repeated."

_TOKEN = re.compile(r"\s*(?:[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]|[^\s\u2e80-\u9fff]{1,12})|\s+")
_QUOTED_CHARACTERS = 200
_MESSAGE_OVERHEAD_TOKENS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One tool call; arguments is JSON text."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """All that would be said without a cap; either text or calls."""

    reasoning: str
    text: str
    calls: tuple[Call, ...]


def compose(
    chat: ChatRequest, reply: str | None = None, words: int | None = None, lacking: Sequence[str] = ()
) -> Speech:
    """Answer a request.

    Args: reply: the text to answer with, instead of one made up. words: how many tokens the text has. lacking: what to set to
    get a real answer instead.
    Raises: BadRequest: a tool that isn't there, or a schema for which no value is known.
    """
    body = chat.body
    reasoning = REASONING if _reasons(body) else ""
    calls = tuple(_calls(body))
    if calls:
        return Speech(reasoning=reasoning, text="", calls=calls)
    told = reply or _told(body["messages"], lacking)
    if words is not None:
        told = "".join(_lengthened(tokens(told), words))
    return Speech(reasoning=reasoning, text=_stopped(_shaped(body, told), body.get("stop")), calls=())


def tokens(text: str) -> list[str]:
    """The text in pieces: a word, or one Chinese, Japanese or Korean character. Joined they are the text."""
    return _TOKEN.findall(text)


def input_tokens(chat: ChatRequest) -> int:
    """Our count: a token for four bytes of text, four more for each message; never above the body's bytes."""
    size = sum(len(text.encode("utf-8", "replace")) for text in _texts(chat.body))
    return min(-(-size // 4) + _MESSAGE_OVERHEAD_TOKENS * len(chat.body["messages"]), chat.body_bytes)


def refuse_too_long(prompt_tokens: int, context_tokens: int | None) -> None:
    """Raises: UpstreamError: what is asked has no room in the model's context."""
    if context_tokens is not None and prompt_tokens > context_tokens:
        told = f"{prompt_tokens} tokens in a context of {context_tokens}"
        raise openai_error(Refusal(status=400, code="context_length_exceeded", text=told))


def fingerprint(chat: ChatRequest) -> str:
    """The same for the same request, else very likely another: 24 hexadecimal digits."""
    digest = hashlib.blake2s(digest_size=12)
    for text in _texts(chat.body):
        digest.update(text.encode("utf-8", "replace") + b"\0")
    return digest.hexdigest()


def last_text(messages: Sequence[Mapping[str, Any]], role: str) -> str:
    """The text of the last message of this role, "" without one."""
    return next((_text_of(m.get("content")) for m in reversed(messages) if m.get("role") == role), "")


def _text_of(content: Any) -> str:
    """The text of a message's content: a string, parts, or nothing."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    return " ".join(text for text in texts if isinstance(text, str))


def _texts(body: Mapping[str, Any]) -> Iterator[str]:
    for message in body["messages"]:
        yield _text_of(message.get("content"))
        for extra in ("reasoning_content", "tool_calls"):
            if message.get(extra):
                yield json.dumps(message[extra], ensure_ascii=False)
    for extra in ("tools", "response_format"):
        if body.get(extra):
            yield json.dumps(body[extra], ensure_ascii=False)


def _reasons(body: Mapping[str, Any]) -> bool:
    if "thinking" in body:
        return bool(body["thinking"].get("type") == "enabled")
    if "enable_thinking" in body:
        return bool(body["enable_thinking"])
    return body.get("reasoning_effort", "none") not in ("none", "minimal")


def _calls(body: Mapping[str, Any]) -> Iterator[Call]:
    functions: dict[str, int] = {}
    for at, tool in enumerate(body.get("tools") or ()):
        if tool["type"] != "function":
            raise _not_here(f"tools of type {tool['type']!r}; give it functions", f"tools[{at}].type")
        functions[tool["function"]["name"]] = at
    for name in _called(body, functions):
        at = functions[name]
        schema = body["tools"][at]["function"].get("parameters")
        place = f"tools[{at}].function.parameters"
        arguments = _valid_for({} if schema is None else schema, place, must_be="object")
        yield Call(name=name, arguments=arguments)


def _called(body: Mapping[str, Any], functions: Mapping[str, int]) -> Sequence[str]:
    choice = body.get("tool_choice", "auto")
    if choice == "none":
        return ()
    if isinstance(choice, Mapping):
        named = choice.get("function")
        if choice.get("type") != "function" or not isinstance(named, Mapping):
            raise _not_here(f"tool_choice of type {choice.get('type')!r}; name a function", "tool_choice")
        if named.get("name") not in functions:
            raise BadRequest("'tool_choice' names a function that isn't among 'tools'.", param="tool_choice")
        return [named["name"]]
    if choice == "required" and not functions:
        raise BadRequest("'tool_choice' is 'required', but there are no 'tools'.", param="tool_choice")
    last = body["messages"][-1]
    text = _text_of(last.get("content")) if last.get("role") == "user" else ""
    called = [name for name in functions if name in text] or (list(functions)[:1] if choice == "required" else [])
    return called if body.get("parallel_tool_calls", True) else called[:1]


def _told(messages: Sequence[Mapping[str, Any]], lacking: Sequence[str]) -> str:
    """A text that says what it is, and repeats a little of the last message."""
    result = messages[-1].get("role") == "tool"
    quoted = " ".join(last_text(messages, "tool" if result else "user").split())
    if len(quoted) > _QUOTED_CHARACTERS:
        quoted = quoted[:_QUOTED_CHARACTERS] + "…"
    remedy = f"Set {' or '.join(lacking)} to get real ones." if lacking else ""
    repeated = f"{'The tool answered' if result else 'You said'}: {quoted}" if quoted else ""
    return " ".join(filter(None, (HEADING, remedy, repeated)))


def _shaped(body: Mapping[str, Any], text: str) -> str:
    """The text, as `response_format` wants it."""
    wanted = body.get("response_format") or {}
    if wanted.get("type") == "json_object":
        return json.dumps({"answer": text}, ensure_ascii=False)
    if wanted.get("type") == "json_schema":
        named = wanted.get("json_schema")
        schema = named.get("schema") if isinstance(named, Mapping) else None
        return _valid_for({} if schema is None else schema, "response_format.json_schema.schema")
    return text


def _valid_for(schema: Any, place: str, must_be: str | None = None) -> str:
    """JSON text that is valid for the schema, and of this type."""
    try:
        if must_be:
            schema = {**schema, "type": must_be} if isinstance(schema, Mapping) else schema
        return json.dumps(example(schema), ensure_ascii=False)
    except Unmakeable as obstacle:
        raise _not_here(f"this schema ({obstacle}); simplify it", place) from None


def _stopped(text: str, stop: str | Sequence[str] | None) -> str:
    """The text up to the first of the stop sequences."""
    sequences = [stop] if isinstance(stop, str) else stop or ()
    ends = [text.index(sequence) for sequence in sequences if sequence and sequence in text]
    return text[: min(ends, default=len(text))]


def _lengthened(pieces: Sequence[str], count: int) -> Iterator[str]:
    """Exactly `count` pieces: cut, or said again and again."""
    return islice(chain(pieces, cycle([f" {pieces[0].lstrip()}", *pieces[1:]])), count)


def _not_here(what: str, param: str) -> BadRequest:
    return BadRequest(f"The simulator can't do {what}.", code="unsupported_parameter", param=param)
