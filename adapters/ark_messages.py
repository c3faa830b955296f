"""Volcengine Ark's door of Anthropic's shape, `/v1/messages`, which BytePlus and the coding and agent plans have too.

Source: Ark's documents 82379/2655179 and 2160841, and the vendor's SDK. Plans are licensed for interactive coding tools; a
gateway in front of one may be taken for abuse.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from adapters.ark import plan_advice
from adapters.ark_errors import ark_error
from adapters.messages_request import messages_body
from adapters.messages_response import MessageReader
from adapters.one_post import OnePost
from proxy import BadRequest, ChatRequest, Exchange, Send, Target, dumps

_FREE_TIERS = ("auto", "default")


class ArkMessagesOptions(BaseModel):
    """Keys of a provider with `adapter: ark_messages`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    unknown_fields: Literal["drop", "reject"] = Field(
        default="drop",
        description="Request fields that the door can't do: drop (named in x-paifang-dropped) or reject (400).",
    )


class ArkMessages:
    """The adapter `ark_messages`."""

    name = "ark_messages"
    base_url: str | None = "https://ark.cn-beijing.volces.com/api/compatible"
    signer = "bearer"
    simulated = False
    options: type[BaseModel] = ArkMessagesOptions
    prompt_overhead_tokens = 512
    """As openai_chat's: a template's fixed texts; the rest is covered by the JSON around each message."""

    def open(self, chat: ChatRequest, target: Target) -> Exchange:
        """Raises: BadRequest: the request has what this door can't do."""
        options = target.options
        assert isinstance(options, ArkMessagesOptions)
        body, dropped = messages_body(chat, target, reject_unknown=options.unknown_fields == "reject")
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
        return OnePost(send, MessageReader(None if tier in _FREE_TIERS else tier), ark_error, dropped)

    def advise(self, base_url: str) -> Sequence[str]:
        return plan_advice(base_url)
