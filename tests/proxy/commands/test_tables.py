"""Lists on terminals of several widths, and through a pipe."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest

from proxy.commands.tables import print_rows

ROW = {"model": "doubao-seed", "route": "ark-lite", "upstream_model": "doubao-seed-2-0-lite-260428", "state": None,
       "reason": "provider ark has no credential", "requests": 0, "cached": 0}  # fmt: skip


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(monkeypatch: pytest.MonkeyPatch, width: int, rows: list[dict[str, Any]]) -> list[str]:
    for name, value in (("COLUMNS", str(width)), ("LINES", "25"), ("TERM", "dumb")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    print_rows(tuple(ROW), rows, rare={"cached"})
    return [line.rstrip() for line in terminal.getvalue().splitlines()]


def test_a_table_leaves_out_what_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, 120, [ROW]) == [
        "model        route     upstream model               reason                          requests",
        "doubao-seed  ark-lite  doubao-seed-2-0-lite-260428  provider ark has no credential  0",
    ]


def test_a_narrow_one_breaks_lines_between_words(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, 92, [{**ROW, "cached": 7}]) == [
        "model        route     upstream model               reason                  requests  cached",
        "doubao-seed  ark-lite  doubao-seed-2-0-lite-260428  provider ark has no     0         7",
        "                                                    credential",
    ]


def test_no_room_for_a_word_is_a_block_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, 50, [ROW]) == [
        "doubao-seed",
        "    route           ark-lite",
        "    upstream model  doubao-seed-2-0-lite-260428",
        "    reason          provider ark has no credential",
        "    requests        0",
    ]


def test_nothing_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, 80, []) == ["there is nothing to list"]


def test_a_pipe_gets_every_column(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(("model", "state", "cached"), [ROW], rare={"cached"})
    assert capsys.readouterr().out == "model\tstate\tcached\ndoubao-seed\t-\t0\n"
