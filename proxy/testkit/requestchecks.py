"""Checks of the requests that are sent: nothing is lost silently, nothing leads elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from proxy.adapter import Send
from proxy.errors import BadRequest
from proxy.secret import Secret
from proxy.testkit.answerchecks import same
from proxy.testkit.door import MODEL, OUTPUT_CAP, Door, asked
from proxy.testkit.fields import REDIRECTING, THIEF, FieldCase
from proxy.testkit.hearing import converse

_CREDENTIALS = frozenset({"authorization", "x-api-key", "api-key", "cookie", "host", "content-length", "proxy-authorization"})
_OVER_THE_CAP = OUTPUT_CAP + 777


def sent(door: Door, fields: Mapping[str, Any]) -> tuple[Sequence[Send], Sequence[str]]:
    """The requests of a whole exchange, and what was dropped. Raises: BadRequest."""
    exchange = door.request(**fields)
    name = "text_stream" if fields.get("stream") else "text"
    return converse(exchange, door.replies(name)).sends, exchange.dropped


def a_field_is_never_lost(door: Door, case: FieldCase) -> None:
    """It shows in what is sent, or it is named in `dropped`, or refused with its name."""
    try:
        requests, dropped = sent(door, case.fields)
    except BadRequest as refused:
        named = {_root(refused.param or "")}
        if not named & {_root(case.name), *case.fields}:
            raise AssertionError(f"{case.name} is refused, but by the name {refused.param!r}") from refused
        return
    if any(_names(entry, case.name) for entry in dropped):
        return
    try:
        without, _ = sent(door, case.without)
    except BadRequest:
        return
    if list(requests) == list(without):
        raise AssertionError(f"{case.name} is lost: it changes nothing of what is sent, and `dropped` is {list(dropped)}")


def nothing_leads_elsewhere(door: Door) -> None:
    """Fields that could redirect the call or its credentials are never sent, and always named."""
    for name, value in REDIRECTING.items():
        try:
            requests, dropped = sent(door, {name: value})
        except BadRequest as refused:
            same(_root(refused.param or ""), name, "the name in the refusal")
            continue
        if any(THIEF in f"{send.path} {send.headers} {send.body!r}" for send in requests):
            raise AssertionError(f"{name} is sent to the provider")
        if name not in dropped:
            raise AssertionError(f"{name} is left out, but not named in `dropped`")


def the_transport_has_its_part(door: Door) -> None:
    """Paths without a host, no credentials, and none of the options' secrets in what is sent."""
    secrets = [value.reveal() for _, value in door.target().options if isinstance(value, Secret) and value.reveal()]
    for fields in ({}, {"stream": True}):
        for send in sent(door, fields)[0]:
            if not send.path.startswith("/") or send.path.startswith("//"):
                raise AssertionError(f"the path {send.path!r} must begin with one slash: base_url goes before it")
            own = {name.lower() for name in send.headers or {}} & _CREDENTIALS
            same(own, set(), "headers that are the gateway's to set")
            text = f"{send.path} {send.headers} {send.body!r}"
            if any(secret in text for secret in secrets):
                raise AssertionError(f"{send.method} {send.path} holds a secret of the options")


def the_cap_is_written(door: Door) -> None:
    """`target.output_cap` goes to the provider, whatever the client's own cap; the route's model too, and not the alias."""
    for fields in ({}, {"max_tokens": _OVER_THE_CAP}, {"max_completion_tokens": _OVER_THE_CAP}, {"stream": True}):
        requests = sent(door, fields)[0]
        text = b" ".join(send.path.encode() + b" " + send.body for send in requests).decode()
        if "output_cap" not in door.cannot and not re.search(rf"(?<!\d){OUTPUT_CAP}(?!\d)", text):
            raise AssertionError(f"with {fields} the output cap ({OUTPUT_CAP}) is not sent: {text}")
        if str(_OVER_THE_CAP) in text:
            raise AssertionError(f"the client's own cap ({_OVER_THE_CAP}) is sent: {text}")
        if door.upstream_model not in text or MODEL in text:
            raise AssertionError(f"the model sent must be {door.upstream_model!r}, and never {MODEL!r}: {text}")


def the_request_stays_as_it_is(door: Door) -> None:
    """Neither `chat` nor `target` is changed, and the same request gives the same requests again."""
    for fields in ({}, {"stream": True}):
        chat, target = asked(fields), door.target()
        body, options = deepcopy(chat.body), target.options.model_dump()
        first, again = (converse(door.adapter.open(chat, target), door.replies(_name(fields))).sends for _ in range(2))
        same(chat.body, body, "chat.body after the exchange")
        same(target.options.model_dump(), options, "target.options after the exchange")
        same(again, first, "the requests of a second attempt")


def _name(fields: Mapping[str, Any]) -> str:
    return "text_stream" if fields.get("stream") else "text"


def _root(name: str) -> str:
    return re.split(r"[.\[]", name)[0]


def _names(entry: str, name: str) -> bool:
    """Whether an entry of `dropped` names this field, the one that it is in, or a member of it."""
    place = re.sub(r"\[\d+\]", "[]", entry)
    return place in (name, _root(name)) or place.startswith((f"{name}.", f"{name}[]."))
