"""An honest little adapter, for the kit to pass; its methods are cut so that a fault is one of them overridden.

POST /ask   {"bird", "lines", "most", "stream"}
200, JSON   {"say", "end": "beak" | "done", "read", "wrote"}
200, SSE    {"say"} …, {"end", "read", "wrote"}
else        {"oops": text}
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from adapters.sse import SseFramer
from proxy import (
    DONE,
    BadRequest,
    ChatEvent,
    ChatRequest,
    Exchange,
    Finish,
    NoOptions,
    Send,
    Started,
    Step,
    StreamTruncated,
    Target,
    TextDelta,
    UpstreamBusy,
    UpstreamError,
    UpstreamFailed,
    UpstreamProtocolError,
    UpstreamRefused,
    UpstreamRejectedUs,
    Usage,
    dumps,
    header,
)
from proxy.testkit import TEXT, VENDORS_WORDS, Door, json_reply, stream_reply

UNDERSTOOD = {"model", "messages", "max_tokens", "max_completion_tokens", "stream", "stream_options"}


class HeronExchange(Exchange):
    def __init__(self, chat: ChatRequest, target: Target) -> None:
        self.dropped = self.left_out(chat.body)
        self.send: Send | None = self.sent(chat, target)
        self.framer = SseFramer()
        self.body = bytearray()
        self.status = 0
        self.begun = self.ended = False

    def left_out(self, body: Mapping[str, Any]) -> Sequence[str]:
        for message in body["messages"]:
            if message.keys() != {"role", "content"} or not isinstance(message["content"], str):
                raise BadRequest("The heron reads plain text.", code="unsupported_parameter", param="messages")
        return sorted(body.keys() - UNDERSTOOD)

    def sent(self, chat: ChatRequest, target: Target) -> Send:
        lines = [f"{message['role']}: {message['content']}" for message in chat.body["messages"]]
        question = {"bird": target.upstream_model, "lines": lines, "most": self.cap(chat, target), "stream": chat.stream}
        return Send(path="/ask", body=dumps(question), headers=self.headers(), stream=chat.stream)

    def headers(self) -> dict[str, str]:
        return {}

    def cap(self, chat: ChatRequest, target: Target) -> int:
        return target.output_cap

    def next(self) -> Step:
        send, self.send = self.send, None
        return send or DONE

    def feed_head(self, status: int, headers: Mapping[str, str]) -> None:
        self.status = status
        self.retry_after_s = float(header(headers, "retry-after") or 0)
        self.streams = status == 200 and header(headers, "content-type").startswith("text/event-stream")

    def feed_data(self, data: bytes) -> Sequence[ChatEvent]:
        if not self.streams:
            self.body += data
            return ()
        events: list[ChatEvent] = []
        for sse in self.framer.feed(data):
            if sse.data:
                events += self.heard(self.read(sse.data))
            if self.ended:
                self.complete = True
                break
        return events

    def feed_eof(self) -> Sequence[ChatEvent]:
        if self.status != 200:
            raise self.fault(bytes(self.body).decode(errors="replace"))
        if self.streams:
            return self.cut()
        answer = self.read(bytes(self.body))
        if "say" not in answer or "end" not in answer:
            raise UpstreamProtocolError("The heron makes no sense.")
        return [*self.heard({"say": answer.pop("say")}), *self.heard(answer)]

    def cut(self) -> Sequence[ChatEvent]:
        raise StreamTruncated("The heron flew away.")

    def read(self, text: str | bytes) -> dict[str, Any]:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UpstreamProtocolError("The heron makes no sense.") from error
        if not isinstance(value, dict):
            raise UpstreamProtocolError("The heron makes no sense.")
        return value

    def heard(self, value: dict[str, Any]) -> Sequence[ChatEvent]:
        if "say" in value:
            started = [] if self.begun else [Started(id="h-1")]
            self.begun = True
            return [*started, TextDelta(value["say"])]
        if "end" in value:
            self.ended = True
            return self.end(Finish("length" if value["end"] == "beak" else "stop"), self.usage(value))
        return ()

    def end(self, finish: Finish, usage: Usage) -> Sequence[ChatEvent]:
        return [finish, usage]

    def usage(self, value: dict[str, Any]) -> Usage:
        return Usage(input_tokens=value["read"], output_tokens=value["wrote"])

    def fault(self, said: str) -> UpstreamError:
        told: dict[str, Any] = {"upstream": {"status": self.status}, "detail": said}
        match self.status:
            case 400:
                return UpstreamRefused("The heron refuses this.", **told)
            case 401 | 403:
                return UpstreamRejectedUs("The heron does not know us.", **told)
            case 429:
                return UpstreamBusy("The heron is fishing.", retry_after_s=self.retry_after_s, **told)
        return UpstreamFailed("The heron fell over.", **told)


class Heron:
    name = "heron"
    base_url: str | None = None
    signer = "bearer"
    simulated = False
    options: type[NoOptions] = NoOptions
    prompt_overhead_tokens = 0

    def __init__(self, exchange: type[HeronExchange] = HeronExchange) -> None:
        self.exchange = exchange

    def open(self, chat: ChatRequest, target: Target) -> Exchange:
        return self.exchange(chat, target)


END = {"end": "done", "read": 12, "wrote": 7}
SAID = [{"say": TEXT[:5]}, {"say": TEXT[5:8]}, {"say": TEXT[8:]}]
OOPS = {"oops": VENDORS_WORDS}
ANSWERS = {
    "text": json_reply({"say": TEXT, **END}),
    "text_stream": stream_reply(*SAID, END),
    "length": json_reply({"say": TEXT, **END, "end": "beak"}),
    "length_stream": stream_reply(*SAID, {**END, "end": "beak"}),
    "invalid": json_reply(OOPS, 400),
    "bad_key": json_reply(OOPS, 401),
    "busy": json_reply(OOPS, 429),
    "broken": json_reply(OOPS, 500),
    "down": json_reply(OOPS, 503),
}


def door(exchange: type[HeronExchange] = HeronExchange) -> Door:
    """The heron, or a faulty one."""
    return Door(adapter=Heron(exchange), answers=ANSWERS, nothing_else="herons don't")
