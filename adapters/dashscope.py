"""DashScope, Alibaba Cloud's Model Studio: its own generation of texts, and of texts out of images and videos too.

A model is at one of two paths. Its name tells at which, mostly; where it doesn't, DashScope answers "url error", the other
path is asked, and what was learned is kept for the next request.

Source: the vendor's SDK (dashscope 2.0.2) and its API reference.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from pydantic import BaseModel

from adapters.dashscope_options import DashScopeOptions
from adapters.dashscope_request import Generation, generation
from adapters.dashscope_response import GenerationReader
from adapters.one_post import OnePost
from adapters.openai_errors import ErrorForm, Refusal, overlong, rejected
from adapters.profile_codes import QWEN
from adapters.profile_errors import error_of, unwrapped
from proxy import ChatEvent, ChatRequest, Exchange, Remedy, Send, Step, Target, UpstreamError, Usage, dumps

TEXT = "/services/aigc/text-generation/generation"
MULTIMODAL = "/services/aigc/multimodal-generation/generation"

DASHSCOPE_FORM = ErrorForm(
    unwrap=unwrapped(("code",)),
    request_id_members=("request_id",),
    event_status=re.compile(rb"^(?::HTTP_STATUS/|status: ?)([0-9]{3})", re.MULTILINE),
)
_PLACES = {
    "cn": "https://dashscope.aliyuncs.com/api/v1",
    "intl": "https://dashscope-intl.aliyuncs.com/api/v1",
    "us": "https://dashscope-us.aliyuncs.com/api/v1",
}
_MULTIMODAL_MODEL = re.compile(r"vl|omni|audio|ocr|qvq|^qwen3\.[5-9]|^qwen[4-9]")
_OTHER_PATH = re.compile(r"url error", re.IGNORECASE)
_OVERLONG = re.compile(r"Range of input length should be", re.IGNORECASE)
_error_of_code = error_of(QWEN)


class DashScope:
    """The adapter `dashscope`."""

    name = "dashscope"
    base_url: str | None = _PLACES["cn"]
    signer = "bearer"
    simulated = False
    options: type[BaseModel] = DashScopeOptions
    prompt_overhead_tokens = 512
    """As openai_chat's: a template's fixed texts; the rest is covered by the JSON around each message."""

    def __init__(self) -> None:
        self._learned: dict[tuple[str, str], str] = {}
        """{(provider, model): path that answered after the other one did not}."""

    def place(self, options: BaseModel) -> str:
        """The base URL of the platform that the options name."""
        assert isinstance(options, DashScopeOptions)
        return _PLACES[options.region]

    def signed_by(self, options: BaseModel) -> str:
        """The same everywhere."""
        return self.signer

    def open(self, chat: ChatRequest, target: Target) -> Exchange:
        """Raises: BadRequest: the request has what this door can't do."""
        options = target.options
        assert isinstance(options, DashScopeOptions)
        asked = generation(chat, target, options)
        known_as = (target.provider, target.upstream_model)
        body, headers = dumps(asked.body), _headers(asked, options)
        sends = [
            Send(path=path, body=body, headers=headers, stream=asked.streamed)
            for path in self._paths(asked, target, options.generation)
        ]
        return DashScopeExchange(sends, asked.dropped, lambda path: self._learned.__setitem__(known_as, path))

    def _paths(self, asked: Generation, target: Target, where: str) -> Sequence[str]:
        """Where to ask, and where to ask if the model is not there."""
        if where != "auto":
            return (TEXT if where == "text" else MULTIMODAL,)
        learned = self._learned.get((target.provider, target.upstream_model))
        sees = bool(asked.media) or _MULTIMODAL_MODEL.search(target.upstream_model) is not None
        first = learned or (MULTIMODAL if sees else TEXT)
        return (first, TEXT if first == MULTIMODAL else MULTIMODAL)


class DashScopeExchange(Exchange):
    """One attempt: one POST, or a second one where the model turned out to be at the other path."""

    def __init__(self, sends: Sequence[Send], dropped: Sequence[str], learn: Callable[[str], None]) -> None:
        """sends: the request, for each path. learn: told the path that answered in place of the first."""
        self.dropped = tuple(dropped)
        self._first, *self._others = sends
        self._send = self._first
        self._post = self._posted()
        self._learn = learn
        self._said = False
        self._elsewhere = False

    @property
    def reported(self) -> Usage | None:
        return self._post.reported

    @property
    def anomalies(self) -> Sequence[str]:
        return self._post.anomalies

    def next(self) -> Step:
        if self._elsewhere and not self._said:
            self._elsewhere, self.complete = False, False
            self._send = self._others.pop()
            self._post = self._posted()
        return self._post.next()

    def feed_head(self, status: int, headers: Mapping[str, str]) -> None:
        self._post.feed_head(status, headers)

    def feed_data(self, data: bytes) -> Sequence[ChatEvent]:
        events = self._heard(lambda: self._post.feed_data(data))
        self.complete = self._post.complete
        return events

    def feed_eof(self) -> Sequence[ChatEvent]:
        return self._heard(self._post.feed_eof)

    def _posted(self) -> OnePost:
        return OnePost(self._send, GenerationReader(), self._error_of, form=DASHSCOPE_FORM)

    def _heard(self, hear: Callable[[], Sequence[ChatEvent]]) -> Sequence[ChatEvent]:
        try:
            events = hear()
        except UpstreamError:
            if not self._elsewhere or self._said:
                raise
            return ()
        self._said = self._said or bool(events)
        if events and self._send is not self._first:
            self._learn(self._send.path)
        return events

    def _error_of(self, refusal: Refusal) -> UpstreamError:
        self._elsewhere = bool(self._others) and _OTHER_PATH.search(refusal.text) is not None
        return dashscope_error(refusal)


def dashscope_error(refusal: Refusal) -> UpstreamError:
    """Our error for DashScope's: by its text where a code says too little, by its code, and by its status."""
    if _OTHER_PATH.search(refusal.text):
        return rejected(
            refusal,
            "upstream_model_unavailable",
            "The provider does not offer this model for texts; the gateway's operator must check the route's model and the "
            "provider's `generation`.",
            Remedy.NEXT_ROUTE,
        )
    return overlong(refusal) if _OVERLONG.search(refusal.text) else _error_of_code(refusal)


def _headers(asked: Generation, options: DashScopeOptions) -> dict[str, str]:
    headers = {"accept": "text/event-stream" if asked.streamed else "application/json"}
    if asked.streamed:
        headers["x-dashscope-sse"] = "enable"
    if options.workspace:
        headers["x-dashscope-workspace"] = options.workspace
    if any(address.lower().startswith("oss://") for address in asked.media):
        headers["x-dashscope-ossresourceresolve"] = "enable"
    return headers
