"""The texts of an answer as some families write them: reasoning elsewhere, marks by mistake, everything said again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from adapters.openai_answer import index_of
from adapters.think_tags import ThinkTags

Values = dict[str, Any]


def rename_reasoning(names: Sequence[str]) -> Callable[[Values, str], bool]:
    """Reasoning under these names becomes reasoning_content."""

    def step(values: Values, member: str) -> bool:
        changed = False
        for _, _, message in messages_of(values, member):
            for name in names:
                if name in message:
                    text = _text_of(message.pop(name))
                    changed = True
                    if text and not message.get("reasoning_content"):
                        message["reasoning_content"] = text
        return changed

    return step


class FullTexts:
    """Texts that repeat what was said before, of which only the new end is kept; one that does not is a piece as usual."""

    def __init__(self, reasoning_names: Sequence[str]) -> None:
        self._names = ("content", "reasoning_content", *reasoning_names)
        self._said: dict[tuple[int, str], str] = {}

    def __call__(self, values: Values, member: str) -> bool:
        changed = False
        for index, _, message in messages_of(values, member) if member == "delta" else ():
            for name in self._names:
                text = _text_of(message.get(name))
                if not text:
                    continue
                said = self._said.get((index, name), "")
                if said and text.startswith(said):
                    message[name] = text[len(said) :]
                    changed = True
                    self._said[index, name] = text
                else:
                    self._said[index, name] = said + text
        return changed


class SplitReasoning:
    """Reasoning between <think> and </think> leaves the text."""

    def __init__(self) -> None:
        self._tags: dict[int, ThinkTags] = {}

    def __call__(self, values: Values, member: str) -> bool:
        changed = False
        for index, choice, message in messages_of(values, member):
            content = message.get("content")
            content = content if isinstance(content, str) else ""
            tags = self._tags.setdefault(index, ThinkTags())
            reasoning, text = tags.feed(content)
            if choice.get("finish_reason") or member == "message":
                more = tags.end()
                reasoning, text = reasoning + more[0], text + more[1]
            if text == content and not reasoning:
                continue
            changed = True
            message["content"] = text
            if reasoning:
                message["reasoning_content"] = (message.get("reasoning_content") or "") + reasoning
        return changed


class DroppedMarks:
    """Marks leave the text, wherever they are cut."""

    def __init__(self, marks: Sequence[str]) -> None:
        self._marks = marks
        self._held: dict[int, str] = {}

    def __call__(self, values: Values, member: str) -> bool:
        changed = False
        for index, choice, message in messages_of(values, member):
            content = message.get("content")
            content = content if isinstance(content, str) else ""
            text = self._held.pop(index, "") + content
            for mark in self._marks:
                text = text.replace(mark, "")
            if not choice.get("finish_reason") and member == "delta":
                kept = len(text) - self._begun_at_end(text)
                self._held[index], text = text[kept:], text[:kept]
            if text != content:
                message["content"] = text
                changed = True
        return changed

    def _begun_at_end(self, text: str) -> int:
        """How many characters at the text's end may be the beginning of a mark."""
        longest = 0
        for mark in self._marks:
            for size in range(1, len(mark)):
                if text.endswith(mark[:size]):
                    longest = max(longest, size)
        return longest


def messages_of(values: Values, member: str) -> Iterator[tuple[int, Values, Values]]:
    """(index, choice, message) of each choice that says or ends something."""
    for choice in values.get("choices") or ():
        if choice.get(member) is None and choice.get("finish_reason"):
            choice[member] = {}
        message = choice.get(member)
        if isinstance(message, dict):
            yield index_of(choice), choice, message


def _text_of(value: Any) -> str:
    """A text, or the texts of a list of details."""
    if isinstance(value, list):
        return "".join(str(part.get("text") or "") for part in value if isinstance(part, dict))
    return value if isinstance(value, str) else ""
