from __future__ import annotations

import pytest

from proxy.storage import wire
from proxy.storage.ledger import Exposure, Posting
from proxy.storage.operations import Commit, Mark, Operation
from tests.proxy.storage.parts import charge, row

EXPOSURE = Exposure(provider="ark", amount_nanousd=7, line="sent, never answered")


@pytest.mark.parametrize(
    "operation",
    [
        Commit(None, [Posting(request_id="a", charge=charge(5)), Posting(request_id="b", charge=None)], row("a", 5), [EXPOSURE]),
        Commit(None, [], None),
        Mark("a", None, "ark-lite", "ark"),
        Mark("a", charge(3)),
    ],
)
def test_what_goes_over_a_link_comes_to_the_same(operation: Operation) -> None:
    name, *values = wire.encode(operation) or ("",)
    again: Operation = wire.mark(*values) if name == "mark" else wire.commit(None, *values)
    assert wire.encode(again) == wire.encode(operation)
    if isinstance(operation, Commit) and isinstance(again, Commit):
        assert (again.row, list(again.exposures)) == (operation.row, list(operation.exposures))
