"""Tokens by our own count, for answers whose provider never said: cut streams, missing usage."""

from __future__ import annotations

from proxy.chat import ChatRequest, Part, ReasoningDelta, TextDelta, ToolCallDelta, Usage
from proxy.jsontext import dumps


def tokens_in(text: str) -> int:
    """About how many tokens a text has: four ASCII characters make one, anything else counts one each."""
    if text.isascii():
        return (len(text) + 3) // 4
    ascii_characters = len(text.encode("ascii", "ignore"))
    return len(text) - ascii_characters + (ascii_characters + 3) // 4


class Tally:
    """What has been received of an answer so far: the evidence that a charge stands on."""

    __slots__ = ("output_tokens", "reasoning_tokens")

    def __init__(self) -> None:
        self.output_tokens = 0
        self.reasoning_tokens = 0

    def add(self, part: Part) -> None:
        if type(part) is TextDelta:
            self.output_tokens += tokens_in(part.text)
        elif type(part) is ReasoningDelta:
            count = tokens_in(part.text)
            self.output_tokens += count
            self.reasoning_tokens += count
        elif type(part) is ToolCallDelta:
            self.output_tokens += tokens_in(part.arguments) + tokens_in(part.name or "")

    def usage(self, chat: ChatRequest) -> Usage:
        """The estimate: the prompt's text and all that was received."""
        prompt = [chat.body.get("messages"), chat.body.get("tools")]
        return Usage(
            input_tokens=tokens_in(dumps(prompt).decode()),
            output_tokens=self.output_tokens,
            reasoning_tokens=self.reasoning_tokens,
            estimated=True,
        )
