"""OpenAI's Chat Completions as a provider's dialect: the same as our clients', so bytes pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from adapters.embeddings import openai_embeddings
from adapters.one_post import OnePost
from adapters.openai_errors import openai_error
from adapters.openai_request import openai_body
from adapters.openai_stream import OPENAI, ChatReader, Dialect
from proxy import ChatRequest, Exchange, Send, Target, dumps


class OpenAIChatOptions(BaseModel):
    """Keys of a provider that speaks OpenAI's dialect."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = Field(default="/chat/completions", pattern=r"^/\S*$", description="Appended to base_url.")
    cap_field: Literal["max_tokens", "max_completion_tokens"] = Field(
        default="max_tokens",
        description="Where the output cap is written when the client gives none: max_tokens, which every "
        "relay and local server knows, or max_completion_tokens, which OpenAI's reasoning models insist on.",
    )
    usage_in_stream: bool = Field(
        default=True,
        description="Ask for usage in streams with stream_options. false for providers that refuse it; "
        "what they don't report is estimated.",
    )


class OpenAIChat:
    """The adapter of any provider whose door is OpenAI's Chat Completions."""

    name = "openai_chat"
    base_url: str | None = None
    signer = "bearer"
    simulated = False
    options: type[BaseModel] = OpenAIChatOptions
    prompt_overhead_tokens = 512
    """What a chat template adds per message (some ten tokens) is covered by the JSON around the message,
    which is longer. A template's fixed texts are not: the default system prompt of a model and its
    instructions for tools, of which the longest that we know take some 300 tokens."""

    def open(self, chat: ChatRequest, target: Target) -> Exchange:
        options = target.options
        assert isinstance(options, OpenAIChatOptions)
        body, dropped = openai_body(chat, target, cap_field=options.cap_field, ask_for_usage=options.usage_in_stream)
        return exchange(post(options.path, body, stream=chat.stream), chat, dropped=dropped)

    def open_embeddings(self, chat: ChatRequest, target: Target) -> Exchange:
        return openai_embeddings(chat, target, openai_error)


def post(path: str, body: Mapping[str, Any], *, stream: bool) -> Send:
    """The request that every vendor of the dialect takes."""
    accept = "text/event-stream" if stream else "application/json"
    return Send(path=path, body=dumps(body), headers={"accept": accept}, stream=stream)


def exchange(send: Send, chat: ChatRequest, dialect: Dialect = OPENAI, dropped: Sequence[str] = ()) -> Exchange:
    """One POST, answered in OpenAI's dialect or in a vendor's version of it."""
    return OnePost(send, ChatReader(chat, dialect), dialect.error, dropped, dialect.form)
