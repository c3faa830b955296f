"""The keys of a provider with `adapter: dashscope`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class DashScopeOptions(BaseModel):
    """Keys of a provider with `adapter: dashscope`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    region: Literal["cn", "intl", "us"] = Field(
        default="cn", description="The platform that the API key is of; base_url goes before it."
    )
    workspace: str = Field(default="", description="The workspace to call in, by its id; empty: the API key's own.")
    generation: Literal["auto", "text", "multimodal"] = Field(
        default="auto",
        description="Where the models are: text-generation or multimodal-generation. auto: by the model's name, and where "
        "DashScope says that a model is at the other, there.",
    )
    stream_only: bool = Field(
        default=False,
        description="Call every model as a stream, also where the client wants JSON; the models that are known to answer "
        "in streams alone, and those that think, are called so anyway.",
    )
    max_thinking_tokens: int | None = Field(
        default=None,
        ge=1,
        description="Where a request thinks and names no budget, half of its output cap is for thinking, and at most this "
        "many tokens. Set it where a model's own limit is lower.",
    )
    unknown_fields: Literal["drop", "reject"] = Field(
        default="drop",
        description="Request fields that the door can't do: drop (named in x-paifang-dropped) or reject (400).",
    )
