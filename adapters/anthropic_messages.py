"""Anthropic's Messages, which many vendors have beside OpenAI's dialect: `base_url` says whose (docs/providers.md).

What is sent is what Anthropic's first version had. MiniMax has an adapter of its own, minimax_messages.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from adapters.messages_post import messages_exchange
from adapters.messages_shape import ANTHROPIC_SHAPE
from adapters.openai_errors import ErrorForm, openai_error
from proxy import ChatRequest, Exchange, Target

ANTHROPIC_FORM = ErrorForm(request_id_members=("request_id",))


class AnthropicMessagesOptions(BaseModel):
    """Keys of a provider with `adapter: anthropic_messages`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    auth: Literal["x-api-key", "bearer"] = Field(
        default="x-api-key", description="The header that the API key goes into: x-api-key, or Authorization: Bearer."
    )
    unknown_fields: Literal["drop", "reject"] = Field(
        default="drop",
        description="Request fields that the door can't do: drop (named in x-paifang-dropped) or reject (400).",
    )


class AnthropicMessages:
    """The adapter `anthropic_messages`."""

    name = "anthropic_messages"
    base_url: str | None = None
    signer = "x-api-key"
    simulated = False
    options: type[BaseModel] = AnthropicMessagesOptions
    prompt_overhead_tokens = 512
    """As openai_chat's: a template's fixed texts; the rest is covered by the JSON around each message."""

    def place(self, options: BaseModel) -> str:
        """None is known."""
        return ""

    def signed_by(self, options: BaseModel) -> str:
        """The signer that the options name."""
        assert isinstance(options, AnthropicMessagesOptions)
        return options.auth

    def open(self, chat: ChatRequest, target: Target) -> Exchange:
        """Raises: BadRequest: the request has what this door can't do."""
        options = target.options
        assert isinstance(options, AnthropicMessagesOptions)
        return messages_exchange(
            chat, target, ANTHROPIC_SHAPE, openai_error, ANTHROPIC_FORM, reject_unknown=options.unknown_fields == "reject"
        )
