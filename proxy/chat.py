"""What is asked and what is answered: values without ids, storage or network.

A client's request is a ChatRequest. An adapter answers with ChatEvents, in this order:

    Started, then any of (TextDelta | ReasoningDelta | ToolCallDelta | Extra | Verbatim), Finish per choice, Usage

whether the provider streams or not, and whether the client streams or not; Usage may come earlier, as soon as it is
known. `proxy/streaming.py` turns them into the client's bytes. A provider that speaks OpenAI's own dialect passes its
events as Verbatim (stream) or Answer (JSON), so that nothing is written anew that need not change; `parts` says what they
mean, for plugins and for estimates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

FINISH_REASONS = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})
NO_CALLS: Mapping[str, int] = MappingProxyType({})


Task = Literal["chat", "embeddings"]
"""What is asked of a model, and what a model is for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """A checked Chat Completions request or, as its `task` says, an Embeddings request. Nobody changes `body` in place."""

    task: Task = "chat"
    body: Mapping[str, Any]
    """OpenAI's request object, top-level nulls dropped."""
    body_bytes: int
    """Size of the JSON text in UTF-8: at least as many as its tokens."""
    model: str
    """What the client asked for: a model or an alias."""
    stream: bool = False
    include_usage: bool = False
    """The client asked for usage in the stream."""
    n: int = 1
    max_output_tokens: int | None = None
    """The client's own cap: the lower of max_tokens and max_completion_tokens."""

    @property
    def shared_prompt(self) -> str | None:
        """What requests with the same beginning have in common, as the client says: its prompt_cache_key, or else its user."""
        named = self.body.get("prompt_cache_key") or self.body.get("user")
        return named if isinstance(named, str) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """What the provider says of the answer as a whole."""

    id: str | None = None
    created: int | None = None
    """Unix seconds."""
    model: str | None = None
    """The provider's own name of what answered, for the log."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Other top-level members to pass on: service_tier, system_fingerprint."""


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the answer's text."""

    text: str
    index: int = 0


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """A piece of the reasoning, `reasoning_content` in Chat Completions."""

    text: str
    index: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallDelta:
    """A piece of a tool call: the first has id and name, later ones add to the arguments."""

    position: int
    """Which of the message's tool calls, from 0."""
    id: str | None = None
    name: str | None = None
    arguments: str = ""
    index: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Extra:
    """Members of the message that have no event of their own: refusal, annotations, encrypted_content, logprobs."""

    delta: Mapping[str, Any] = field(default_factory=dict)
    """Members of `message` (of `delta` in a stream)."""
    choice: Mapping[str, Any] = field(default_factory=dict)
    """Members of the choice itself: logprobs."""
    index: int = 0


@dataclass(frozen=True, slots=True)
class Finish:
    """A choice is complete. reason is one of FINISH_REASONS."""

    reason: str
    index: int = 0


class Usage(NamedTuple):
    """Tokens, as the provider counted them or, with `estimated`, as we did.

    cached_input_tokens, cache_write_tokens and audio_input_tokens are parts of input_tokens; reasoning_tokens and
    audio_output_tokens are parts of output_tokens.
    """

    input_tokens: int
    output_tokens: int
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    estimated: bool = False
    service_tier: str | None = None
    """The tier the provider says it served, where that changes the price."""
    tool_calls: Mapping[str, int] = NO_CALLS
    """Calls of the provider's built-in tools, by the tool's name, where they are priced."""
    reported: Mapping[str, Any] | None = None
    """The provider's block in OpenAI's shape, details and all, passed on to the client."""


@dataclass(frozen=True, slots=True)
class Verbatim:
    """One event of a stream in OpenAI's own dialect, to be passed byte for byte."""

    raw: bytes
    """The whole event with its blank line."""
    parts: tuple[Part, ...] = ()
    """What it says, the same as a translating adapter would have answered."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole JSON answer in OpenAI's own dialect; `usage` is left to the Usage event that follows."""

    body: Mapping[str, Any]
    parts: tuple[Part, ...] = ()


Part = Started | TextDelta | ReasoningDelta | ToolCallDelta | Extra | Finish
ChatEvent = Part | Verbatim | Answer | Usage
