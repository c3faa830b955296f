"""The port that adapters plug into: sans-io, so that one-shot, polling and two-step providers all fit.

An Adapter is one dialect. For every attempt it opens an Exchange, which is told bytes and says what to do next:

    next() → Send      the transport sends it; then feed_head, feed_data … and feed_eof tell what came back
           → Wait      the pipeline sleeps, then asks again
           → Emit      events without any network (a simulator, or what a poll collected)
           → Done      nothing more to do

No network, clock, environment or asyncio in an adapter: a dict and bytes in, values out. It leaves its input alone, so that
another attempt may open another exchange on the same request. Faults are raised as UpstreamError: by feed_eof when the
status was an error, by feed_data when a stream reports one or breaks its protocol, by feed_eof as StreamTruncated when the
end came in the middle; and by next, whenever there is nothing to feed. What the same bytes had completed before the fault is
returned first, and the fault raised at the next call.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict

from proxy.chat import ChatEvent, ChatRequest, Usage

if TYPE_CHECKING:
    from proxy.context import Target


class Send(NamedTuple):
    """One HTTP request to the provider. Base URL and credentials are put on by the transport."""

    path: str
    """Appended to the provider's base_url, with its leading slash and any query: "/chat/completions"."""
    body: bytes = b""
    method: str = "POST"
    headers: Mapping[str, str] | None = None
    """The dialect's own, never credentials. Content-Type: application/json is set where there is a body."""
    stream: bool = False
    """The answer is expected piece by piece: first-byte and idle timeouts apply."""
    asks_only: bool = False
    """It sets the provider to no work that could be billed, as no GET does: it asks for what was begun before."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Ask again after this many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Emit:
    """Events that need no network."""

    events: tuple[ChatEvent, ...]


class Done:
    """The exchange is over."""

    __slots__ = ()


DONE = Done()
Step = Send | Wait | Emit | Done


class Exchange(ABC):
    """One attempt at one request. Made per attempt, holds the buffer, never shared."""

    dropped: Sequence[str] = ()
    """Request fields this door can't do and that were left out; named to the client in x-paifang-dropped."""

    complete: bool = False
    """The answer is whole: what follows in the body is of no use, so its end need not be waited for."""

    @property
    def reported(self) -> Usage | None:
        """What the provider has counted so far. It stands if the answer breaks off before its Usage event."""
        return None

    @property
    def anomalies(self) -> Sequence[str]:
        """What was wrong with the provider's counts and is not seen in its Usage: "unusable", "falling"."""
        return ()

    @abstractmethod
    def next(self) -> Step:
        """What to do now. Called at the start, after feed_eof, after a Wait and after an Emit."""

    def feed_head(self, status: int, headers: Mapping[str, str]) -> None:  # noqa: B027 - one that never sends has no use for it
        """The answer's status and headers (case-insensitive mapping). Judge them in feed_data and feed_eof."""

    def feed_data(self, data: bytes) -> Sequence[ChatEvent]:
        """Bytes of the answer's body, cut anywhere. Returns what they complete."""
        return ()

    def feed_eof(self) -> Sequence[ChatEvent]:
        """The body is over. Raises: UpstreamError by the status; StreamTruncated if the end came too early."""
        return ()


class NoOptions(BaseModel):
    """For adapters without options of their own."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Adapter(Protocol):
    """One provider dialect. An object with these members, registered by `register_adapters`.

    name                    what `adapter:` says in gateway.yaml
    base_url                default of `base_url`, None without one
    signer                  how credentials go on: "bearer", "x-api-key", "raw", "volcengine" or "none"
    simulated               whether it makes its answers up
    options                 the model of its own keys in a provider's section; NoOptions without any
    prompt_overhead_tokens  tokens at most that the door adds to a prompt
    open(chat, target)      begins an attempt: an Exchange

    It may also have `open_embeddings(chat, target)`, `advise(base_url)`, and what `Placed` has.

    One whose door takes no output cap also has `caps_output = False`: its routes are held for the model's max_output_tokens,
    whatever cap a client or a budget asks for. One whose Usage tells how often each tool of the provider's own was called has
    `counts_tool_calls = True`: at other doors a request for a tool whose calls have a price is refused. One that calls them
    without being asked, as bots do, has `calls_unasked = True`: each that has a price is held for.
    """

    name: str
    """What `adapter:` says in gateway.yaml."""
    base_url: str | None
    """Default of `base_url`; None: gateway.yaml must give one, unless `signer` is "none"."""
    signer: str
    """How credentials go on: "bearer", "x-api-key", "raw" (Authorization without a scheme), "volcengine" (as "bearer"; an AK/SK
    does, too), a token of credentials.py, or "none" (needs none)."""
    options: type[BaseModel]
    """Frozen model, unknown keys forbidden, of the adapter's own keys in a provider's section."""
    simulated: bool
    """True: it makes its answers up. Its routes serve only while no other route of their pool has credentials."""
    prompt_overhead_tokens: int
    """Upper bound of tokens the door adds to what the request's bytes show (chat template, wrappers)."""

    def open(self, chat: ChatRequest, target: Target) -> Exchange:
        """Begin an attempt. Raises: BadRequest if the request has what this door can't do."""
        ...


@runtime_checkable
class Adviser(Protocol):
    """What an adapter may have beside: words for the operator about how a provider is configured."""

    def advise(self, base_url: str) -> Sequence[str]:
        """Told at start and by `paifang check`, behind the provider's name; empty: all is well."""
        ...


@runtime_checkable
class Embedder(Protocol):
    """What an adapter has beside if its door makes embeddings."""

    def open_embeddings(self, chat: ChatRequest, target: Target) -> Exchange:
        """Begin an attempt at a request whose task is "embeddings": one Answer with a Finish, and Usage. Raises: as `open`."""
        ...


@runtime_checkable
class Placed(Protocol):
    """What an adapter has, besides, whose own keys choose where the provider is and how it is signed."""

    def place(self, options: BaseModel) -> str:
        """The base URL where gateway.yaml gives none."""
        ...

    def signed_by(self, options: BaseModel) -> str:
        """The signer, instead of `signer`."""
        ...


def open_exchange(adapter: Adapter, chat: ChatRequest, target: Target) -> Exchange:
    """Begin an attempt at what the request's task is. Raises: BadRequest: it has what this door can't do."""
    if chat.task == "chat":
        return adapter.open(chat, target)
    assert isinstance(adapter, Embedder), "a model's task is checked against its routes' adapters at load"
    return adapter.open_embeddings(chat, target)


def header(headers: Mapping[str, Any], *names: str) -> str:
    """The first of these headers that is there, else ""."""
    for name in names:
        if value := headers.get(name):
            return str(value)
    return ""
