"""One is singular, everything else plural."""

from proxy.plural import counted


def test_how_many() -> None:
    assert [counted(number, "model") for number in (0, 1, 2)] == ["0 models", "1 model", "2 models"]
