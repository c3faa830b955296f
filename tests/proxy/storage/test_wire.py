"""Operations over a link: what comes out is what the books need of what went in, whatever clients and providers wrote."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.chat import Usage
from proxy.context import Charge
from proxy.storage import wire
from proxy.storage.keys import KeyRecord
from proxy.storage.ledger import Exposure, Posting, Subject
from proxy.storage.operations import Abandon, Commit, Expose, Mark, Operation, Reserve, Stop
from proxy.storage.records import COUNT_LIMIT
from tests.proxy.storage.parts import row, window

ODD = Usage(input_tokens=10**30, output_tokens=-1, reported={"nested": object()}, tool_calls={"search": 3})
CHARGE = Charge(amount_nanousd=7, cost_nanousd=3, usage=ODD, price_line="1 × $7/M", price="{}", family="doubao")


def sent(operation: Operation) -> list[Any]:
    """The arguments as they arrive."""
    message = wire.encode(operation)
    assert message is not None
    arrived: list[Any] = orjson.loads(orjson.dumps(message))
    return arrived[1:]


def test_a_reservation() -> None:
    subject = Subject(key="ci", wallet="team", user="\ud800" + "x" * 300, model="m", family="f", key_digest="0")
    record = KeyRecord(name="ci", digest="0")
    made = wire.reserve(
        None, {"0": record}.get, *sent(Reserve(None, "a", 10**15, [window(5), window(6)], 1, subject))
    )
    assert (made.request_id, made.amount, made.windows, made.floor) == ("a", 10**15, [window(5), window(6)], 1)
    assert (made.subject.key, made.subject.wallet, made.subject.user) == ("ci", "team", "?" + "x" * 255)
    assert made.find_key is not None and made.find_key("0") is record


def test_an_end_with_and_without_a_charge() -> None:
    postings = [Posting(request_id="a", charge=CHARGE), Posting(request_id="b", charge=None)]
    logged = row("a", 7, input_tokens=10**30, user="\ud800", wallet=None, first_token_ms=3, cost_nanousd=None)
    made = wire.commit(None, *sent(Commit(None, postings, logged)))
    charge = made.postings[0].charge
    assert charge is not None and made.postings[1] == postings[1]
    assert (charge.amount_nanousd, charge.price_line, charge.price, charge.family) == (7, "1 × $7/M", "{}", "doubao")
    assert made.row == row("a", 7, input_tokens=COUNT_LIMIT, user="?", wallet=None, first_token_ms=3, cost_nanousd=None)
    assert wire.commit(None, *sent(Commit(None, [], None))).row is None


def test_what_is_sent_once_more() -> None:
    ark = Exposure(provider="ark", amount_nanousd=7, cost_nanousd=3, line="no answer was seen")
    made = wire.expose(None, *sent(Expose(None, "a", [ark], [window(5)])))
    assert (made.request_id, made.exposures, made.windows) == ("a", [ark], [window(5)])


@pytest.mark.parametrize("charge", [None, CHARGE])
def test_a_mark(charge: Charge | None) -> None:
    made = wire.mark(*sent(Mark("a", charge)))
    assert made.request_id == "a"
    if charge is None:
        assert made.charge is None
    else:
        assert made.charge is not None
        assert made.charge.usage == Usage(input_tokens=COUNT_LIMIT, output_tokens=0)


def test_exposures_and_where_a_request_went() -> None:
    exposure = Exposure(provider="ark", amount_nanousd=7, line="sent, never answered")
    assert list(wire.commit(None, *sent(Commit(None, [], None, [exposure]))).exposures) == [exposure]
    made = wire.mark(*sent(Mark("a", None, "ark-lite", "ark")))
    assert (made.route, made.provider) == ("ark-lite", "ark")


def test_what_only_the_owner_can_do_is_not_sent() -> None:
    assert sent(Abandon(None, {"a"})) == [["a"]]
    assert wire.encode(Stop()) is None
