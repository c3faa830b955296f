"""Answers by itself, offline: to try the gateway, its budgets and its fallbacks without an account.

    providers:
      simulator: {adapter: simulator}                            # says what it is and repeats the question
      slow: {adapter: simulator, delay_ms: 800, chunk_delay_ms: 50, words: 400}
      busy: {adapter: simulator, fail: {status: 429, retry_after_s: 2}}
      broken: {adapter: simulator, fail: {after_chunks: 5, when: break}}     # if the question says "break"

The same request gets the same answer. Its usage is counted from the request and the answer: a token for four
bytes of input, one for each word of output.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from adapters.openai_errors import Refusal, openai_error
from adapters.simulator_answer import Speech, compose, fingerprint, input_tokens, last_text, refuse_too_long, tokens
from adapters.simulator_embeddings import SimulatedEmbeddings
from proxy import (
    DONE,
    ChatRequest,
    Emit,
    Exchange,
    Finish,
    Part,
    Progress,
    ReasoningDelta,
    Started,
    Step,
    StreamTruncated,
    Target,
    TextDelta,
    ToolCallDelta,
    UpstreamError,
    Usage,
    Wait,
    refuse_unpriced,
)

_HEEDED = frozenset(
    {
        "enable_thinking",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "model",
        "n",
        "parallel_tool_calls",
        "reasoning_effort",
        "response_format",
        "seed",
        "service_tier",
        "stop",
        "stream",
        "stream_options",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_p",
        "user",
    }
)
"""Fields that shape the answer, or that an answer without chance satisfies anyway."""


class Fault(BaseModel):
    """What goes wrong: an error with `status`, a silence with `stall_s`, otherwise the answer breaks off."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: int | None = Field(None, ge=400, le=599, description="Fail with this HTTP status of the provider.")
    code: str = Field("", max_length=100, description="The provider's code for it.")
    retry_after_s: float | None = Field(None, ge=0, description="When the provider asks to come back, in seconds.")
    after_chunks: int | None = Field(
        None, ge=0, description="Only after so many pieces of the answer; 0 or nothing: before it."
    )
    stall_s: float | None = Field(None, ge=0, le=3600, description="Be silent for so many seconds, then go on.")
    when: str = Field("", description="Only where the last user message contains this text.")

    @model_validator(mode="after")
    def _says_what(self) -> Self:
        if self.status is None and self.after_chunks is None and self.stall_s is None:
            raise ValueError("say what goes wrong: status, after_chunks or stall_s")
        return self

    def error(self) -> UpstreamError | None:
        """What to raise; None: it was a silence only."""
        if self.status is not None:
            told = "scripted in gateway.yaml"
            refusal = Refusal(status=self.status, code=self.code, text=told, retry_after_s=self.retry_after_s)
            return openai_error(refusal)
        return StreamTruncated("The simulated answer broke off, as gateway.yaml says.") if self.stall_s is None else None


class SimulatorOptions(BaseModel):
    """The keys of a provider with `adapter: simulator`."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    delay_ms: int = Field(0, ge=0, le=600_000, description="Silence before the answer, in milliseconds.")
    chunk_delay_ms: int = Field(0, ge=0, le=600_000, description="Silence between two pieces, in milliseconds.")
    chunk_words: int = Field(1, ge=1, le=10_000, description="Words in a piece.")
    reply: str | None = Field(None, min_length=1, description="Answer every question with this text.")
    words: int | None = Field(None, ge=1, le=100_000, description="Words in an answer: it is cut, or repeats itself.")
    fail: Fault | None = Field(None, description="What goes wrong.")


class Simulator:
    """The adapter `simulator`."""

    name = "simulator"
    base_url: str | None = None
    signer = "none"
    options: type[BaseModel] = SimulatorOptions
    simulated = True
    prompt_overhead_tokens = 0

    def open(self, chat: ChatRequest, target: Target) -> Exchange:
        """Raises: BadRequest: a tool or a schema the simulator can't do."""
        refuse_unpriced(chat, [target])
        assert isinstance(target.options, SimulatorOptions)
        return SimulatedExchange(chat, target, target.options)

    def open_embeddings(self, chat: ChatRequest, target: Target) -> Exchange:
        return SimulatedEmbeddings(chat, target.context_tokens)


class SimulatedExchange(Exchange):
    """One answer, said piece by piece. A scripted fault is raised by `next`."""

    def __init__(self, chat: ChatRequest, target: Target, options: SimulatorOptions) -> None:
        self.dropped = sorted(chat.body.keys() - _HEEDED)
        self._chat = chat
        self._options = options
        self._model = target.upstream_model
        self._context, self._prompt = target.context_tokens, input_tokens(chat)
        tier = chat.body.get("service_tier")
        self._tier = tier if tier in target.price.service_tiers else None
        self._id = fingerprint(chat)
        # One word over the cap is enough to be cut.
        words = None if options.words is None else min(options.words, target.output_cap + 1)
        speech = compose(chat, options.reply, words, target.lacking)
        said = _said(speech)
        self._said = said[: target.output_cap]
        if len(said) > target.output_cap:
            self._finish = "length"
        else:
            self._finish = "tool_calls" if speech.calls else "stop"
        self._steps = self._play()

    def next(self) -> Step:
        return next(self._steps, DONE)

    def _play(self) -> Iterator[Step]:
        options = self._options
        refuse_too_long(self._prompt, self._context)
        fault = options.fail
        if fault and fault.when not in last_text(self._chat.body["messages"], "user"):
            fault = None
        if options.delay_ms:
            yield Wait(options.delay_ms / 1000)
        for number, piece in enumerate(self._pieces()):
            if fault and number == (fault.after_chunks or 0):
                yield from self._befall(fault)
                fault = None
            if number and options.chunk_delay_ms:
                yield Wait(options.chunk_delay_ms / 1000)
            started = (Started(model=self._model),) if not number else ()
            yield Emit((*started, piece))
        if fault:
            yield from self._befall(fault)
        finishes = tuple(Finish(self._finish, index) for index in range(self._chat.n))
        yield Emit((*finishes, self._usage()))

    def _befall(self, fault: Fault) -> Iterator[Step]:
        if fault.stall_s:
            yield Wait(fault.stall_s)
        error = fault.error()
        if error is None:
            return
        if isinstance(error, StreamTruncated) and fault.after_chunks and not self._chat.stream:
            error.progress = Progress.AMBIGUOUS  # part of a whole answer: it was made
        raise error

    def _pieces(self) -> Iterator[Part]:
        """All choices, one after the other, in pieces of so many words."""
        size = self._options.chunk_words
        for index in range(self._chat.n):
            for _, group in groupby(self._said, key=lambda token: (token.kind, token.position)):
                run = list(group)
                for start in range(0, len(run), size):
                    yield self._piece(run[start : start + size], index)

    def _piece(self, run: Sequence[_Token], index: int) -> Part:
        text = "".join(token.text for token in run)
        first = run[0]
        match first.kind:
            case "reasoning":
                return ReasoningDelta(text, index)
            case "text":
                return TextDelta(text, index)
        identity = f"call_sim_{self._id}_{index}_{first.position}" if first.name else None
        return ToolCallDelta(position=first.position, id=identity, name=first.name, arguments=text, index=index)

    def _usage(self) -> Usage:
        read = self._prompt
        written = len(self._said) * self._chat.n
        reasoning = sum(token.kind == "reasoning" for token in self._said) * self._chat.n
        return Usage(
            input_tokens=read,
            output_tokens=written,
            reasoning_tokens=reasoning,
            service_tier=self._tier,
            reported={
                "prompt_tokens": read,
                "completion_tokens": written,
                "total_tokens": read + written,
                "prompt_tokens_details": {"cached_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": reasoning},
            },
        )


@dataclass(frozen=True, slots=True)
class _Token:
    """One token of an answer. A tool call opens with one that has its name and no text."""

    kind: Literal["reasoning", "text", "call"]
    text: str
    position: int = 0
    name: str | None = None


def _said(speech: Speech) -> list[_Token]:
    said = [_Token("reasoning", text) for text in tokens(speech.reasoning)]
    said += [_Token("text", text) for text in tokens(speech.text)]
    for position, call in enumerate(speech.calls):
        said.append(_Token("call", "", position, call.name))
        said += [_Token("call", text, position) for text in tokens(call.arguments)]
    return said
