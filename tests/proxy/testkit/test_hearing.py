from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from proxy import DONE, ChatEvent, Emit, Exchange, Finish, Send, Step, StreamTruncated, TextDelta, UpstreamFailed, Wait
from proxy.testkit import Reply, bytewise, converse, split_at, whole
from proxy.testkit.hearing import broken_off


class Steps(Exchange):
    """Does these steps, and notes what it is told."""

    def __init__(self, *steps: Step) -> None:
        self.steps = list(steps)
        self.told: list[object] = []

    def next(self) -> Step:
        return self.steps.pop(0)

    def feed_head(self, status: int, headers: Mapping[str, str]) -> None:
        self.told.append((status, headers["Content-Type"]))

    def feed_data(self, data: bytes) -> Sequence[ChatEvent]:
        self.told.append(data)
        self.complete = data == b"!"
        return [TextDelta(data.decode())]

    def feed_eof(self) -> Sequence[ChatEvent]:
        self.told.append(None)
        return ()


ASK, POLL = Send(path="/jobs"), Send(path="/jobs/1", method="GET")


def test_a_job_is_handed_in_waited_for_and_read() -> None:
    exchange = Steps(ASK, Wait(1.5), POLL, Emit((Finish("stop"),)), DONE)
    heard = converse(exchange, [Reply(b"ab", 202), Reply(b"c")], bytewise)
    assert exchange.told == [(202, "application/json"), b"a", b"b", None, (200, "application/json"), b"c", None]
    assert heard.events == [TextDelta("a"), TextDelta("b"), TextDelta("c"), Finish("stop")]
    assert (heard.sends, heard.spoke, heard.finished, heard.fault) == ([ASK, POLL], 3, True, None)


def test_what_follows_a_complete_answer_is_not_told() -> None:
    exchange = Steps(ASK, DONE)
    converse(exchange, [Reply(b"a!b")], bytewise)
    assert exchange.told == [(200, "application/json"), b"a", b"!"]


def test_a_fault_ends_it() -> None:
    class Failing(Steps):
        def feed_eof(self) -> Sequence[ChatEvent]:
            raise StreamTruncated("cut")

    heard = converse(Failing(ASK, POLL), [Reply(b"a"), Reply(b"b")])
    assert type(heard.fault) is StreamTruncated
    assert heard.told() == ([TextDelta("a")], "StreamTruncated upstream_error: cut {} next_route")


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        ((ASK, POLL, DONE), "request 2 (GET /jobs/1) has no reply"),
        ((DONE,), "it is done after 0 of 1 replies"),
        ((Wait(-1), DONE), "Wait(-1) is no time to wait"),
        ((Wait(float("nan")), DONE), "Wait(nan) is no time to wait"),
        (("later", DONE), "next() answered 'later', which is no Step"),
        ((Wait(0),) * 101, "it isn't done after 100 steps"),
    ],
)
def test_the_rules_of_the_port(steps: tuple[Step, ...], says: str) -> None:
    with pytest.raises(AssertionError) as caught:
        converse(Steps(*steps), [Reply(b"a")])
    assert says in str(caught.value)


def test_other_exceptions_are_let_through() -> None:
    class Crashing(Steps):
        def next(self) -> Step:
            raise KeyError("job")

    with pytest.raises(KeyError):
        converse(Crashing(), [])


def test_cuts() -> None:
    assert list(bytewise(b"abc")) == [b"a", b"b", b"c"]
    assert [list(split_at(place)(b"abc")) for place in (1, 3, 9)] == [[b"a", b"bc"], [b"abc"], [b"abc"]]
    assert [list(whole(b"")), list(whole(b"ab"))] == [[], [b"ab"]]


def test_every_reply_is_broken_off_everywhere_but_in_the_spaces_at_its_end() -> None:
    first, second = Reply(b"ab\n"), Reply(b"c")
    assert [(name, [reply.body for reply in replies]) for name, replies in broken_off([first, second])] == [
        ("reply 0, byte 0", [b""]),
        ("reply 0, byte 1", [b"a"]),
        ("reply 1, byte 0", [b"ab\n", b""]),
    ]


def test_the_kind_of_a_fault_shows() -> None:
    class Failing(Steps):
        def next(self) -> Step:
            raise UpstreamFailed("broken", upstream={"status": 500})

    assert converse(Failing(), []).told()[1] == "UpstreamFailed upstream_error: broken {'status': 500} retry"
