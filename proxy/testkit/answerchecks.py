"""Checks of what becomes of a provider's bytes. Each raises AssertionError and says what is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from proxy.adapter import Exchange
from proxy.errors import UpstreamProtocolError
from proxy.testkit.door import Door, asked
from proxy.testkit.hearing import Heard, broken_off, bytewise, converse, split_at, whole
from proxy.testkit.meaning import Said, said_by, shown_by
from proxy.testkit.scenarios import Call, Failure, Scenario
from proxy.testkit.wire import Reply, of_tomorrow, reframed

_AFTER_THE_END = b"data: {broken\n\n: comment\n\n"
_EVENT_OF_TOMORROW = b'event: of_tomorrow\ndata: {"type":"of_tomorrow","a":[1]}\n\n'


def opened(door: Door, told: Scenario | Failure) -> Exchange:
    return door.request(**told.fields)


def same(found: Any, expected: Any, what: str) -> None:
    """Raises: AssertionError: they differ."""
    if found != expected:
        raise AssertionError(f"{what}:\n  found     {found!r}\n  expected  {expected!r}")


def it_says_what_was_said(door: Door, scenario: Scenario) -> None:
    """The events, in OpenAI's order, mean what the provider said; what passes as it is says the same."""
    heard = answered(door, scenario, door.replies(scenario.name))
    for said in (said_by(heard.parts), shown_by(heard.events)):
        if said is not None:
            same(_compared(said), _expected(door, scenario), "the answer says")
    if "usage" not in door.cannot:
        counts = [(u.input_tokens, u.output_tokens, u.cached_input_tokens, u.reasoning_tokens) for u in heard.usages]
        same(counts, [(12, 7, scenario.cached, scenario.reasoned)], "tokens (read, written, of these cached, reasoned)")
    if heard.sends and not scenario.fields.keys() & door.cannot.keys():
        sent = b" ".join(send.path.encode() + b" " + send.body for send in heard.sends).decode()
        same([text for text in scenario.carries if text not in sent], [], "of the request was not sent")


def pieces_leave_as_they_come(door: Door, scenario: Scenario) -> None:
    """A stream's text, and the arguments of each tool call, are passed on piece by piece, not collected."""
    replies = door.replies(scenario.name)
    if "pieces" not in door.cannot and any(reply.streams for reply in replies):
        heard = converse(opened(door, scenario), replies, bytewise)
        if heard.spoke < 2 * max(1, len(scenario.calls)):
            raise AssertionError("what the stream says came in one piece; pass each on when its event ends")


def cuts_do_not_show(door: Door, told: Scenario | Failure) -> None:
    """Whole, byte by byte, or in two, cut at every place: the same events, and the same error."""
    replies = door.replies(told.name)
    expected = converse(opened(door, told), replies).told()
    same(converse(opened(door, told), replies, bytewise).told(), expected, "byte by byte")
    for place in range(1, max((len(reply.body) for reply in replies), default=0)):
        same(converse(opened(door, told), replies, split_at(place)).told(), expected, f"cut at byte {place}")


def a_broken_answer_is_never_whole(door: Door, scenario: Scenario) -> None:
    """Ended too early at any place, it fails without a Finish, unless all but the token counts had come."""
    expected = _compared(said_by(answered(door, scenario, door.replies(scenario.name)).parts))
    for place, replies in broken_off(door.replies(scenario.name)):
        heard = converse(opened(door, scenario), replies)
        if heard.fault is None:
            same(_compared(said_by(heard.parts)), expected, f"ended after {place}, it passes for whole, and says")
        elif not isinstance(heard.fault, UpstreamProtocolError):
            raise AssertionError(f"ended after {place}, it fails with {heard.fault!r}, not StreamTruncated") from heard.fault
        elif heard.finished:
            raise AssertionError(f"ended after {place}, it fails, but says Finish before")


def framing_does_not_show(door: Door, scenario: Scenario) -> None:
    """LF, CRLF, CR or mixed, with or without the space, byte order mark, comments, ids: the same answer."""
    _holds_for(door, scenario, lambda reply: reframed(reply) if reply.streams else ())


def what_follows_does_not_show(door: Door, scenario: Scenario) -> None:
    """Nothing that comes after the end changes the answer."""
    exchange = opened(door, scenario)
    converse(exchange, door.replies(scenario.name))
    after = {"spaces after the end": b" \r\n\n"}
    if exchange.complete:
        after["events after the end"] = _AFTER_THE_END
    _holds_for(door, scenario, lambda reply: ((name, replace(reply, body=reply.body + data)) for name, data in after.items()))


def what_is_new_does_not_show(door: Door, scenario: Scenario) -> None:
    """Members and events that nobody knows yet are passed over."""

    def with_news(reply: Reply) -> Iterator[tuple[str, Reply]]:
        yield "a new member", of_tomorrow(reply)
        if reply.streams:
            yield "a new event", replace(reply, body=reply.body.replace(b"\n\n", b"\n\n" + _EVENT_OF_TOMORROW, 1))

    _holds_for(door, scenario, with_news)


def the_other_kind_is_read_or_refused(door: Door, scenario: Scenario) -> None:
    """JSON where a stream was asked for, or a stream for JSON: the same text to its end, or the protocol is broken."""
    others = door.replies("text" if scenario.streams else "text_stream")
    if [len(others), len(door.replies(scenario.name))] != [1, 1]:
        return  # the steps of a longer exchange depend on what was asked for
    heard = converse(opened(door, scenario), others)
    if heard.fault is None:
        same(_compared(said_by(heard.parts)), _expected(door, scenario), "the answer says")
    elif not isinstance(heard.fault, UpstreamProtocolError):
        raise AssertionError(f"{heard.fault!r} is no UpstreamProtocolError") from heard.fault


def broken_characters_do_no_harm(door: Door, scenario: Scenario) -> None:
    """Bytes that are not UTF-8 are replaced in the text, or the answer breaks its protocol."""
    replies = [replace(reply, body=reply.body.replace("世".encode(), b"\xe4\xb8")) for reply in door.replies(scenario.name)]
    heard = converse(opened(door, scenario), replies)
    if heard.fault is None:
        said_by(heard.parts).text.encode()
        shown_by(heard.events)
    elif not isinstance(heard.fault, UpstreamProtocolError):
        raise AssertionError(f"{heard.fault!r} is no UpstreamProtocolError") from heard.fault


def exchanges_share_nothing(door: Door, scenario: Scenario) -> None:
    """Another exchange on the same request, run while this one is half told, changes nothing."""
    chat = asked(scenario.fields)
    replies = door.replies(scenario.name)
    one, other = door.adapter.open(chat, door.target()), door.adapter.open(chat, door.target())
    others: list[Heard] = []

    def interrupted(body: bytes) -> Iterable[bytes]:
        half = len(body) // 2
        yield body[:half]
        if not others:
            others.append(converse(other, replies))
        yield body[half:]

    heard = converse(one, replies, interrupted)
    alone = converse(door.adapter.open(chat, door.target()), replies)
    for found in (heard, *others):
        same((found.told(), found.sends), (alone.told(), alone.sends), "beside another exchange")


def answered(door: Door, scenario: Scenario, replies: Sequence[Reply]) -> Heard:
    heard = converse(opened(door, scenario), replies, whole)
    if heard.fault is not None:
        raise AssertionError(
            f"the answer fails: {heard.fault.code}: {heard.fault.message} {heard.fault.detail}"
        ) from heard.fault
    return heard


def _holds_for(door: Door, scenario: Scenario, others: Any) -> None:
    """The answer is the same for the variants of each reply. others: Reply → (name, Reply) of each."""
    replies = door.replies(scenario.name)
    expected = _meaning(answered(door, scenario, replies))
    for at, reply in enumerate(replies):
        for name, other in others(reply):
            changed = [*replies[:at], other, *replies[at + 1 :]]
            for cut in (whole, bytewise):
                heard = converse(opened(door, scenario), changed, cut)
                if heard.fault is not None:
                    raise AssertionError(f"with {name} it fails: {heard.fault!r} {heard.fault.detail}") from heard.fault
                same(_meaning(heard), expected, f"with {name}")
                shown_by(heard.events)


def _meaning(heard: Heard) -> Any:
    return heard.parts, [usage._replace(reported=None) for usage in heard.usages]


def _expected(door: Door, scenario: Scenario) -> tuple[Any, ...]:
    return scenario.text, scenario.reasoning, [_read(call) for call in door.calls(scenario)], scenario.finish


def _compared(said: Said) -> tuple[Any, ...]:
    return said.text, said.reasoning, [_read(call) for _, call in sorted(said.calls.items())], said.finish


def _read(call: Call) -> tuple[str, str, Any]:
    try:
        return call.id, call.name, json.loads(call.arguments)
    except ValueError:
        return call.id, call.name, f"no JSON: {call.arguments}"
