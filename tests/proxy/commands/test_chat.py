"""`paifang chat`: one question or a conversation, through a gateway that runs or without one."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest

from tests.e2e import files, processes
from tests.proxy.conftest import Paifang
from tests.proxy.gateways import SIMULATED, STATIC_KEY

SUMMARY = r"route sim, [1-9]\d* \+ [1-9]\d* tokens, 0\.0000\d+ USD\n"


def revoked_guests(paifang: Paifang, *others: str) -> int:
    keys = [key for key in json.loads(paifang("keys", "list", "--json")[1])["keys"] if key["name"] not in others]
    assert {key["state"] for key in keys if key["name"].startswith("chat-")} <= {"revoked"}
    return sum(key["name"].startswith("chat-") for key in keys)


def test_one_question_without_a_gateway_and_without_a_key(paifang: Paifang) -> None:
    status, out, err = paifang("chat", "doubao", "Hello")
    assert status == 0, err
    assert "Hello" in out or len(out) > 10
    assert re.fullmatch(SUMMARY, err), err
    assert revoked_guests(paifang) == 1


def test_the_key_of_a_chat_that_has_ended_is_listed_for_programs_alone(paifang: Paifang) -> None:
    paifang("chat", "doubao", "Hello")
    paifang("keys", "create", "chat-mine")
    paifang("keys", "revoke", "chat-mine")
    paifang("keys", "create", "chat-0123abcd")
    listed = [line.partition("\t")[0] for line in paifang("keys", "list")[1].splitlines()]
    assert sorted(listed) == ["chat-0123abcd", "chat-mine", "ci", "name"]
    assert revoked_guests(paifang, "chat-mine", "chat-0123abcd") == 1
    (used,) = json.loads(paifang("usage", "--by", "key", "--json")[1])["rows"]
    assert json.loads(paifang("keys", "show", used["key"], "--json")[1])["state"] == "revoked"


def test_with_a_key_none_is_made(paifang: Paifang) -> None:
    assert paifang("chat", "seed", "Hello", "--key", STATIC_KEY)[0] == 0
    assert revoked_guests(paifang) == 0


def test_a_conversation_tells_what_was_said_before(paifang: Paifang, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("one\n\ntwo, please\n"))
    status, _, err = paifang("chat", "seed")
    first, second = (int(count) for count in re.findall(r"(\d+) \+", err))
    assert status == 0 and second > first + 5


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (("chat", "sed", "Hello"), 1, "model_not_found: The model 'sed' does not exist; GET /v1/models lists yours.\n"),
        (("chat", "other", "Hello", "--key", STATIC_KEY), 1, "model_not_allowed: "),
        (("chat", "seed", "Hello", "--key", "sk-unknown"), 1, "invalid_api_key: "),
        (("chat", "seed", "Hello", "--url", "http://127.0.0.1:9"), 2, "Invalid value for --url: it needs --key"),
        (("chat", "seed", "Hello", "--url", "http://127.0.0.1:9", "--key", "k"), 1, "there is no gateway at 127.0.0.1:9"),
    ],
)
def test_refusals(paifang: Paifang, arguments: tuple[str, ...], status: int, told: str) -> None:
    answered, out, err = paifang(*arguments)
    assert (answered, out) == (status, "")
    assert told in err


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "localhost:8080", "foo", "ftp://gateway:8080", "http://", "http://h:x/v1"])
def test_an_address_that_is_none_names_the_remedy(paifang: Paifang, url: str) -> None:
    status, out, err = paifang("chat", "seed", "Hello", "--url", url, "--key", "k")
    assert (status, out) == (2, "")
    told = " ".join(err.replace("│", " ").split())
    assert f"Invalid value for --url: '{url}' is no address: write http://HOST:PORT, with or without /v1" in told


def test_an_answer_that_breaks_off(paifang: Paifang, tmp_path: Path) -> None:
    broken = SIMULATED.replace("sim: {adapter: simulator}", "sim: {adapter: simulator, fail: {after_chunks: 3}}")
    (tmp_path / "gateway.yaml").write_text(broken)
    status, out, err = paifang("chat", "seed", "Hello")
    assert status == 1 and out
    assert "the answer broke off: " in err


def test_through_the_gateway_that_runs(tmp_path: Path) -> None:
    file = files.write(
        tmp_path,
        server={"drain_timeout_s": 2},
        providers={"simulator": files.SIMULATOR},
        models={"m": files.model(files.route("sim", "simulator"))},
    )
    gateway = processes.start(file)
    try:
        here = gateway.cli("chat", "m", "Hello")
        elsewhere = [
            gateway.cli("chat", "m", "Hello", "--url", url, "--key", "sk-unknown")
            for url in (gateway.url, f"{gateway.url}/v1", f"{gateway.url}/v1/")
        ]
        tls = gateway.cli("chat", "m", "Hello", "--url", gateway.url.replace("http:", "https:"), "--key", "sk-unknown")
    finally:
        gateway.stop()
    assert (here.returncode, here.stderr[:10]) == (0, "route sim,"), here.stderr
    assert [(told.returncode, told.stderr[:15]) for told in elsewhere] == [(1, "invalid_api_key")] * 3
    assert tls.returncode == 1
    assert re.fullmatch(r"TLS with 127\.0\.0\.1:\d+ failed \(.+\): is it an http:// address\?\n", tls.stderr), tls.stderr
