"""`paifang explain --body -`: the request out of a pipe."""

from __future__ import annotations

import io

import pytest

from tests.proxy.conftest import Paifang


@pytest.mark.parametrize(
    ("text", "status", "told"),
    [
        ('{"messages": [{"role": "user", "content": "Grüß Gott"}]}', 0, "Grüß Gott"),
        ("{", 2, "Invalid value for --body: standard input is not JSON: "),
        ("[]", 2, "Invalid value for --body: standard input must hold a JSON object"),
    ],
)
def test_the_body_is_read_from_standard_input(
    paifang: Paifang, monkeypatch: pytest.MonkeyPatch, text: str, status: int, told: str
) -> None:
    monkeypatch.setenv("RELAY_KEY", "sk-relay")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    answered, out, err = paifang("explain", "seed", "--body", "-")
    assert answered == status, err
    assert told in out + err
