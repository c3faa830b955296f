from __future__ import annotations

from adapters.sse import SseFramer
from proxy.testkit import Reply, json_reply, stream_reply
from proxy.testkit.wire import of_tomorrow, reframed

STREAM = stream_reply({"a": "世"}, 'event: b\ndata: {"b": 1}', ended="[DONE]")


def heard(body: bytes) -> list[tuple[str, str | None]]:
    return [(sse.event, sse.data) for sse in SseFramer().feed(body) if sse.data]


def test_json() -> None:
    reply = json_reply({"a": "世"}, 429, retry_after="7")
    assert reply == Reply('{"a": "世"}'.encode(), 429, {"content-type": "application/json", "retry-after": "7"})
    assert not reply.streams


def test_a_stream() -> None:
    assert STREAM.body.decode() == 'data: {"a": "世"}\n\nevent: b\ndata: {"b": 1}\n\ndata: [DONE]\n\n'
    assert (STREAM.status, STREAM.streams) == (200, True)


def test_every_framing_is_another_and_means_the_same() -> None:
    variants = dict(reframed(STREAM))
    assert len({reply.body for reply in variants.values()} | {STREAM.body}) == len(variants) + 1
    assert [name for name, reply in variants.items() if heard(reply.body) != heard(STREAM.body)] == []


def test_mixed_line_ends_are_of_two_kinds() -> None:
    body = dict(reframed(STREAM))["mixed line ends"].body
    assert body.count(b"\r\n") > 1 and body.replace(b"\r\n", b"").count(b"\n") > 1


def test_members_of_tomorrow() -> None:
    assert of_tomorrow(STREAM).body.count(b'{"x_of_tomorrow":{"a":[1,null]},"') == 2
    assert of_tomorrow(json_reply({"a": {"b": 1}})).body == b'{"x_of_tomorrow":{"a":[1,null]},"a": {"b": 1}}'
    assert of_tomorrow(Reply(b"{}")).body == b"{}"
