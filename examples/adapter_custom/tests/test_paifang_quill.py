"""The conformance table, on what Quill would send; then what is Quill's own, literal in and literal out."""

import asyncio
import json

import pytest
from paifang_quill import Quill, QuillOptions

from proxy import DONE, BadRequest, Send, Wait
from proxy.testkit import (
    TEXT,
    VENDORS_WORDS,
    AdapterConformance,
    Door,
    bytewise,
    converse,
    json_reply,
    provider_of,
    running,
)

HANDED_IN = json_reply({"job": "j/1", "ask_again_ms": 10}, 202)
WORKING = json_reply({"state": "working", "ask_again_ms": 10})


def done(cut: bool = False):
    return json_reply({"state": "done", "text": TEXT, "cut": cut, "read": 12, "wrote": 7})


def problem(status: int):
    return json_reply({"problem": VENDORS_WORDS}, status)


ANSWERS = {
    "text": [HANDED_IN, WORKING, done()],
    "text_stream": [HANDED_IN, done()],  # the client streams, Quill doesn't
    "length": [HANDED_IN, done(cut=True)],
    "length_stream": [HANDED_IN, done(cut=True)],
    "invalid": problem(400),
    "bad_key": problem(401),
    "forbidden": problem(403),
    "busy": problem(429),
    "broken": [HANDED_IN, problem(500)],
    "down": problem(503),
}
DOOR = Door(adapter=Quill(), answers=ANSWERS, nothing_else="Quill has nothing of the kind")


class TestQuill(AdapterConformance):
    doors = (DOOR,)


def test_a_job_is_handed_in_waited_for_and_read():
    heard = converse(DOOR.request(temperature=1), DOOR.replies("text"), bytewise)
    assert [(send.method, send.path) for send in heard.sends] == [("POST", "/jobs"), *[("GET", "/jobs/j%2F1")] * 2]
    assert json.loads(heard.sends[0].body) == {
        "engine": "model-of-the-provider",
        "turns": [{"who": "user", "text": "Hi"}],
        "limit": 1234,
    }


def test_it_asks_as_often_as_quill_says_or_as_it_is_told_to():
    exchange = DOOR.request()
    exchange.next()
    exchange.feed_head(202, {})
    exchange.feed_data(b'{"job": "j1"}')
    exchange.feed_eof()
    assert exchange.next() == Wait(QuillOptions().ask_again_ms / 1000)
    assert exchange.next() == Send(path="/jobs/j1", method="GET")
    assert exchange.next() is DONE


def test_pictures_are_refused_before_anything_is_sent():
    with pytest.raises(BadRequest) as caught:
        DOOR.request(
            messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a.example/b"}}]}]
        )
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", "messages")


def test_all_the_way(tmp_path):
    """The installed package in a gateway, before a server that answers as the scenarios say."""

    async def chat():
        async with provider_of(DOOR) as url:
            sections = {
                "providers": {"quill": {"adapter": "quill", "base_url": f"{url}/text", "api_key": "q"}},
                "models": {"goose": {"family": "quill", "free": True, "routes": [{"provider": "quill", "model": "goose-2"}]}},
            }
            async with running(tmp_path, sections) as gateway:
                return await gateway.chat(model="goose", temperature=1)

    answer = asyncio.run(chat())
    assert (answer.status, answer.headers["x-paifang-dropped"]) == (200, "temperature")
    assert answer.body["choices"][0]["message"]["content"] == TEXT
