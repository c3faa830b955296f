"""Embeddings in OpenAI's dialect, and in Ark's: `POST /embeddings`, one vector for each input.

Ark embeds texts there, and texts with pictures and videos at `/embeddings/multimodal`, where all of the input becomes one
vector and `data` is an object; clients get a list of one. Source: facts of the vendor's SDK, types/multimodal_embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from adapters.one_post import OnePost
from adapters.openai_errors import OPENAI_FORM, ErrorForm, Refusal
from adapters.openai_request import REDIRECTING, take_out
from adapters.sse import SseEvent
from proxy import (
    Answer,
    BadRequest,
    ChatEvent,
    ChatRequest,
    Exchange,
    Finish,
    Send,
    Target,
    UpstreamError,
    UpstreamProtocolError,
    Usage,
    dumps,
)

ErrorOf = Callable[[Refusal], UpstreamError]

_OF_ARK = frozenset({"dimensions", "encoding_format", "input", "model", "user"})
_OF_ARK_MULTIMODAL = _OF_ARK | {"instructions", "multi_embedding", "sparse_embedding"}


def openai_embeddings(
    chat: ChatRequest, target: Target, error_of: ErrorOf, form: ErrorForm = OPENAI_FORM
) -> Exchange:
    """One request as the client wrote it."""
    body = dict(chat.body)
    dropped = take_out(body, REDIRECTING)
    return _exchange("/embeddings", body, chat, target, error_of, dropped, form)


def ark_embeddings(chat: ChatRequest, target: Target, error_of: ErrorOf) -> Exchange:
    """One request at the door for what the input holds. Raises: BadRequest: tokens, which Ark doesn't take."""
    body, given = dict(chat.body), chat.body["input"]
    first = given[0] if isinstance(given, list) else given
    if isinstance(first, (int, list)):
        raise BadRequest("'input' must be text here: tokens are not taken.", code="unsupported_parameter", param="input")
    multimodal = isinstance(first, dict)
    known = _OF_ARK_MULTIMODAL if multimodal else _OF_ARK
    dropped = take_out(body, frozenset(body) - known)
    return _exchange("/embeddings/multimodal" if multimodal else "/embeddings", body, chat, target, error_of, dropped)


def _exchange(
    path: str,
    body: dict[str, Any],
    chat: ChatRequest,
    target: Target,
    error_of: ErrorOf,
    dropped: Sequence[str],
    form: ErrorForm = OPENAI_FORM,
) -> Exchange:
    body["model"] = target.upstream_model
    send = Send(path=path, body=dumps(body), headers={"accept": "application/json"})
    return OnePost(send, EmbeddingsReader(chat.model), error_of, dropped, form)


class EmbeddingsReader:
    """Reads one answer, which never is a stream."""

    reported = None
    anomalies = ()

    def __init__(self, alias: str) -> None:
        self.done = False
        self.repeated = None
        self._alias = alias

    def event(self, sse: SseEvent, values: dict[str, Any]) -> Sequence[ChatEvent]:
        raise UpstreamProtocolError("The provider answered with events where embeddings were asked for.")

    def comment(self, sse: SseEvent) -> Sequence[ChatEvent]:
        return ()

    def end(self, *, said: bool) -> Sequence[ChatEvent]:
        raise UpstreamProtocolError("The provider answered with an empty stream where embeddings were asked for.")

    def whole(self, values: dict[str, Any]) -> Sequence[ChatEvent]:
        data = values.get("data")
        if isinstance(data, Mapping):
            data = [{"index": 0, **data}]
        if not isinstance(data, list) or not data or not all(isinstance(item, dict) and "embedding" in item for item in data):
            raise UpstreamProtocolError("The provider answered with JSON that holds no embeddings.", detail=repr(values)[:500])
        block = values.pop("usage", None)
        answer = Answer({**values, "object": "list", "data": data, "model": self._alias}, (Finish("stop"),))
        usage = _usage(block)
        return [answer] if usage is None else [answer, usage]


def _usage(block: Any) -> Usage | None:
    """block: {"prompt_tokens": int, "total_tokens"?: int, …}. None where it can't be used: an estimate is billed."""
    count = block.get("prompt_tokens", block.get("total_tokens")) if isinstance(block, Mapping) else None
    if type(count) is not int or count < 0:
        return None
    return Usage(input_tokens=count, output_tokens=0, reported=dict(block))
