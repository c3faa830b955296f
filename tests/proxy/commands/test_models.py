"""`paifang models` with --catalogue and --families: through a pipe, on a terminal, as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.proxy.conftest import Paifang
from tests.proxy.gateways import SIMULATED, write

RATES = "exchange_rates: {CNY: {usd: 0.14, date: 2026-11-20}}\n"
MINI = "doubao-seed-2-0-mini-260428"


def first_column(out: str) -> list[str]:
    return [line.split("\t")[0] for line in out.splitlines()[1:]]


def test_the_catalogue_through_a_pipe(paifang: Paifang, tmp_path: Path) -> None:
    write(tmp_path, SIMULATED + RATES)
    status, out, err = paifang("models", "--catalogue", "--family", "doubao", "--modality", "audio", "--sort", "output")
    header, *lines = [line.split("\t") for line in out.splitlines()]
    assert (status, err) == (0, "")
    assert dict(zip(header, lines[0], strict=True)) == {
        "model": MINI, "family": "doubao", "status": "live", "ends": "-", "context_tokens": "262144",
        "max_output_tokens": "131072", "modalities": "text, audio", "price": "CNY 0.20–0.80 in, 2.00–8.00 out",
        "price_date": "2026-08-27", "input_usd": "0.028", "output_usd": "0.28",
        "source": "volcengine.com/docs/82379/1544106, as third parties copied it", "note": "-",
    }  # fmt: skip
    assert [line[0] for line in lines] == [MINI, "doubao-seed-2-0-lite-260428"]


@pytest.mark.parametrize("text", [None, SIMULATED, "models: 5"])
def test_the_catalogue_needs_no_gateway_yaml(text: str | None, paifang: Paifang, tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").unlink() if text is None else write(tmp_path, text)
    status, out, err = paifang("models", "--catalogue", "--family", "doubao", "--max-input", "1")
    assert (status, first_column(out)) == (0, [])
    why = "can't be read (`paifang check` says why), so there is no" if text == "models: 5" else "has no"
    assert err == f"not compared in USD, as gateway.yaml {why} exchange rate: CNY\n"
    status, out, err = paifang("models", "--catalogue", "--family", "kimi", "--max-input", "1", "--status", "live", "--reverse")
    assert (status, first_column(out), err) == (0, ["kimi-k2.6", "kimi-k2.7-code"], "")


def test_the_catalogue_as_json(paifang: Paifang) -> None:
    status, out, _ = paifang("models", "--catalogue", "--family", "minimax", "--min-context", "1000000", "--json")
    first, second = json.loads(out)["catalogue"]
    assert (status, first["model"], first["max_output_tokens"], first["input_usd"]) == (0, "MiniMax-M3", 524_288, "0.30")
    assert first["pricing"] == {
        "tiers": [
            {"up_to_input_tokens": 512_000, "input": "0.3", "cached_input": "0.06", "output": "1.2"},
            {"input": "0.6", "cached_input": "0.12", "output": "2.4"},
        ],
        "date": "2026-09-29",
        "source": "platform.minimax.io, as a third party lists it",
    }
    assert (second["price"], second["pricing"], second["note"]) == (None, None, "subscription plans only")


def test_a_table_on_a_terminal(paifang: Paifang, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "xterm")
    status, out, _ = paifang("models", "--catalogue", "--family", "longcat")
    header, first, second = out.splitlines()
    assert status == 0
    assert "price date" in header
    assert "ends" not in header
    assert "source" not in header
    assert first.split("  ")[0] == "LongCat-2.0"
    assert "USD 0.30 in, 1.20 out" in first
    assert second.split()[:3] == ["longcat-2.5-preview", "longcat", "preview"]


def test_the_families(paifang: Paifang) -> None:
    status, out, _ = paifang("models", "--families", "--max-output", "1.20", "--sort", "context", "--reverse")
    assert (status, out.splitlines()) == (
        0,
        [
            "family\tname\tcontext\tinput_usd\toutput_usd\treasoning\tcoding\tbest_for",
            "internlm\tInternLM\t200K\t0.20\t0.80\t4\t5\tself-hosted evals, research",
            "minimax\tMiniMax\t128K\t0.30\t1.20\t4\t5\tcoding agents, developer automation",
            "zhinao\t360 Zhinao\t32K\t0.40\t1.00\t4\t3\tsecurity assistants, Chinese QA",
            "yi\tYi\t32K\t0.90\t0.90\t4\t4\tbilingual writing, structured output",
        ],
    )
    assert len(json.loads(paifang("models", "--families", "--json")[1])["families"]) == 17
    rows = json.loads(paifang("models", "--families", "--family", "spark", "--json")[1])["families"]
    assert [(row["context_tokens"], row["input_usd"]) for row in rows] == [(64_000, "0.70")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--catalogue --families", "give --catalogue or --families, not both"),
        ("--sort family", "filters and --sort go with --catalogue or --families"),
        ("--reverse", "filters and --sort go with --catalogue or --families"),
        ("--families --status live", "--status and --modality go with --catalogue"),
        ("--catalogue --family qwenn", "there is no family 'qwenn': did you mean \"qwen\"?"),
        ("--catalogue --status alive", "there is no status 'alive': did you mean \"live\"?"),
        ("--catalogue --modality images", "there is no modality 'images': did you mean \"image\"?"),
        ("--families --sort famly", "there is no column 'famly': did you mean \"family\"?"),
        ("--catalogue --max-input x", "'x' is not an amount of USD such as 0.50"),
        ("--catalogue --max-output nan", "'nan' is not an amount of USD such as 0.50"),
    ],
)
def test_wrong_usage(arguments: str, message: str, paifang: Paifang, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    status, out, err = paifang("models", *arguments.split())
    assert (status, out) == (2, "")
    assert message in err
