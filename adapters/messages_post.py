"""One POST to a door of Anthropic's shape, and its answer."""

from __future__ import annotations

from collections.abc import Callable

from adapters.messages_request import messages_body
from adapters.messages_response import MessageReader
from adapters.messages_shape import MessagesShape
from adapters.one_post import OnePost
from adapters.openai_errors import ErrorForm, Refusal
from proxy import BadRequest, ChatRequest, Exchange, Send, Target, UpstreamError, dumps

_FREE_TIERS = ("auto", "default")


def messages_exchange(
    chat: ChatRequest,
    target: Target,
    shape: MessagesShape,
    error_of: Callable[[Refusal], UpstreamError],
    form: ErrorForm,
    *,
    reject_unknown: bool,
) -> Exchange:
    """Begin an attempt. Raises: BadRequest: the request has what this door can't do."""
    body, dropped = messages_body(chat, target, shape, reject_unknown=reject_unknown)
    try:
        data = dumps(body)
    except RecursionError:  # a body is at most 64 levels deep, but not the JSON text of a tool call's arguments
        raise BadRequest("The arguments of a tool call nest too deeply.", param="messages") from None
    tier = body.get("service_tier")
    accept = "text/event-stream" if chat.stream else "application/json"
    send = Send(
        path="/v1/messages",
        body=data,
        headers={"accept": accept, "anthropic-version": "2023-06-01"},
        stream=chat.stream,
    )
    return OnePost(send, MessageReader(None if tier in _FREE_TIERS else tier), error_of, dropped, form)
