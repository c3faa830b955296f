"""Volcengine Ark's door of Anthropic's shape, `/v1/messages`, which BytePlus and the coding and agent plans have too.

`output_config.effort`, `output_format`, thinking without a budget, strict tools and turns of role system are there beside what
Anthropic's first version had, as the vendor's own SDK types them (arkruntime 0.17, types/messages).

Source: Ark's documents 82379/2655179 and 2160841, and the vendor's SDK. Plans are licensed for interactive coding tools; a
gateway in front of one may be taken for abuse.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from adapters.ark import plan_advice
from adapters.ark_errors import ark_error
from adapters.messages_post import messages_exchange
from adapters.messages_shape import MessagesShape
from adapters.openai_errors import OPENAI_FORM
from proxy import ChatRequest, Exchange, Target

ARK_SHAPE = MessagesShape(effort=True, formats=True, strict_tools=True, system_turns=True, tiers=("flex",), within=())


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
        return messages_exchange(
            chat, target, ARK_SHAPE, ark_error, OPENAI_FORM, reject_unknown=options.unknown_fields == "reject"
        )

    def advise(self, base_url: str) -> Sequence[str]:
        return plan_advice(base_url)
