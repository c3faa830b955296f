"""`paifang init`: the first gateway.yaml."""

from __future__ import annotations

from pathlib import Path

from tests.proxy.conftest import Paifang
from tests.proxy.gateways import WITH_STATIC_KEY

SHIPPED = Path(__file__).parents[3] / "gateway.yaml"


def test_it_writes_the_shipped_file_which_is_valid(paifang: Paifang, tmp_path: Path) -> None:
    status, out, _ = paifang("init", "-c", "first.yaml")
    assert (status, out) == (0, "wrote first.yaml, which works as it is: `paifang serve -c first.yaml`\n")
    assert (tmp_path / "first.yaml").read_bytes() == SHIPPED.read_bytes()
    assert paifang("check", "-c", "first.yaml")[0] == 0


def test_it_overwrites_nothing(paifang: Paifang, tmp_path: Path) -> None:
    status, out, err = paifang("init")
    assert (status, out) == (2, "")
    assert err == "gateway.yaml: the file is there already: edit it, or name another with --config\n"
    assert (tmp_path / "gateway.yaml").read_text() == WITH_STATIC_KEY


def test_where_nothing_can_be_written(paifang: Paifang) -> None:
    assert paifang("init", "-c", "none/g.yaml")[::2] == (
        2, "none/g.yaml: the file can't be written: No such file or directory\n"
    )  # fmt: skip
