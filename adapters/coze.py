"""Coze's bots, `/v3/chat`, on coze.cn and coze.com. The route's model is the bot's id.

Every request is a conversation of its own, to which the messages are sent along: so no two chats meet in one conversation,
and none of one client's is ever read for another. Only results of tools go on in the conversation of the chat that called
them; its ids travel in those of the tool calls, and are used once that chat itself says that it waits for these very calls.

    streaming            POST /v3/chat                          → events
    polling              POST /v3/chat, POST …/retrieve until it has ended, GET …/message/list
    results of tools     POST …/retrieve, then POST …/submit_tool_outputs in place of POST /v3/chat

Nothing is canceled when a client leaves: Coze counts the whole answer all the same, as its page on chat_cancel says.

Source: developer_guides chat_v3, retrieve_chat, list_chat_messages, chat_submit_tool_outputs; the vendor's SDK.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from adapters.coze_errors import coze_error, waits_no_more
from adapters.coze_request import ToolResults, chat_body
from adapters.coze_response import RUNNING, ChatReader, MessagesReader, Tokens
from adapters.one_post import AnswerReader, OnePost
from adapters.openai_errors import Refusal
from proxy import (
    DONE,
    ChatEvent,
    ChatRequest,
    Emit,
    Exchange,
    Progress,
    Send,
    Step,
    Target,
    UpstreamError,
    Wait,
    dumps,
    header,
)

LARGEST_CONTEXT_TOKENS = 1_048_576


class CozeOptions(BaseModel):
    """Keys of a provider with `adapter: coze`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    user_id: str = Field(
        default="paifang",
        min_length=1,
        description="Who asks, as Coze demands it, where the request has no `user`. A bot's memory is kept by it.",
    )
    polling: bool = Field(
        default=False,
        description="How clients without `stream` are answered: false reads a stream to its end, true asks again and again.",
    )
    poll_interval_ms: int = Field(default=1000, ge=50, le=60_000, description="Between two such questions, in milliseconds.")
    unknown_fields: Literal["drop", "reject"] = Field(
        default="drop",
        description="Request fields that the door can't do: drop (named in x-paifang-dropped) or reject (400).",
    )


class Coze:
    """The adapter `coze`."""

    name = "coze"
    base_url: str | None = "https://api.coze.cn"
    signer = "bearer"
    simulated = False
    options: type[BaseModel] = CozeOptions
    prompt_overhead_tokens = LARGEST_CONTEXT_TOKENS
    """A bot's prompt, knowledge and memory don't show in a request, so that the model's context_tokens is the bound."""
    caps_output = False

    def open(self, chat: ChatRequest, target: Target) -> Exchange:
        """Raises: BadRequest: the request has what this door can't do."""
        options = target.options
        assert isinstance(options, CozeOptions)
        stream = chat.stream or not options.polling
        said, dropped = chat_body(
            chat, target, user_id=options.user_id, stream=stream, reject_unknown=options.unknown_fields == "reject"
        )
        return CozeExchange(said, target.upstream_model, stream, options.poll_interval_ms / 1000, dropped)


class CozeExchange(Exchange):
    """One chat, or one part of a chat that waited for results of tools."""

    def __init__(
        self, said: Mapping[str, Any] | ToolResults, bot: str, stream: bool, poll_interval_s: float, dropped: Sequence[str]
    ) -> None:
        self.dropped = tuple(dropped)
        self._said = said
        self._bot = bot
        self._stream = stream
        self._poll_interval_s = poll_interval_s
        self._status = 0
        self._headers: Mapping[str, str] = {}
        self._at_work = False
        """The bot has been set to work, and another attempt would do so again."""
        self._post: OnePost | None = None
        self._steps = self._converse()

    def next(self) -> Step:
        if self._post is not None:
            self._post.next()  # raises the fault that came after other events
        return next(self._steps, DONE)

    def feed_head(self, status: int, headers: Mapping[str, str]) -> None:
        self._status, self._headers = status, headers
        assert self._post is not None
        self._post.feed_head(status, headers)

    def feed_data(self, data: bytes) -> Sequence[ChatEvent]:
        assert self._post is not None
        try:
            return self._post.feed_data(data)
        except UpstreamError as error:
            self._judge(error)
            raise
        finally:
            self.complete = self._post.complete

    def feed_eof(self) -> Sequence[ChatEvent]:
        assert self._post is not None
        try:
            return self._post.feed_eof()
        except UpstreamError as error:
            self._judge(error)
            raise

    def _converse(self) -> Iterator[Step]:
        """The whole exchange, top to bottom."""
        spent: Tokens = (0, 0)
        listed = MessagesReader(self._error_of)
        path, body = "/v3/chat", self._said
        if isinstance(body, ToolResults):
            waiting = ChatReader(self._error_of)
            yield self._ask(f"/v3/chat/retrieve{body.chat.query}", waiting, asks_only=True)
            spent = self._checked(waiting, body)
            if not self._stream:
                yield self._ask(f"/v3/chat/message/list{body.chat.query}", listed, method="GET")
            path, body = f"/v3/chat/submit_tool_outputs{body.chat.query}", body.body(stream=self._stream)
        reader = ChatReader(self._error_of, spent)
        yield self._ask(path, reader, body, stream=self._stream)
        if not reader.done:
            yield from self._poll(reader, spent, listed.ids)

    def _poll(self, reader: ChatReader, spent: Tokens, told: frozenset[str]) -> Iterator[Step]:
        """Ask for the chat until it has ended, then for its messages.

        Also where a stream was asked for and a chat came. told: ids of messages of earlier parts.
        """
        self._at_work = True
        while (chat := reader.chat) is not None and chat.status in RUNNING:
            yield Wait(self._poll_interval_s)
            yield self._ask(f"/v3/chat/retrieve{chat.id.query}", reader, asks_only=True)
        assert chat is not None
        yield Emit(tuple(chat.usage(spent)))
        ending = chat.ending(self._error_of)
        listed = MessagesReader(self._error_of)
        yield self._ask(f"/v3/chat/message/list{chat.id.query}", listed, method="GET")
        yield Emit((chat.started, *listed.answers(told), *ending))

    def _ask(
        self,
        path: str,
        reader: AnswerReader,
        body: Mapping[str, Any] | None = None,
        *,
        method: str = "POST",
        stream: bool = False,
        asks_only: bool = False,
    ) -> Step:
        send = Send(
            path=path,
            method=method,
            body=b"" if body is None else dumps(body),
            headers={"accept": "text/event-stream" if stream else "application/json"},
            stream=stream,
            asks_only=asks_only,
        )
        self._post = OnePost(send, reader, self._error_of)
        return self._post.next()

    def _checked(self, reader: ChatReader, results: ToolResults) -> Tokens:
        """What the chat has taken so far. Raises: UpstreamError: it is not this bot's, or doesn't wait for these results."""
        chat = reader.chat
        assert chat is not None
        waits = chat.status == "requires_action" and chat.call_ids == results.outputs.keys()
        if chat.id != results.chat or chat.bot != self._bot or not waits:
            raise waits_no_more(self._signed(Refusal(status=200)))
        return chat.tokens or (0, 0)

    def _judge(self, error: UpstreamError) -> None:
        if self._at_work:
            error.progress = Progress.AMBIGUOUS

    def _error_of(self, refusal: Refusal) -> UpstreamError:
        return coze_error(self._signed(refusal))

    def _signed(self, refusal: Refusal) -> Refusal:
        """With the answer's own status and the id that Coze's support asks for."""
        return replace(refusal, status=self._status, request_id=header(self._headers, "x-tt-logid"))
