"""Volcengine Ark and BytePlus ModelArk: Chat Completions with differences, on top of openai_chat.

Request: ark_request.py, ark_turns.py, and ark_models.py, as models differ. Errors: ark_errors.py. Answers need little: in a
stream Ark repeats the role in every chunk and leaves finish_reason out, where OpenAI's clients expect the role once and a null.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from adapters.ark_errors import ark_error
from adapters.ark_models import ark_model
from adapters.ark_request import (
    KNOWN,
    cache_headers,
    unsupported,
    without_effect,
    write_cap,
    write_format,
    write_thinking,
    write_tools,
)
from adapters.ark_turns import write_messages
from adapters.embeddings import ark_embeddings
from adapters.openai_answer import index_of
from adapters.openai_chat import exchange, post
from adapters.openai_request import REDIRECTING, take_out
from adapters.openai_stream import Dialect
from proxy import BadRequest, ChatRequest, Exchange, Send, Target, refuse_unpriced

_PLAN = re.compile(r"/api/(coding|plan)(/|$)")


class ArkOptions(BaseModel):
    """Keys of a provider that is Ark or ModelArk."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    unknown_fields: Literal["drop", "reject"] = Field(
        default="drop",
        description="Request fields that Ark can't do: drop (named in x-paifang-dropped) or reject (400).",
    )
    thinking_model: bool = Field(
        default=True,
        description="Whether what is behind ep- and bot- ids thinks. Thinking models get no penalties, stop, logprobs and "
        "logit_bias; others no thinking, effort and earlier reasoning.",
    )
    smart_router: bool = Field(
        default=False,
        description="Whether ep- ids are smart routers: these take text alone, no stop, logprobs, logit_bias, tool_choice "
        "and parallel_tool_calls.",
    )


class Ark:
    """The adapter of Ark's /chat/completions; BytePlus differs in base_url alone."""

    name = "ark"
    base_url: str | None = "https://ark.cn-beijing.volces.com/api/v3"
    signer = "volcengine"
    simulated = False
    options: type[BaseModel] = ArkOptions
    prompt_overhead_tokens = 512
    """As openai_chat's: a template's fixed texts; the rest is covered by the JSON around each message."""

    def open(self, chat: ChatRequest, target: Target) -> Exchange:
        options = target.options
        assert isinstance(options, ArkOptions)
        send, dropped = ark_send("/chat/completions", chat, target, options)
        return exchange(send, chat, ARK, dropped)

    def advise(self, base_url: str) -> Sequence[str]:
        return plan_advice(base_url)

    def open_embeddings(self, chat: ChatRequest, target: Target) -> Exchange:
        """Raises: BadRequest: the input is tokens."""
        return ark_embeddings(chat, target, ark_error)


def ark_send(
    path: str,
    chat: ChatRequest,
    target: Target,
    options: ArkOptions,
    *,
    known: frozenset[str] = KNOWN,
    cap_field: str = "max_completion_tokens",
) -> tuple[Send, list[str]]:
    """The request to send, and the fields that were left out.

    Args: known: the door's fields. cap_field: of the two, the one the output cap goes into; Ark's max_tokens does not count
    reasoning. Raises: BadRequest (unsupported_parameter): a field without a price, a tool that is no function, a message that
    Ark can't read or, with `unknown_fields: reject`, a field that Ark can't do.
    """
    refuse_unpriced(chat, [target])
    model = ark_model(target.upstream_model, endpoint_thinks=options.thinking_model, smart_router=options.smart_router)
    body = dict(chat.body)
    dropped = take_out(body, REDIRECTING)
    body["model"] = target.upstream_model
    write_cap(body, target.output_cap, cap_field)
    dropped += write_messages(body, model)
    write_tools(body)
    write_format(body)
    dropped += write_thinking(body, model)
    headers = cache_headers(body)
    names = unsupported(body, known, model)
    silent = frozenset(name for name in names if without_effect(name, body[name]))
    take_out(body, silent)
    dropped += take_out(body, names - silent)
    dropped = sorted(set(dropped))
    if dropped and options.unknown_fields == "reject":
        raise BadRequest(
            f"{dropped[0]!r} is not available with this model.",
            code="unsupported_parameter",
            param=dropped[0],
        )
    # Ark's own chunk_include_usage would put a count on every chunk, of which the last is all we need.
    body.pop("stream_options", None)
    if chat.stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    send = post(path, body, stream=chat.stream)
    return send._replace(headers={**(send.headers or {}), **headers}) if headers else send, dropped


def plan_advice(base_url: str) -> Sequence[str]:
    """What the operator of a plan's key must know."""
    if not _PLAN.search(base_url):
        return ()
    return (
        "it is an entrance of a coding or agent plan: plans are licensed for interactive tools, and the provider may block a "
        "key that serves anything else; a key without a plan belongs at the base_url without one",
    )


class ArkMender:
    """Makes Ark's chunks OpenAI's: the role once per choice, finish_reason null until there is one."""

    def __init__(self) -> None:
        self._introduced: set[int] = set()

    def __call__(self, choices: list[dict[str, Any]]) -> bool:
        changed = False
        for choice in choices:
            index = index_of(choice)
            delta = choice.get("delta")
            if isinstance(delta, dict) and "role" in delta:
                if index in self._introduced:
                    del delta["role"]
                    changed = True
                self._introduced.add(index)
            if "finish_reason" not in choice:
                choice["finish_reason"] = None
                changed = True
        return changed


ARK = Dialect(error=ark_error, mender=ArkMender)
