"""The emergency journal: what it promised is in the books after the next start, and in them once."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.chat import Usage
from proxy.context import Charge
from proxy.storage.emergency import ROOM_BYTES, Emergency
from proxy.storage.ledger import Exposure, Posting
from proxy.storage.operations import Commit
from proxy.storage.store import Store
from tests.proxy.storage.conftest import Open
from tests.proxy.storage.parts import row, window

USAGE = Usage(input_tokens=3, output_tokens=2, tool_calls={"web_search": 1}, reported={"prompt_tokens": 3})
CHARGE = Charge(amount_nanousd=7, cost_nanousd=5, usage=USAGE, price='{"input": "1"}', price_line="7 × ¥1", family="doubao")
SETTLED = Commit(
    None, [Posting(request_id="a", charge=CHARGE)], row("a", 7), [Exposure(provider="ark", amount_nanousd=2, line="x")]
)
VOID = Commit(None, [Posting(request_id="b", charge=None)], None)


def told(commit: Commit) -> tuple[object, ...]:
    return list(commit.postings), commit.row, list(commit.exposures)


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    first = Emergency(tmp_path / "e")
    assert first.read() == []
    assert first.keep([SETTLED]) and first.keep([VOID])
    first.close()
    second = Emergency(tmp_path / "e")
    settled, void = second.read()
    unreported = CHARGE._replace(usage=USAGE._replace(reported=None))
    assert told(settled) == ([Posting(request_id="a", charge=unreported)], SETTLED.row, list(SETTLED.exposures))
    assert told(void) == told(VOID)
    second.clear()
    assert second.read() == []
    second.close()
    assert (tmp_path / "e").stat().st_mode & 0o777 == 0o600


def test_a_torn_line_was_promised_to_nobody(tmp_path: Path) -> None:
    first = Emergency(tmp_path / "e")
    first.keep([SETTLED])
    first.close()
    with (tmp_path / "e").open("r+b") as file:
        end = file.read().index(b"\0")
        file.seek(end)
        file.write(b'{"postings": [')
    second = Emergency(tmp_path / "e")
    assert len(second.read()) == 1
    assert second.keep([VOID]) and len(second.read()) == 2
    second.close()


def test_it_takes_no_more_than_its_room(tmp_path: Path) -> None:
    journal = Emergency(tmp_path / "e")
    kept = 0
    while journal.keep([SETTLED]):
        kept += 1
    assert kept > 700
    assert len(journal.read()) == kept
    journal.close()
    assert (tmp_path / "e").stat().st_size == ROOM_BYTES


async def test_what_it_promised_is_in_the_books_once(store: Store, reopen: Open, tmp_path: Path) -> None:
    await store.ledger.reserve("a", 10, [window(100), window(100, "gateway", param="gateway.daily")])
    await store.ledger.reserve("cut off", 10, [window(100)])
    await store.close()
    journal = Emergency(tmp_path / "paifang.db.emergency")
    assert journal.keep([SETTLED, SETTLED])
    journal.close()
    for _ in range(2):
        store = await reopen()
        assert await store.reports.verify() == []
        entries = [(entry.request_id, entry.kind, entry.amount) for entry in await store.entries.page()]
        assert entries == [("a", "charge", 7), ("a", "exposure", 2), ("cut off", "exposure", 10)]
        await store.close()


@pytest.mark.parametrize("name", ["no-folder/e", "."])
def test_where_there_is_no_room_for_it(tmp_path: Path, name: str) -> None:
    with pytest.raises(OSError, match=r"No such|directory"):
        Emergency(tmp_path / name)
