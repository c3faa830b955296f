"""Literal in, literal out: no server, no clock, no network."""

import json

import pytest
from paifang_quill import Quill, QuillOptions

from proxy import (
    DONE,
    BadRequest,
    ChatRequest,
    Finish,
    Send,
    Started,
    Target,
    TextDelta,
    UpstreamBusy,
    UpstreamFailed,
    UpstreamProtocolError,
    UpstreamRefused,
    UpstreamRejectedUs,
    Usage,
    Wait,
)

TARGET = Target(
    route="quill", label="quill", model="m", family="f", provider="quill", adapter="quill", upstream_model="goose-2",
    price=None, cost=None, max_output_tokens=100, output_cap=50, options=QuillOptions(),
)  # fmt: skip


def opened(**fields):
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **fields}
    return Quill().open(ChatRequest(body=body, body_bytes=60, model="m", n=fields.get("n", 1)), TARGET)


def told(exchange, status, body):
    """Tell the answer byte by byte: it may be cut anywhere."""
    exchange.feed_head(status, {})
    events = [event for byte in body for event in exchange.feed_data(bytes([byte]))]
    return [*events, *exchange.feed_eof()]


def test_a_job_is_handed_in_waited_for_and_read():
    exchange = opened(temperature=1)
    sent = exchange.next()
    assert json.loads(sent.body) == {"engine": "goose-2", "turns": [{"who": "user", "text": "Hi"}], "limit": 50}
    assert (sent.method, sent.path, exchange.dropped) == ("POST", "/jobs", ["temperature"])
    assert told(exchange, 202, b'{"job": "j/1", "ask_again_ms": 200}') == []
    assert exchange.next() == Wait(0.2)
    assert exchange.next() == Send(path="/jobs/j%2F1", method="GET")
    assert told(exchange, 200, b'{"state": "working"}') == []
    assert exchange.next() == Wait(0.5)
    assert exchange.next() == Send(path="/jobs/j%2F1", method="GET")
    assert told(exchange, 200, b'{"state": "done", "text": "Hello", "cut": true, "read": 3, "wrote": 1}') == [
        Started(id="j/1"),
        TextDelta("Hello"),
        Finish("length"),
        Usage(input_tokens=3, output_tokens=1),
    ]
    assert exchange.next() is DONE


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, UpstreamRefused), (401, UpstreamRejectedUs), (429, UpstreamBusy), (500, UpstreamFailed), (302, UpstreamFailed)],
)
def test_errors_keep_the_providers_words_to_the_log(status, error):
    exchange = opened()
    exchange.next()
    with pytest.raises(error) as caught:
        told(exchange, status, b'{"problem": "out of ink"}')
    assert caught.value.upstream == {"status": status}
    assert "ink" in caught.value.detail and "ink" not in caught.value.message


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b"{}", b'{"state": "done", "text": "Hello"}'])
def test_an_answer_that_makes_no_sense(body):
    exchange = opened()
    exchange.next()
    with pytest.raises(UpstreamProtocolError):
        told(exchange, 200, body)


@pytest.mark.parametrize(
    ("fields", "param"),
    [({"n": 2}, "n"), ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages")],
)
def test_what_it_can_not_do_is_refused_before_anything_is_sent(fields, param):
    with pytest.raises(BadRequest) as caught:
        opened(**fields)
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", param)
