"""Checks of what becomes of a provider's errors, and of what is no answer at all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from proxy.errors import (
    UpstreamBusy,
    UpstreamError,
    UpstreamFailed,
    UpstreamProtocolError,
    UpstreamRefused,
    UpstreamRejectedUs,
)
from proxy.testkit.answerchecks import opened, same
from proxy.testkit.door import Door
from proxy.testkit.hearing import converse
from proxy.testkit.meaning import said_by
from proxy.testkit.scenarios import RETRY_AFTER_S, VENDORS_WORDS, Failure, Scenario
from proxy.testkit.wire import JSON, Reply

_PAGE = f"<!doctype html><html><title>Sign in</title><p>{VENDORS_WORDS}</html>".encode()
_HTML = {"content-type": "text/html; charset=utf-8"}
_BODIES = {"nothing": (b"", JSON), "a web page": (_PAGE, _HTML), "no JSON": (b"\xff\x00", JSON), "a list": (b"[]", JSON)}
_LOST = " (return what the same bytes had completed before it, and raise it at the next call)"
_BY_STATUS: dict[int, tuple[type[UpstreamError], ...]] = {
    400: (UpstreamRefused,),
    401: (UpstreamRejectedUs,),
    403: (UpstreamRejectedUs,),
    404: (UpstreamError,),
    429: (UpstreamBusy,),
    500: (UpstreamFailed, UpstreamBusy),
    502: (UpstreamFailed, UpstreamBusy),
    503: (UpstreamFailed, UpstreamBusy),
    504: (UpstreamFailed, UpstreamBusy),
}


def it_fails_as_it_should(door: Door, failure: Failure) -> None:
    """Class, code, remedy, status and time of the error; the provider's words stay in the log."""
    replies = [_with_retry_after(reply) if failure.name == "busy" else reply for reply in door.replies(failure.name)]
    if not any(VENDORS_WORDS.encode() in reply.body for reply in replies):
        raise AssertionError(f"put VENDORS_WORDS ({VENDORS_WORDS!r}) where this provider writes its error's text")
    heard = converse(opened(door, failure), replies)
    fault = heard.fault
    if fault is None or not isinstance(fault, failure.kinds) or fault.code not in failure.codes:
        kinds = " or ".join(kind.__name__ for kind in failure.kinds)
        raise AssertionError(f"found {fault!r} {getattr(fault, 'code', '')}, expected {kinds} {failure.codes}") from fault
    if failure.remedies and fault.remedy not in failure.remedies:
        raise AssertionError(f"its remedy is {fault.remedy}, expected one of {failure.remedies}")
    if VENDORS_WORDS in str(fault.body()):
        raise AssertionError(f"clients read the provider's words: {fault.body()}")
    if VENDORS_WORDS not in fault.detail:
        raise AssertionError(f"the log doesn't get the provider's words; detail is {fault.detail!r}")
    status = replies[-1].status
    if status >= 400:
        same(fault.upstream.get("status"), status, "the provider's status, in `upstream`")
    if failure.name == "busy" and "retry_after" not in door.cannot:
        same(fault.retry_after_s, RETRY_AFTER_S, "retry_after_s")
    said = said_by(heard.parts).text
    same(said, failure.before, "the text before the error" + (_LOST if len(said) < len(failure.before) else ""))
    if heard.begun and not failure.before:
        raise AssertionError(f"no other route can be tried once it has said {heard.events!r}")
    if heard.finished:
        raise AssertionError("an answer that fails says Finish")


def junk_is_no_answer(door: Door, scenario: Scenario) -> None:
    """A web page, nothing, other bytes or other JSON under 200, redirects and odd statuses: the provider's fault."""
    replies = door.replies(scenario.name)
    for at, reply in enumerate(replies):
        for name, junk in _junk(reply):
            heard = converse(opened(door, scenario), [*replies[:at], junk])
            if not isinstance(heard.fault, UpstreamProtocolError if junk.status == reply.status else UpstreamError):
                raise AssertionError(f"reply {at}, {name}: found {heard.fault!r}, expected UpstreamProtocolError")
            if heard.begun:
                raise AssertionError(f"reply {at}, {name}: it says {heard.events!r}")
            _keeps_the_words(heard.fault, f"reply {at}, {name}")


def statuses_say_enough(door: Door, scenario: Scenario) -> None:
    """An error without a body that could be read: its status decides."""
    replies = door.replies(scenario.name)
    for at in range(len(replies)):
        for status, kinds in _BY_STATUS.items():
            for name, (body, headers) in _BODIES.items():
                heard = converse(opened(door, scenario), [*replies[:at], Reply(body, status, headers)])
                place = f"reply {at}, {status} with {name}"
                if not isinstance(heard.fault, kinds if at == 0 else UpstreamError):
                    raise AssertionError(f"{place}: found {heard.fault!r}, expected {kinds[0].__name__}")
                _keeps_the_words(heard.fault, place)


def _junk(reply: Reply) -> Iterator[tuple[str, Reply]]:
    yield "a web page", Reply(_PAGE, reply.status, _HTML)
    for name, body in {
        "nothing": b"",
        "spaces": b" \r\n\r\n",
        "a banner": b"\x00SSH-2.0-x\r\n",
        "deep JSON": b"[" * 20_000,
        "deep objects": b'{"a":' * 20_000,
        "a list": b"[]",
        "a number": b"7",
        "null": b"null",
        "an empty object": b"{}",
        "another object": b'{"unexpected": true}',
        "another stream": b'data: {"unexpected": true}\n\n',
        "a stream of junk": b"data: {broken\n\n",
    }.items():
        yield name, replace(reply, body=body)
    yield "a redirect", Reply(b"", 302, {"location": "https://thief.example/"})
    yield "204", Reply(b"", 204, {})


def _keeps_the_words(fault: UpstreamError, place: str) -> None:
    if VENDORS_WORDS in str(fault.body()):
        raise AssertionError(f"{place}: clients read the provider's words: {fault.body()}")


def _with_retry_after(reply: Reply) -> Reply:
    return replace(reply, headers={"retry-after": str(RETRY_AFTER_S), **reply.headers})
