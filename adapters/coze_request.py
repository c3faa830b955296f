"""A Chat Completions body → the body of Coze's `POST /v3/chat`, and results of tools → those of submit_tool_outputs.

    system, developer   a question of the user, as Coze knows no such role: a bot has its own prompt
    user                a question: text, or an object_string of texts and images by URL
    assistant           an answer
    tool                at the end: the outputs that a waiting chat gets; earlier: left out

Earlier tool calls and their results are left out because Coze takes them only where it keeps no history, and it keeps one
for whoever polls or submits tool outputs. Source: developer_guides/chat_v3 and chat_submit_tool_outputs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from adapters.chat_fields import note, note_others, refuse_left_out, unsupported
from proxy import BadRequest, ChatRequest, Target, UpstreamProtocolError, dumps, refuse_unpriced

_READ = frozenset({"messages", "model", "stream", "stream_options", "user"})
_READ_AT_THE_START = frozenset({"custom_variables", "metadata", "parameters"})
_ASKS_NOTHING: Mapping[str, Any] = {
    "frequency_penalty": 0,
    "logprobs": False,
    "modalities": ["text"],
    "n": 1,
    "parallel_tool_calls": True,
    "presence_penalty": 0,
    "response_format": {"type": "text"},
    "store": True,
    "temperature": 1,
    "tool_choice": "auto",
    "top_p": 1,
}
"""Values that change nothing here, so that nobody need be told that they were left out."""
_READ_OF_MESSAGE = frozenset({"role", "content", "refusal", "tool_calls"})
_EARLIER_RESULTS = "messages[role=tool]"

_ID = re.compile(r"[0-9A-Za-z-]+")
_CALL_ID = re.compile(r"coze_([0-9A-Za-z-]+)_([0-9A-Za-z-]+)_(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ChatId:
    """A chat and the conversation it is in. Both go into URLs, so they are letters, digits and hyphens."""

    conversation: str
    chat: str

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """values: a Chat object of Coze's. Raises: UpstreamProtocolError: its ids are none."""
        ids = [values.get(name) for name in ("conversation_id", "id")]
        if not all(isinstance(one, str) and _ID.fullmatch(one) for one in ids):
            raise UpstreamProtocolError("The provider answered with a chat without ids.", detail=repr(dict(values))[:500])
        return cls(*map(str, ids))

    @property
    def query(self) -> str:
        return f"?conversation_id={self.conversation}&chat_id={self.chat}"

    def call_id(self, tool_call: str) -> str:
        """The id a client gets for a tool call: what finds the chat again, whoever asks next."""
        return f"coze_{self.conversation}_{self.chat}_{tool_call}"


@dataclass(frozen=True, slots=True)
class ToolResults:
    """What the tools of a waiting chat answered."""

    chat: ChatId
    outputs: Mapping[str, str]
    """{Coze's id of the tool call: the result}."""

    def body(self, *, stream: bool) -> dict[str, Any]:
        outputs = [{"tool_call_id": call, "output": output} for call, output in self.outputs.items()]
        return {"tool_outputs": outputs, "stream": stream}


def chat_body(
    chat: ChatRequest, target: Target, *, user_id: str, stream: bool, reject_unknown: bool
) -> tuple[dict[str, Any] | ToolResults, list[str]]:
    """The body to send, or the results to submit; and the fields that were left out.

    Raises: BadRequest (unsupported_parameter): a message or part that can't be said and can't be left out, or, with
    reject_unknown, any field that would be.
    """
    asked = chat.body
    refuse_unpriced(chat, [target])
    if chat.n > 1:
        raise unsupported("'n' above 1", "n")
    messages = asked["messages"]
    goes_on = messages[-1]["role"] == "tool"
    read = _READ if goes_on else _READ | _READ_AT_THE_START
    left_out = sorted(name for name in asked.keys() - read if not _asks_nothing(name, asked[name]))
    said: dict[str, Any] | ToolResults
    if goes_on:
        said = _results(messages)
    else:
        said = {
            "bot_id": target.upstream_model,
            "user_id": asked.get("user", user_id),
            "stream": stream,
            "auto_save_history": True,
            "additional_messages": _messages(messages, left_out),
        }
        said |= {name: asked[name] for name in ("custom_variables", "parameters") if asked.get(name)}
        if asked.get("metadata"):
            said["meta_data"] = asked["metadata"]
    if reject_unknown:
        refuse_left_out(left_out)
    return said, left_out


def _asks_nothing(name: str, value: Any) -> bool:
    if name in _ASKS_NOTHING:
        return bool(value == _ASKS_NOTHING[name])
    return value in ("", [], {})


def _results(messages: Sequence[Mapping[str, Any]]) -> ToolResults:
    """Raises: BadRequest: a result of a tool call that no chat of Coze made, or of several chats."""
    first = len(messages)
    while first and messages[first - 1]["role"] == "tool":
        first -= 1
    found: ChatId | None = None
    outputs: dict[str, str] = {}
    for at, message in enumerate(messages[first:], first):
        place = f"messages[{at}]"
        known = _CALL_ID.fullmatch(str(message.get("tool_call_id")))
        if known is None or found not in (None, ChatId(known[1], known[2])):
            raise BadRequest(
                "The results at the end must answer the tool calls of one answer of this model.",
                code="unsupported_parameter",
                param=f"{place}.tool_call_id",
            )
        found = ChatId(known[1], known[2])
        outputs[known[3]] = _text(message.get("content"), place)
    assert found is not None
    return ToolResults(found, outputs)


def _messages(messages: Sequence[Mapping[str, Any]], left_out: list[str]) -> list[dict[str, Any]]:
    """left_out: gets the names of members that have no place there: "messages[].name"."""
    said: list[dict[str, Any]] = []
    for at, message in enumerate(messages):
        place = f"messages[{at}]"
        match message["role"]:
            case "tool":
                note(_EARLIER_RESULTS, left_out)
                continue
            case "assistant":
                text = _text(message.get("content"), place) + _text(message.get("refusal"), place)
                if message.get("tool_calls"):
                    note("messages[].tool_calls", left_out)
                if text:
                    said.append({"role": "assistant", "type": "answer", "content_type": "text", "content": text})
            case "user":
                said.append({"role": "user", "type": "question", **_content(message["content"], place, left_out)})
            case "system" | "developer":
                text = _text(message["content"], place)
                said.append({"role": "user", "type": "question", "content_type": "text", "content": text})
            case role:
                raise unsupported(f"messages of role {role!r}", f"{place}.role")
        note_others(message, _READ_OF_MESSAGE, "messages[]", left_out)
        for part in message["content"] if isinstance(message.get("content"), list) else ():
            note_others(part, ("type", part["type"]), "messages[].content[]", left_out)
    if messages[-1]["role"] == "assistant":
        raise unsupported("an answer that the model shall go on with", f"messages[{len(messages) - 1}].role")
    return said


def _content(content: Any, place: str, left_out: list[str]) -> dict[str, str]:
    """A text, or an object_string, which is JSON within JSON."""
    if isinstance(content, str) or all(part["type"] == "text" for part in content):
        return {"content_type": "text", "content": _text(content, place)}
    objects: list[dict[str, str]] = []
    for at, part in enumerate(content):
        if part["type"] == "text":
            objects.append({"type": "text", "text": part["text"]})
        elif part["type"] == "image_url":
            objects.append({"type": "image", "file_url": _image(part, f"{place}.content[{at}]", left_out)})
        else:
            raise unsupported(f"content parts of type {part['type']!r}", f"{place}.content[{at}].type")
    return {"content_type": "object_string", "content": dumps(objects).decode()}


def _image(part: Mapping[str, Any], place: str, left_out: list[str]) -> str:
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, Mapping) else None
    if not isinstance(image, Mapping) or not isinstance(url, str):
        raise BadRequest(f"'{place}.image_url.url' must be a string.", param=f"{place}.image_url.url")
    if not url.lower().startswith(("https://", "http://")):
        raise unsupported("images other than by http(s) URL", f"{place}.image_url.url")
    if image.get("detail") not in (None, "auto"):
        note("messages[].content[].image_url.detail", left_out)
    return url


def _text(content: Any, place: str) -> str:
    """The text of a message, of text and refusal parts, or of nothing."""
    if content is None or isinstance(content, str):
        return content or ""
    texts: list[str] = []
    for at, part in enumerate(content):
        kind = part["type"]
        if kind not in ("text", "refusal") or not isinstance(part.get(kind), str):
            raise unsupported(f"content parts of type {kind!r} here", f"{place}.content[{at}].type")
        texts.append(part[kind])
    return "".join(texts)
