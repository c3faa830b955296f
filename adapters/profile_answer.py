"""A family's answers → OpenAI's, by its profile: each difference is one step on a chunk, or on a whole answer.

A step changes the values in place and says whether it did. Where no step changes anything, the event's bytes pass as they
came; a profile without steps is read by ChatReader itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from adapters.openai_answer import choices_of
from adapters.openai_errors import Refusal, failed
from adapters.openai_stream import ChatReader, Dialect
from adapters.profile import Profile
from adapters.profile_request import fits
from adapters.profile_texts import DroppedMarks, FullTexts, SplitReasoning, messages_of, rename_reasoning
from adapters.profile_tools import ToolCalls
from adapters.repeated_chunk import RepeatedChunk
from adapters.sse import SseEvent
from proxy import ChatEvent, ChatRequest, Progress, Usage, dumps

Values = dict[str, Any]
Step = Callable[[Values, str], bool]
"""(a chunk or an answer, where a choice has its message: "delta" or "message") → whether it was changed."""


def steps_of(profile: Profile, model: str, *, cumulative: bool) -> tuple[list[Step], bool]:
    """What to do with one answer of this model, and whether the texts of all its chunks must be looked at."""
    marks = [mark for models, mark in profile.dropped_marks if fits(models, model)]
    steps: list[Step] = []
    if profile.repeats_message:
        steps.append(drop_repeated_message)
    if cumulative:
        steps.append(FullTexts(profile.reasoning_names))
    if profile.reasoning_names:
        steps.append(rename_reasoning(profile.reasoning_names))
    if profile.think_tags:
        steps.append(SplitReasoning())
    if marks:
        steps.append(DroppedMarks(marks))
    if profile.tool_index_fix or profile.tool_object_fix:
        steps.append(ToolCalls(objects=profile.tool_object_fix))
    if profile.usage_in_choice:
        steps.append(take_usage_out_of_choices)
    if profile.finish_reasons:
        steps.append(finish_as(profile.finish_reasons))
    if profile.usage_ends:
        steps.append(FinishWithUsage())
    return steps, cumulative or profile.think_tags or bool(marks)


class MendingReader:
    """Reads an answer by way of steps; what comes of them is OpenAI's, and read as such."""

    def __init__(self, chat: ChatRequest, dialect: Dialect, steps: Sequence[Step], *, all_texts: bool) -> None:
        self._reader = ChatReader(chat, dialect)
        self._steps = steps
        self._all_texts = all_texts

    @property
    def done(self) -> bool:
        return self._reader.done

    @property
    def repeated(self) -> RepeatedChunk | None:
        # A chunk that differs from the last one in its text alone has nothing that the other steps look for.
        return None if self._all_texts else self._reader.repeated

    @property
    def reported(self) -> Usage | None:
        return self._reader.reported

    @property
    def anomalies(self) -> Sequence[str]:
        return self._reader.anomalies

    def event(self, sse: SseEvent, values: Values) -> Sequence[ChatEvent]:
        said_something = bool(choices_of(values))
        if self._mended(values, "delta"):
            if said_something and not values["choices"] and values.get("usage") is None:
                return ()
            data = dumps(values).decode()
            sse = SseEvent(f"data: {data}\n\n".encode(), "", data, len("data: "))
        return self._reader.event(sse, values)

    def comment(self, sse: SseEvent) -> Sequence[ChatEvent]:
        return self._reader.comment(sse)

    def end(self, *, said: bool) -> Sequence[ChatEvent]:
        return self._reader.end(said=said)

    def whole(self, values: Values) -> Sequence[ChatEvent]:
        choices_of(values)
        self._mended(values, "message")
        return self._reader.whole(values)

    def _mended(self, values: Values, member: str) -> bool:
        changed = False
        for step in self._steps:
            changed = step(values, member) or changed
        return changed


def drop_repeated_message(values: Values, member: str) -> bool:
    """Of a stream's last chunk, which says everything once more, only the usage is new."""
    if member != "delta" or values.get("object") != "chat.completion" or not values.get("choices"):
        return False
    values["choices"] = []
    return True


def take_usage_out_of_choices(values: Values, member: str) -> bool:
    """Usage within a choice is the same that stands beside them, or is all there is."""
    told = [choice.pop("usage") for choice in values.get("choices") or () if "usage" in choice]
    if told and values.get("usage") is None:
        values["usage"] = told[-1]
    return bool(told)


def finish_as(reasons: Mapping[str, str]) -> Step:
    """Finish reasons in OpenAI's words. Raises: UpstreamFailed: one stands for a failure."""

    def step(values: Values, member: str) -> bool:
        changed = False
        for choice in values.get("choices") or ():
            told = choice.get("finish_reason")
            if told is None or (ours := reasons.get(told) if isinstance(told, str) else None) is None:
                continue
            if ours == "error":
                error = failed(Refusal(status=200, code=told))
                error.progress = Progress.HEADERS_ONLY
                raise error
            choice["finish_reason"] = ours
            changed = True
        return changed

    return step


class FinishWithUsage:
    """The chunk with usage is the last: a choice that has not said so ends with it."""

    def __init__(self) -> None:
        self._called: set[int] = set()
        self._ended: set[int] = set()

    def __call__(self, values: Values, member: str) -> bool:
        changed = False
        for index, choice, message in messages_of(values, member):
            if message.get("tool_calls"):
                self._called.add(index)
            if values.get("usage") is not None and not choice.get("finish_reason") and index not in self._ended:
                choice["finish_reason"] = "tool_calls" if index in self._called else "stop"
                changed = True
            if choice.get("finish_reason"):
                self._ended.add(index)
        return changed
