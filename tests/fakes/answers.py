"""What a fake model says: a short answer that depends on the request, cut into tokens that can be counted.

Each piece that `pieces` makes is one token, so a test can work out each count by hand: "Hello, you" is three.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

_PIECE = re.compile(r"\s*(?:[A-Za-z0-9_]+|\S)|\s+")
_MESSAGE_OVERHEAD = 3
_MEDIA = {"image_url", "video_url", "input_audio", "file"}
_MEDIA |= {"image", "document", "input_image", "input_video", "input_file"}
_MEDIA_TOKENS = 256

Schema = Mapping[str, Any]


def pieces(text: str) -> list[str]:
    """Cut text into tokens: a word, or a single other character, with the space before it."""
    return _PIECE.findall(text)


@dataclass(frozen=True, kw_only=True)
class ToolCall:
    name: str
    arguments: str
    """JSON text."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the model would say if no limit stopped it."""

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Ask:
    """A request in any dialect, as far as the answer depends on it."""

    last_user: str = ""
    """Text of the last user message."""
    tool_results: tuple[str, ...] = ()
    """Results at the end of the conversation."""
    tools: Mapping[str, Schema] = field(default_factory=dict)
    """Name → JSON Schema of its arguments."""
    choice: str = "auto"
    """auto, none, required or the name of a tool."""
    parallel: bool = True
    wants_json: bool = False
    schema: Schema | None = None
    prompt_tokens: int = 0


@dataclass(frozen=True)
class Token:
    """One generated token. A tool call opens with a token without text."""

    kind: Literal["reasoning", "text", "call"]
    text: str
    position: int = 0
    """Which tool call, from 0."""


@dataclass(frozen=True)
class Speech:
    """What the model did say."""

    answer: Answer
    tokens: tuple[Token, ...]
    finish: str
    """stop, length or tool_calls."""
    stop: str | None = None
    """The stop sequence that ended it."""

    @property
    def reasoning_tokens(self) -> int:
        return sum(token.kind == "reasoning" for token in self.tokens)

    def joined(self, kind: str, position: int = 0) -> str:
        """The text of one kind of tokens, as a JSON answer carries it."""
        return "".join(t.text for t in self.tokens if t.kind == kind and t.position == position)

    @property
    def calls(self) -> list[ToolCall]:
        """Tool calls as far as they were spoken; a limit may have cut the last one's arguments."""
        begun = {token.position for token in self.tokens if token.kind == "call"}
        return [
            replace(call, arguments=self.joined("call", position))
            for position, call in enumerate(self.answer.tool_calls)
            if position in begun
        ]


def compose(ask: Ask) -> Answer:
    """Say something that follows from the request.

    A tool is called when it is forced, or when the last user message names it. Afterwards its result is told.
    """
    reasoning = "The user asks, so I answer."
    if ask.tool_results:
        return Answer(text=f"The tool said: {' and '.join(ask.tool_results)}", reasoning=reasoning)
    if called := _called(ask):
        calls = tuple(ToolCall(name=name, arguments=_json(instance_of(ask.tools[name]))) for name in called)
        return Answer(tool_calls=calls, reasoning=reasoning)
    if ask.schema is not None:
        return Answer(text=_json(instance_of(ask.schema)), reasoning=reasoning)
    if ask.wants_json:
        return Answer(text=_json({"answer": ask.last_user[:80]}), reasoning=reasoning)
    return Answer(text=f"Hello, you said: {ask.last_user[:80]}", reasoning=reasoning)


def speak(
    answer: Answer, *, answer_cap: int | None = None, total_cap: int | None = None, stops: Sequence[str] = ()
) -> Speech:
    """Say the answer until it ends, meets a stop sequence, or reaches a cap.

    Args: answer_cap: tokens after the reasoning. total_cap: tokens with the reasoning.
    """
    found = min((s for s in stops if s in answer.text), key=answer.text.index, default=None)
    if found is not None:
        answer = replace(answer, text=answer.text[: answer.text.index(found)])
    thoughts = [Token("reasoning", piece) for piece in pieces(answer.reasoning)]
    words = [Token("text", piece) for piece in pieces(answer.text)] + list(_call_tokens(answer.tool_calls))
    spoken = [*thoughts, *words[:answer_cap]][:total_cap]
    if len(spoken) < len(thoughts) + len(words):
        finish, found = "length", None
    else:
        finish = "tool_calls" if answer.tool_calls else "stop"
    return Speech(answer, tuple(spoken), finish, found)


def instance_of(schema: Schema, root: Schema | None = None) -> Any:
    """The plainest value that a JSON Schema of the usual keywords accepts."""
    root = schema if root is None else root
    if ref := schema.get("$ref"):
        found: Any = root
        for step in ref.removeprefix("#/").split("/"):
            found = found[step]
        return instance_of(found, root)
    for keyword in ("const", "default"):
        if keyword in schema:
            return schema[keyword]
    for keyword in ("enum", "examples"):
        if schema.get(keyword):
            return schema[keyword][0]
    for keyword in ("anyOf", "oneOf", "allOf"):
        if schema.get(keyword):
            return instance_of(schema[keyword][0], root)
    kind = schema.get("type", "object")
    match kind if isinstance(kind, str) else kind[0]:
        case "object":
            return {name: instance_of(sub, root) for name, sub in schema.get("properties", {}).items()}
        case "array":
            return [instance_of(schema.get("items", {}), root)] * max(1, schema.get("minItems", 0))
        case "string":
            return "text".ljust(schema.get("minLength", 0), "x")[: schema.get("maxLength")]
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case _:
            return None


def asked_in_chat(body: Mapping[str, Any]) -> Ask:
    """Read a Chat Completions body whose nulls are gone and whose messages are checked."""
    messages: list[dict[str, Any]] = body["messages"]
    users = [text_of(m.get("content")) for m in messages if m["role"] == "user"]
    functions = [tool["function"] for tool in body.get("tools", [])]
    choice = body.get("tool_choice", "auto")
    response_format = body.get("response_format", {})
    return Ask(
        last_user=users[-1] if users else "",
        tool_results=tuple(_trailing(messages)),
        tools={function["name"]: function.get("parameters") or {} for function in functions},
        choice=choice if isinstance(choice, str) else choice["function"]["name"],
        parallel=body.get("parallel_tool_calls", True),
        wants_json=response_format.get("type") == "json_object",
        schema=response_format.get("json_schema", {}).get("schema"),
        prompt_tokens=count_prompt(messages, functions),
    )


def count_prompt(messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]) -> int:
    """Tokens of the text in messages and tools, 3 more for each message, 256 for each picture or sound."""
    tokens = sum(len(pieces(_json(tool))) for tool in tools)
    for message in messages:
        content = message.get("content")
        tokens += _MESSAGE_OVERHEAD + len(pieces(text_of(content)))
        tokens += len(pieces(message.get("reasoning_content") or ""))
        tokens += sum(len(pieces(call["function"]["arguments"])) for call in message.get("tool_calls") or [])
        for part in content if isinstance(content, list) else []:
            if part.get("type") in _MEDIA:
                tokens += _MEDIA_TOKENS
            elif "text" not in part:
                tokens += len(pieces(_json(part)))
    return tokens


def text_of(content: Any) -> str:
    """The text of a message, which may be a string, a list of parts, or nothing."""
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    return content or ""


def _called(ask: Ask) -> list[str]:
    if ask.choice in ask.tools:
        return [ask.choice]
    if ask.choice == "none" or not ask.tools:
        return []
    named = [name for name in ask.tools if name in ask.last_user]
    if ask.choice == "required" and not named:
        named = [next(iter(ask.tools))]
    return named if ask.parallel else named[:1]


def _call_tokens(calls: Sequence[ToolCall]) -> Iterator[Token]:
    for position, call in enumerate(calls):
        yield Token("call", "", position)
        for piece in pieces(call.arguments):
            yield Token("call", piece, position)


def _trailing(messages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    start = len(messages)
    while start and messages[start - 1]["role"] == "tool":
        start -= 1
    for message in messages[start:]:
        yield text_of(message.get("content"))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
