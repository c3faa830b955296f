import asyncio

from paifang_hello import Hello, HelloOptions
from pydantic import ValidationError
from pytest import raises

from proxy import Outcome, Principal, RequestContext
from proxy.testkit import running

CTX = RequestContext(request_id="req_1", snapshot=None, received_ns=0, headers={}, principal=Principal(id="ci"))


def test_it_greets_in_a_header():
    Hello().authorize(CTX, HelloOptions(greeting="Good morning"))
    assert CTX.reply_headers == {"x-hello": "Good morning"}


def test_a_greeting_is_one_line():
    with raises(ValidationError):
        HelloOptions(greeting="Hello\r\nset-cookie: a=b")


def test_it_counts_whom_it_greeted():
    hello = Hello()
    for _ in range(2):
        hello.observe(CTX, Outcome(end="complete", status=200))
    assert hello._greeted == {"ci": 2}


def test_all_the_way(tmp_path):
    """The installed package in a gateway, whose provider is the simulator."""
    listed = "plugins: [virtual_keys, {hello: {greeting: Good morning}}, routing, metering]"

    async def chat():
        async with running(tmp_path, listed) as gateway:
            answer = await gateway.chat()
            async with gateway.session.get(f"{gateway.url}/hello") as counted:
                return answer, await counted.json()

    answer, counted = asyncio.run(chat())
    assert (answer.status, answer.headers["x-hello"]) == (200, "Good morning")
    assert counted == {"greeted": 1, "keys": 1}
