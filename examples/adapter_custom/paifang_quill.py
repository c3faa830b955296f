"""An adapter for Paifang, for a provider that nobody has heard of: it takes jobs, and is asked until they are done.

    POST /jobs      {"engine", "turns": [{"who", "text"}], "limit"}  →  202 {"job", "ask_again_ms"}
    GET  /jobs/ID   →  200 {"state": "working", "ask_again_ms"}
                    →  200 {"state": "done", "text", "cut": bool, "read": tokens, "wrote": tokens}
    else            →  {"problem": "short words"}

    .venv/bin/pip install ./examples/adapter_custom      # into the environment that Paifang runs in

    providers:
      quill: {adapter: quill, base_url: https://quill.example/v1, api_key: "${QUILL_KEY:-}"}

An installed adapter is there without being listed. It knows no network and no clock: `next` says what to do, `feed_…` are
told what came back. So the tests need neither.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field

from proxy import (
    DONE,
    Adapter,
    BadRequest,
    ChatEvent,
    ChatRequest,
    Exchange,
    Finish,
    Send,
    Started,
    Step,
    Target,
    TextDelta,
    UpstreamBusy,
    UpstreamError,
    UpstreamFailed,
    UpstreamProtocolError,
    UpstreamRefused,
    UpstreamRejectedUs,
    Usage,
    Wait,
    dumps,
    header,
    hookimpl,
)

UNDERSTOOD = frozenset({"model", "messages", "max_tokens", "max_completion_tokens", "stream", "stream_options"})
MOST_BYTES = 16 * 1024 * 1024


class QuillOptions(BaseModel):
    """The keys of a provider with `adapter: quill`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ask_again_ms: int = Field(500, ge=10, le=60_000, description="How often to ask, where Quill doesn't say.")


class Quill:
    """The adapter `quill`."""

    name = "quill"
    base_url: str | None = None
    signer = "bearer"
    simulated = False
    options: type[BaseModel] = QuillOptions
    prompt_overhead_tokens = 64

    def open(self, chat: ChatRequest, target: Target) -> Exchange:
        """Raises: BadRequest: several choices are asked for, or a message is more than text."""
        return QuillExchange(chat, target)


class QuillExchange(Exchange):
    """One job: handed in, waited for, read."""

    def __init__(self, chat: ChatRequest, target: Target) -> None:
        if chat.n > 1:
            raise BadRequest("This model gives one answer.", code="unsupported_parameter", param="n")
        messages = chat.body["messages"]
        turns = [{"who": message["role"], "text": _text(message)} for message in messages]
        self.dropped = [*sorted(chat.body.keys() - UNDERSTOOD), *_not_read(messages)]
        job = {"engine": target.upstream_model, "turns": turns, "limit": target.output_cap}
        self._steps: list[Step] = [Send(path="/jobs", body=dumps(job))]
        self._ask_again_ms = target.options.ask_again_ms
        self._job = ""
        self._begin(0)

    def next(self) -> Step:
        return self._steps.pop(0) if self._steps else DONE

    def feed_head(self, status: int, headers: Mapping[str, str]) -> None:
        self._begin(status)
        self._retry_after = header(headers, "retry-after")

    def feed_data(self, data: bytes) -> Sequence[ChatEvent]:
        self._body += data
        if len(self._body) > MOST_BYTES:
            raise UpstreamProtocolError("The provider's answer is too long.", upstream=self._upstream)
        return ()

    def feed_eof(self) -> Sequence[ChatEvent]:
        if self._status >= 300:
            raise self._error()
        answer = self._read()
        try:
            if answer.get("state") == "done":
                return self._events(answer)
            if not self._job:
                self._job = str(answer["job"])
            elif answer["state"] != "working":
                raise ValueError(answer["state"])
            self._ask_again(int(answer.get("ask_again_ms", self._ask_again_ms)))
        except (KeyError, TypeError, ValueError) as error:
            raise self._junk() from error
        return ()

    def _begin(self, status: int) -> None:
        self._status = status
        self._upstream = {"status": status}
        self._retry_after = ""
        self._body = bytearray()

    def _ask_again(self, after_ms: int) -> None:
        self._steps += [Wait(max(10, after_ms) / 1000), Send(path=f"/jobs/{quote(self._job, safe='')}", method="GET")]

    def _events(self, answer: Mapping[str, Any]) -> Sequence[ChatEvent]:
        return [
            Started(id=self._job),
            TextDelta(str(answer["text"])),
            Finish("length" if answer.get("cut") else "stop"),
            Usage(input_tokens=int(answer["read"]), output_tokens=int(answer["wrote"])),
        ]

    def _read(self) -> Mapping[str, Any]:
        try:
            answer = json.loads(self._body)
        except (ValueError, RecursionError) as error:
            raise self._junk() from error
        if not isinstance(answer, dict):
            raise self._junk()
        return answer

    def _junk(self) -> UpstreamError:
        detail = bytes(self._body[:500]).decode("utf-8", "replace")
        return UpstreamProtocolError("The provider's answer makes no sense.", upstream=self._upstream, detail=detail)

    def _error(self) -> UpstreamError:
        """What the provider wrote goes into `detail`, for the log: clients get our words and the status."""
        detail = bytes(self._body[:500]).decode("utf-8", "replace")
        if self._status in (401, 402, 403):
            return UpstreamRejectedUs("The provider refuses our account.", upstream=self._upstream, detail=detail)
        if self._status == 429:
            seconds = float(self._retry_after) if self._retry_after.isdecimal() else None
            return UpstreamBusy("The provider is busy.", retry_after_s=seconds, upstream=self._upstream, detail=detail)
        if self._status in (400, 413, 422):
            return UpstreamRefused("The provider refuses this request.", upstream=self._upstream, detail=detail)
        return UpstreamFailed("The provider failed.", upstream=self._upstream, detail=detail)


def _text(message: Mapping[str, Any]) -> str:
    """A message's text, its parts joined."""
    content = message.get("content") or ""
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    for part in parts:
        if part["type"] != "text":
            raise BadRequest("This model reads text only.", code="unsupported_parameter", param="messages")
    return "".join(part["text"] for part in parts)


def _not_read(messages: Sequence[Mapping[str, Any]]) -> Sequence[str]:
    """Names of the members of messages, and of their parts, that Quill has no place for."""
    parts = [part for message in messages if isinstance(message.get("content"), list) for part in message["content"]]
    members = {f"messages[].{name}" for message in messages for name in message.keys() - {"role", "content"}}
    return sorted(members | {f"messages[].content[].{name}" for part in parts for name in part.keys() - {"type", "text"}})


@hookimpl
def register_adapters(register: Callable[[Adapter], None]) -> None:
    register(Quill())
