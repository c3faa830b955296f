"""An honest adapter passes every check; each fault is found by the check that is there for it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from proxy import (
    ChatEvent,
    ChatRequest,
    Finish,
    ReasoningDelta,
    Send,
    Target,
    TextDelta,
    UpstreamError,
    UpstreamFailed,
    Usage,
    dumps,
)
from proxy.testkit import VENDORS_WORDS, AdapterConformance, Door, checks_of, stream_reply
from tests.proxy.testkit.heron import SAID, TEXT, HeronExchange, door, json_reply


class TestHeron(AdapterConformance):
    doors = (door(),)


class Silent(HeronExchange):
    def cut(self) -> Sequence[ChatEvent]:
        return [Finish("stop")]


class CallsItBroken(HeronExchange):
    def cut(self) -> Sequence[ChatEvent]:
        raise UpstreamFailed("The heron fell over.")


class Forgetful(HeronExchange):
    """Reads each chunk as if it were whole events."""

    def feed_data(self, data: bytes) -> Sequence[ChatEvent]:
        self.framer = type(self.framer)()
        return super().feed_data(data)


class Sharing(HeronExchange):
    everyones = bytearray()

    def feed_head(self, status: int, headers: Mapping[str, str]) -> None:
        super().feed_head(status, headers)
        self.body = self.everyones
        self.body.clear()


class Collecting(HeronExchange):
    def feed_data(self, data: bytes) -> Sequence[ChatEvent]:
        self.kept = [*getattr(self, "kept", ()), *super().feed_data(data)]
        return self.kept if self.complete else ()


class Literal(HeronExchange):
    """Knows one way of framing."""

    def feed_data(self, data: bytes) -> Sequence[ChatEvent]:
        if self.streams and b"\r" in data:
            raise UpstreamFailed("The heron fell over.")
        return super().feed_data(data)


class Narrow(HeronExchange):
    def read(self, text: str | bytes) -> dict[str, Any]:
        value = super().read(text)
        if value.keys() - {"say", "end", "read", "wrote", "unexpected"}:
            raise UpstreamFailed("The heron fell over.")
        return value


class ReadsOn(HeronExchange):
    def feed_data(self, data: bytes) -> Sequence[ChatEvent]:
        if not self.streams:
            return super().feed_data(data)
        events = [event for sse in self.framer.feed(data) if sse.data for event in self.heard(self.read(sse.data))]
        self.complete = self.ended
        return events


class CountsTwice(HeronExchange):
    def end(self, finish: Finish, usage: Usage) -> Sequence[ChatEvent]:
        return [finish, usage, usage]


class TalksOn(HeronExchange):
    def end(self, finish: Finish, usage: Usage) -> Sequence[ChatEvent]:
        return [finish, TextDelta("!"), usage]


class Miscounts(HeronExchange):
    def usage(self, value: dict[str, Any]) -> Usage:
        return Usage(input_tokens=value["read"] + 1, output_tokens=value["wrote"])


class Crashes(HeronExchange):
    def read(self, text: str | bytes) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(text)
        return value


class Early(HeronExchange):
    """Begins its answer before the provider has."""

    def feed_data(self, data: bytes) -> Sequence[ChatEvent]:
        events = super().feed_data(data)
        return events if self.status == 200 else [ReasoningDelta("Well,")]


class Deaf(HeronExchange):
    """Hears streams where none was asked for, and then says nothing."""

    def sent(self, chat: ChatRequest, target: Target) -> Send:
        self.asked_for_stream = chat.stream
        return super().sent(chat, target)

    def heard(self, value: dict[str, Any]) -> Sequence[ChatEvent]:
        said = super().heard(value)
        return said if self.streams == self.asked_for_stream else [part for part in said if not isinstance(part, TextDelta)]


class Blabs(HeronExchange):
    def fault(self, said: str) -> UpstreamError:
        fault = super().fault(said)
        fault.message += said
        return fault


class Impatient(HeronExchange):
    def fault(self, said: str) -> UpstreamError:
        self.retry_after_s = 0.0
        return super().fault(said)


class Misjudges(HeronExchange):
    def fault(self, said: str) -> UpstreamError:
        return UpstreamFailed("The heron fell over.", upstream={"status": self.status}, detail=said)


class Hasty(HeronExchange):
    """Raises an error of a stream at once, and loses what the same bytes said before."""

    def heard(self, value: dict[str, Any]) -> Sequence[ChatEvent]:
        if "oops" in value:
            raise self.fault(value["oops"])
        return super().heard(value)


class Loses(HeronExchange):
    def left_out(self, body: Mapping[str, Any]) -> Sequence[str]:
        return [name for name in super().left_out(body) if name != "seed"]


class LosesMembers(HeronExchange):
    def left_out(self, body: Mapping[str, Any]) -> Sequence[str]:
        return sorted(body.keys() - {"model", "messages", "max_tokens", "max_completion_tokens", "stream", "stream_options"})


class Redirected(HeronExchange):
    def sent(self, chat: ChatRequest, target: Target) -> Send:
        send = super().sent(chat, target)
        return send._replace(body=dumps({**json.loads(send.body), "base_url": chat.body.get("base_url")}))


class Generous(HeronExchange):
    def cap(self, chat: ChatRequest, target: Target) -> int:
        return chat.max_output_tokens or target.output_cap


class Signs(HeronExchange):
    def headers(self) -> dict[str, str]:
        return {"Authorization": "Bearer of-the-heron"}


class Meddles(HeronExchange):
    def sent(self, chat: ChatRequest, target: Target) -> Send:
        send = super().sent(chat, target)
        chat.body["messages"].append({"role": "user", "content": "and then?"})
        return send


@pytest.mark.parametrize(
    ("faulty", "check", "says"),
    [
        (Silent, "text_stream-a_broken_answer_is_never_whole", "it passes for whole"),
        (CallsItBroken, "text_stream-a_broken_answer_is_never_whole", "not StreamTruncated"),
        (Forgetful, "text_stream-cuts_do_not_show", "byte by byte"),
        (Sharing, "text-exchanges_share_nothing", "beside another exchange"),
        (Collecting, "text_stream-pieces_leave_as_they_come", "in one piece"),
        (Literal, "text_stream-framing_does_not_show", "with CRLF"),
        (Narrow, "text-what_is_new_does_not_show", "with a new member"),
        (ReadsOn, "text_stream-what_follows_does_not_show", "with events after the end"),
        (CountsTwice, "text-it_says_what_was_said", "tokens (read, written"),
        (TalksOn, "text_stream-it_says_what_was_said", "follows Finish"),
        (Miscounts, "text-it_says_what_was_said", "(13, 7, 0, 0)"),
        (Early, "busy-it_fails_as_it_should", "no other route can be tried"),
        (Deaf, "text-the_other_kind_is_read_or_refused", "the answer says"),
        (Deaf, "text_stream-the_other_kind_is_read_or_refused", "the answer says"),
        (Blabs, "busy-it_fails_as_it_should", "clients read the provider's words"),
        (Blabs, "text-statuses_say_enough", "clients read the provider's words"),
        (Impatient, "busy-it_fails_as_it_should", "retry_after_s"),
        (Misjudges, "bad_key-it_fails_as_it_should", "expected UpstreamRejectedUs"),
        (Loses, "seed", "seed is lost"),
        (LosesMembers, "messages[].name", "messages[].name is lost"),
        (Redirected, "nothing_leads_elsewhere", "base_url is sent"),
        (Generous, "the_cap_is_written", "output cap (1234) is not sent"),
        (Signs, "the_transport_has_its_part", "authorization"),
        (Meddles, "the_request_stays_as_it_is", "chat.body after the exchange"),
    ],
)
def test_a_fault_is_found(faulty: type[HeronExchange], check: str, says: str) -> None:
    (found, *_) = [one for one in checks_of(door(faulty)) if str(one).endswith(check)]
    with pytest.raises(AssertionError) as caught:
        found()
    assert says in str(caught.value)


def test_text_that_is_lost_with_an_error_is_told_with_the_remedy() -> None:
    hasty = door(Hasty)
    broken = stream_reply({"say": TEXT[:5]}, {"oops": VENDORS_WORDS})
    checks = {str(check): check for check in checks_of(replace(hasty, answers={**hasty.answers, "broken_in_stream": broken}))}
    with pytest.raises(AssertionError, match=r"the text before the error .* had completed before it, and raise it"):
        checks["heron-broken_in_stream-it_fails_as_it_should"]()


def test_an_error_that_is_none_of_ours_is_let_through() -> None:
    (junk,) = [one for one in checks_of(door(Crashes)) if str(one) == "heron-text-junk_is_no_answer"]
    with pytest.raises(ValueError):
        junk()


def table(door: Door) -> None:
    next(check for check in checks_of(door) if str(check).endswith("the_table_is_whole"))()


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"nothing_else": ""}, "(and why)"),
        ({"nothing_else": "", "cannot": {"tools": ""}}, "'tools'"),
        ({"cannot": {"txet": "a typing error"}}, "no scenario, field or limit"),
        ({"cannot": {"text": "too shy"}}, "both answered and impossible"),
        ({"answers": {}}, "every door answers"),
    ],
)
def test_every_scenario_is_answered_or_said_to_be_impossible(changed: Any, says: str) -> None:
    with pytest.raises(AssertionError) as caught:
        table(replace(door(), **changed))
    assert says in str(caught.value)


def test_what_a_door_can_not_do_is_not_checked() -> None:
    whole = {str(check) for check in checks_of(door())}
    limited = {str(check) for check in checks_of(replace(door(), cannot={"framing": "why", "seed": "why"}))}
    left_out = {name.split("-", 1)[1] for name in whole - limited}
    assert {name for name in left_out if not name.startswith("field")} == {
        f"{scenario}-framing_does_not_show" for scenario in ("text", "text_stream", "length", "length_stream")
    }
    assert [name.split()[-1] for name in left_out if name.startswith("field")] == ["seed"]


def test_a_class_without_doors_fails() -> None:
    class Empty(AdapterConformance):
        pass

    with pytest.raises(AssertionError, match="set Empty"):
        Empty().test_there_are_doors()


def test_replies_are_as_written() -> None:
    assert door().replies("text") == (json_reply({"say": TEXT, "end": "done", "read": 12, "wrote": 7}),)
    assert "".join(said["say"] for said in SAID) == TEXT
