"""MiniMax's door of Anthropic's shape, which the vendor prefers for tools: reasoning comes in blocks of its own there.

Send an answer's `reasoning_content` and `encrypted_content` back with its tool calls, and the model thinks on.

Source: the vendor's OpenAPI of text-anthropic-api; error codes as its other doors have them.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from adapters.messages_post import messages_exchange
from adapters.messages_shape import MessagesShape
from adapters.openai_errors import ErrorForm
from adapters.profile import Thinking, Within
from adapters.profile_codes import MINIMAX
from adapters.profile_errors import error_of, unwrapped
from proxy import ChatRequest, Exchange, Target

MINIMAX_SHAPE = MessagesShape(
    thinking=(Thinking(models="(?i)minimax-m3", style="type", types=("adaptive", "disabled")), Thinking(style="always")),
    budgets=False,
    stops=False,
    text_only="(?i)minimax-m2",
    within=(Within(field="temperature", low=0.01, high=1), Within(field="top_p", low=0.01, high=1)),
)
_CODE = re.compile(r"\(([0-9]{4})\)\s*$")
_of_base_resp = unwrapped(("base_resp",))


def _unwrap(body: Any) -> Any:
    """The vendor's own code, which stands in brackets at the end of an error's text, as the error's code.

    body: {"type": "error", "error": {"type": …, "message": "… (2013)"}, "request_id": …}, or one with base_resp.
    """
    body = _of_base_resp(body)
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict) or "code" in error or not isinstance(error.get("message"), str):
        return body
    told = _CODE.search(error["message"])
    return {**body, "error": {**error, "code": told[1]}} if told else body


MINIMAX_FORM = ErrorForm(unwrap=_unwrap, request_id_members=("request_id",))
minimax_error = error_of(MINIMAX)


class MiniMaxMessagesOptions(BaseModel):
    """Keys of a provider with `adapter: minimax_messages`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    region: Literal["cn", "intl"] = Field(
        default="cn", description="The platform that the API key is of; base_url goes before it."
    )
    unknown_fields: Literal["drop", "reject"] = Field(
        default="drop",
        description="Request fields that the door can't do: drop (named in x-paifang-dropped) or reject (400).",
    )


class MiniMaxMessages:
    """The adapter `minimax_messages`."""

    name = "minimax_messages"
    base_url: str | None = "https://api.minimaxi.com/anthropic"
    signer = "x-api-key"
    simulated = False
    options: type[BaseModel] = MiniMaxMessagesOptions
    prompt_overhead_tokens = 512
    """As openai_chat's: a template's fixed texts; the rest is covered by the JSON around each message."""

    def place(self, options: BaseModel) -> str:
        """The base URL of the platform that the options name."""
        assert isinstance(options, MiniMaxMessagesOptions)
        return "https://api.minimax.io/anthropic" if options.region == "intl" else "https://api.minimaxi.com/anthropic"

    def signed_by(self, options: BaseModel) -> str:
        """The same everywhere."""
        return self.signer

    def open(self, chat: ChatRequest, target: Target) -> Exchange:
        """Raises: BadRequest: the request has what this door can't do."""
        options = target.options
        assert isinstance(options, MiniMaxMessagesOptions)
        return messages_exchange(
            chat, target, MINIMAX_SHAPE, minimax_error, MINIMAX_FORM, reject_unknown=options.unknown_fields == "reject"
        )
