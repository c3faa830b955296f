from paifang_hello import Hello, HelloOptions
from pydantic import ValidationError
from pytest import raises

from proxy import Outcome, Principal, RequestContext

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
