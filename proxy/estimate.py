"""Tokens by our own count: before a provider has said, and for answers of which it never says: cut streams, missing usage."""

from __future__ import annotations

from proxy.chat import (
    FINISH_REASONS,
    ChatRequest,
    Extra,
    Finish,
    Part,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from proxy.jsontext import dumps

BYTES_PER_TOKEN = 4
USUAL_ANSWER_TOKENS = 1024
"""Counted for an answer whose client set no cap: models' own caps are many times what answers come to."""


def expected_tokens(chat: ChatRequest, cap: int | None = None) -> int:
    """About how many tokens a request will come to: the prompt by its bytes, and the client's own cap or else a usual answer.

    cap: what no answer is longer than.
    """
    answer = chat.max_output_tokens or USUAL_ANSWER_TOKENS
    if cap is not None and cap < answer:
        answer = cap
    return -(-chat.body_bytes // BYTES_PER_TOKEN) + chat.n * answer


def tokens_in(text: str) -> int:
    """About how many tokens a text has: four ASCII characters make one, anything else counts one each."""
    if text.isascii():
        return (len(text) + 3) // 4
    ascii_characters = len(text.encode("ascii", "ignore"))
    return len(text) - ascii_characters + (ascii_characters + 3) // 4


class Tally:
    """What has been received of an answer so far: the evidence that a charge stands on."""

    __slots__ = ("finished", "output_tokens", "reasoning_tokens")

    def __init__(self) -> None:
        self.output_tokens = 0
        self.reasoning_tokens = 0
        self.finished = False
        """A choice has come to its end."""

    def add(self, part: Part) -> None:
        """Raises: TypeError, ValueError: it is no Part."""
        if type(part) is TextDelta:
            self.output_tokens += tokens_in(part.text)
        elif type(part) is ReasoningDelta:
            count = tokens_in(part.text)
            self.output_tokens += count
            self.reasoning_tokens += count
        elif type(part) is ToolCallDelta:
            self.output_tokens += tokens_in(part.arguments) + tokens_in(part.name or "")
        elif type(part) is Finish:
            if part.reason not in FINISH_REASONS:
                raise ValueError(f"{part.reason!r} is no finish reason of OpenAI's")
            self.finished = True
        elif not isinstance(part, (Started, Extra)):
            raise TypeError(f"an adapter answered with {type(part).__name__}, which is no ChatEvent")

    def usage(self, chat: ChatRequest) -> Usage:
        """The estimate: the prompt's text and all that was received."""
        prompt = [chat.body.get("messages", chat.body.get("input")), chat.body.get("tools")]
        return Usage(
            input_tokens=tokens_in(dumps(prompt).decode()),
            output_tokens=self.output_tokens,
            reasoning_tokens=self.reasoning_tokens,
            estimated=True,
        )
