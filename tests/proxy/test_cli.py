"""Every command in this process, on a real store: what it prints and how it exits."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from proxy.errors import ConfigError
from proxy.gateway import Gateway
from tests.proxy.conftest import Paifang
from tests.proxy.gateways import SIMULATED, WITH_STATIC_KEY, write

COMMANDS = [
    "init", "serve", "check", "schema", "keys create", "keys list", "keys show", "keys update", "keys revoke", "models",
    "routes", "explain", "plugins", "usage", "ledger verify", "ledger export", "db upgrade", "wallet create",
    "wallet credit", "wallet adjust", "wallet show",
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example_and_the_options(paifang: Paifang, command: str) -> None:
    status, out, _ = paifang(*command.split(), "--help")
    assert status == 0
    assert "Example: paifang " in out
    assert "--config" in out


def test_the_version(paifang: Paifang) -> None:
    assert paifang("--version")[:2] == (0, "paifang 0.1.0\n")


@pytest.mark.parametrize(
    "arguments",
    [("bogus",), ("keys",), ("keys", "create"), ("keys", "list", "--bogus"), ("serve", "--port", "70000"), ("usage", "extra"),
     ("keys", "create", "a", "--family-budget", "doubao"), ("keys", "create", "a", "--rpm", "0"),
     ("explain", "seed", "--body", "missing.json"), ("usage", "--csv", "--json"), ("usage", "--each", "--csv", "--json"),
     ("ledger", "export", "--csv", "--json")],
)  # fmt: skip
def test_wrong_usage_is_2(paifang: Paifang, arguments: tuple[str, ...]) -> None:
    status, _, err = paifang(*arguments)
    assert status == 2
    assert "Traceback" not in err


def test_every_problem_of_the_file_is_a_line(paifang: Paifang, tmp_path: Path) -> None:
    write(tmp_path, WITH_STATIC_KEY + "bogus: 1\nserver: {port: x}\n")
    for command in (("check",), ("models",), ("serve",)):
        status, out, err = paifang(*command)
        assert (status, out) == (2, "")
        lines = err.splitlines()
        assert len(lines) == 2
        assert all(line.startswith("gateway.yaml:1") for line in lines)


@pytest.mark.parametrize("command", ["check", "serve", "models", "schema", "chat m hi", "keys list"])
def test_a_missing_file_has_a_remedy(paifang: Paifang, command: str) -> None:
    status, _, err = paifang(*command.split(), "-c", "no where.yaml")
    assert status == 2
    remedy = "write it with `paifang init -c 'no where.yaml'`, or name another with --config"
    assert err == f"no where.yaml: there is no such file: {remedy}\n"


def test_check_says_what_serves_and_what_does_not(paifang: Paifang) -> None:
    status, out, _ = paifang("check")
    assert status == 0
    assert out.startswith("gateway.yaml is valid: 2 models, 2 of 3 routes serve, plugins virtual_keys")
    assert "note: provider relay is off: its api_key is empty (set RELAY_KEY)\n" in out


def test_check_as_json(paifang: Paifang) -> None:
    status, out, err = paifang("check", "--json")
    told = json.loads(out)
    counts = {"providers": 2, "models": 2, "routes": 3, "routes_serving": 2, "keys": 1, "plugins": 8}
    assert (status, err) == (0, "")
    assert (told["ok"], told["problems"], told["counts"], told["providers"]) == (True, [], counts, [])
    assert told["notes"][0] == "provider relay is off: its api_key is empty (set RELAY_KEY)"


async def test_check_tells_that_the_running_gateway_refused_the_file(paifang: Paifang, tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    gateway = await Gateway.open(file, {})
    try:
        await gateway.listen_control(tmp_path / "paifang.db.sock")
        file.write_text(WITH_STATIC_KEY + "server: {workers: 2}\n")
        with pytest.raises(ConfigError):
            await gateway.reload()
        status, out, _ = await asyncio.to_thread(paifang, "check")
    finally:
        await gateway.close()
    assert status == 0
    assert "note: the running gateway refused it, and goes on with the one it read at 20" in out
    assert "gateway.yaml:17:10: server.workers: changing this needs a restart" in out


@pytest.mark.parametrize(
    "command", ["check", "check --live", "models", "routes", "usage --each", "ledger export", "explain seed"]
)
def test_a_broken_file_is_told_to_programs_too(paifang: Paifang, tmp_path: Path, command: str) -> None:
    write(tmp_path, "sever: {port: 1}\n" + WITH_STATIC_KEY + "wallets: {}\n")
    status, out, err = paifang(*command.split(), "--json")
    about = {"file": "gateway.yaml", "line": 1, "column": 1, "path": "sever", "nearest": "server"}
    [first, second] = json.loads(out)["problems"]
    assert (status, json.loads(out)["ok"], out.count("\n")) == (2, False, 1)
    assert first == {**about, "message": 'unknown key "sever": did you mean "server"?'}
    assert (second["path"], second["nearest"]) == ("wallets", None)
    assert err.startswith("gateway.yaml:1:1: sever: unknown key")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (
            ("keys", "show", "cii"),
            {"message": "There is no key 'cii': did you mean \"ci\"?", "nearest": "ci", "code": "not_found", "param": "key"},
        ),
        (
            ("usage", "--month", "11"),
            {"message": "--month: '11' is not a month such as 2026-11.", "nearest": None, "code": "invalid_value",
             "param": "month"},
        ),
        (("keys", "create", "a", "--rpm", "0"), {
            "message": "Invalid value for --rpm: '0' is not a count from 1 up, or none", "nearest": None}),
        (("keys", "list", "--bogus"), {"message": "No such option: --bogus", "nearest": None}),
    ],
)  # fmt: skip
def test_what_is_refused_is_told_to_programs_too(
    paifang: Paifang, arguments: tuple[str, ...], problem: dict[str, str | None]
) -> None:
    status, out, _ = paifang(*arguments, "--json")
    assert (status, json.loads(out)) == (2, {"ok": False, "problems": [problem]})


def test_one_model_is_one(paifang: Paifang, tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(
        "providers: {s: {adapter: simulator}}\nmodels: {m: {family: f, free: true, routes: [{provider: s, model: m}]}}\n"
    )
    assert paifang("check")[1].startswith("gateway.yaml is valid: 1 model, 1 of 1 routes serve, ")


def test_check_warns_of_what_has_aged(paifang: Paifang, tmp_path: Path) -> None:
    model = "  old: {free: true, preset: kimi-k2.5, routes: [{provider: sim}]}\n"
    write(tmp_path, f"{SIMULATED}{model}exchange_rates: {{CNY: {{usd: 0.15, date: 2020-01-01}}}}\n")
    status, out, _ = paifang("check")
    assert status == 0
    assert "note: model old: kimi-k2.5 was retired by its vendor on 2026-08-31 (route sim)" in out
    assert "note: the exchange rate for CNY is of 2020-01-01, " in out
    assert any("kimi-k2.5" in notice for notice in json.loads(paifang("check", "--json")[1])["notes"])


def test_check_and_doctor_note_what_is_seldom_meant(paifang: Paifang, tmp_path: Path) -> None:
    write(tmp_path, SIMULATED.replace("127.0.0.1:9/v1", "127.0.0.1:9/v1/chat/completions"))
    note = "gateway.yaml:4:43: providers.relay.base_url ends in /chat/completions"
    assert f"note: {note}" in paifang("check")[1]
    assert note in paifang("doctor", "--offline")[1]


def test_schema_is_json(paifang: Paifang) -> None:
    status, out, _ = paifang("schema")
    assert status == 0
    assert json.loads(out)["title"] == "gateway.yaml"


def test_a_key_from_its_making_to_its_end(paifang: Paifang) -> None:
    limits = ("--family", "doubao", "--daily-usd", "1", "--family-budget", "doubao=0.5/10")
    status, out, _ = paifang("keys", "create", "a", *limits)
    assert status == 0
    first, second = out.splitlines()
    key = first.removeprefix("key a, shown this once: ")
    assert second.startswith("try it: curl http://127.0.0.1:8080/v1/chat/completions") and key in second
    status, out, _ = paifang("keys", "list")
    assert out.splitlines()[1:] == [
        "ci\t…6789\tgateway.yaml\tactive\tdoubao\t-\t-\t-\t-\t-",
        f"a\t…{key[-4:]}\tstore\tactive\tdoubao\t-\t1.00\t-\t-\t-",
    ]
    assert key not in out
    status, out, _ = paifang("keys", "update", "a", "--daily-usd", "none", "--family", "none", "--json")
    changed = json.loads(out)
    assert (changed["families"], changed["budget"]["daily_usd"]) == (None, None)
    assert changed["budget"]["families"]["doubao"] == {"daily_usd": "0.50", "monthly_usd": "10.00"}
    assert paifang("keys", "revoke", "a")[:2] == (0, "key a is revoked\n")
    status, out, _ = paifang("keys", "show", "a")
    assert "state\trevoked" in out.splitlines()


def test_a_key_shows_what_is_left(paifang: Paifang) -> None:
    paifang("keys", "create", "a", "--daily-usd", "1", "--wallet", "team", "--concurrent", "3")
    lines = paifang("keys", "show", "a")[1].splitlines()
    table = lines.index("param\tscope\tlimit\tleft\tunit\tresets_at")
    assert "budget.daily_usd\t1.00" in lines[:table]
    assert lines[table + 1] == "concurrent\tkey:a\t3\t3\trequests\t-"
    assert re.fullmatch(r"key.daily\tkey:a\t1.00\t1.00\tUSD\t\d{4}-\d\d-\d\dT00:00:00Z", lines[table + 2])
    assert lines[table + 3 :] == ["wallet\twallet:team\t-\t0.00\tUSD\t-"]


def test_rate_limits_of_a_key(paifang: Paifang, tmp_path: Path) -> None:
    limits = ("--rpm", "60", "--tpm", "100000", "--concurrent", "8")
    assert paifang("keys", "create", "a", *limits)[0] == 0
    status, out, _ = paifang("keys", "update", "a", "--rpm", "none", "--concurrent", "4", "--json")
    assert json.loads(out)["rate_limit"] == {"requests_per_minute": None, "tokens_per_minute": 100_000, "concurrent": 4}
    write(tmp_path, WITH_STATIC_KEY + "plugins: [virtual_keys, model_scope, budget, routing, metering]\n")
    status, _, err = paifang("keys", "create", "b", *limits)
    assert (status, err) == (2, 'Nothing enforces a key\'s rate_limit: add "- rate_limit" to plugins in gateway.yaml.\n')


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("keys", "create", "a", "--wallet", "me"), "--wallet: 'me' is no wallet (team)."),
        (("keys", "create", "a", "--family-budget", "doubao=0.1.2"), "--family-budget: expected an amount of USD"),
        (("keys", "create", "a", "--expires", "soon"), "--expires: 'soon' is not a date such as 2027-01-01"),
        (("keys", "create", "ci"), "gateway.yaml has a key named 'ci'"),
        (("keys", "create", "a", "--daily-usd", "lots"), "--daily-usd: expected an amount of USD"),
        (("keys", "show", "a/b"), "There is no key 'a/b'; those there are: ci."),
        (("keys", "show", "cii"), "There is no key 'cii': did you mean \"ci\"?"),
        (("usage", "--key", "nope"), "--key: There is no key 'nope'; those there are: ci."),
        (("usage", "--model", "sed"), "--model: There is no model 'sed': did you mean \"seed\"?"),
        (("usage", "--family", "nope"), "--family: There is no family 'nope'; those there are: doubao, qwen."),
        (("usage", "--route", "reel"), "--route: There is no route 'reel': did you mean \"real\"?"),
        (("usage", "--wallet", "teem"), "--wallet: There is no wallet 'teem': did you mean \"team\"?"),
        (("usage", "--provider", "nope"), "--provider: There is no provider 'nope'; those there are: relay, sim."),
        (("usage", "--each", "--csv", "--key", "nope"), "--key: There is no key 'nope'; those there are: ci."),
        (("ledger", "reconcile", "--provider", "rely"), "--provider: There is no provider 'rely': did you mean \"relay\"?"),
        (("ledger", "export", "--kind", "topups"), "--kind: There is no kind of entry 'topups': did you mean \"topup\"?"),
        (("ledger", "export", "--account", "wallet:teem"), "There is no wallet 'teem': did you mean \"team\"?"),
        (("ledger", "export", "--account", "team"), "--account: An account is operator, external or provider, or wallet"),
        (("ledger", "export", "--account", "provider:"), "--account: An account is operator, external or provider"),
        (("explain", "sed"), "There is no model 'sed': did you mean \"seed\"?"),
        (("keys", "update", "ci", "--daily-usd", "1"), "The key 'ci' stands in gateway.yaml: change it there."),
        (("keys", "revoke", "nobody"), "There is no key 'nobody'"),
        (("explain", "seed", "--key", "nobody"), "There is no key 'nobody'"),
        (("usage", "--by", "colour"), "--by: Usage is added up by key, wallet,"),
        (("usage", "--month", "2026-13"), "--month: '2026-13' is not a month such as 2026-11."),
        (("usage", "--month", "2026-11", "--since", "2026-11-01"), "--month: Give a day, or a month, or since and until,"),
        (("usage", "--day", "2026-11-31", "--csv"), "--day: '2026-11-31' is not a day such as 2026-11-20."),
        (("usage", "--each", "--month", "11", "--csv"), "--month: '11' is not a month such as 2026-11."),
        (("ledger", "export", "--since", "soon", "--csv"), "--since: 'soon' is not a date"),
        (("usage", "--since", "2026-11-02", "--until", "2026-11-01"), "--since: since must be before until."),
        (("usage", "--timezone", "Mars"), "--timezone: 'Mars' is no time zone"),
    ],
)
def test_what_the_gateway_refuses_is_one_line(paifang: Paifang, arguments: tuple[str, ...], message: str) -> None:
    status, out, err = paifang(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith(message)
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (("keys", "create", "a", "--rpm", "0"), "--rpm"),
        (("keys", "update", "ci", "--concurrent", "few"), "--concurrent"),
        (("keys", "create", "a", "--family-budget", "doubao"), "--family-budget"),
        (("explain", "seed", "--body", "none.json"), "--body"),
        (("models", "--families", "--sort", "colour"), "--sort"),
        (("models", "--catalogue", "--status", "old"), "--status"),
        (("ledger", "reconcile", "--billed-usd", "1"), "--billed-usd"),
    ],
)
def test_a_wrong_value_is_told_with_its_option(paifang: Paifang, arguments: tuple[str, ...], option: str) -> None:
    status, _, err = paifang(*arguments)
    assert status == 2
    assert f"Invalid value for {option}: " in err


def test_a_revoked_key_is_known_and_not_named(paifang: Paifang) -> None:
    paifang("keys", "create", "gone")
    paifang("keys", "revoke", "gone")
    assert paifang("keys", "show", "gone")[0] == 0
    assert paifang("keys", "show", "none")[2] == "There is no key 'none'; those there are: ci.\n"


def test_what_is_revoked_stays_as_it_is(paifang: Paifang) -> None:
    paifang("keys", "create", "a")
    paifang("keys", "revoke", "a")
    refused = paifang("keys", "update", "a", "--daily-usd", "1")
    assert refused == (2, "", "The key 'a' is revoked, for good; make another one.\n")


def test_lists_have_a_header_through_a_pipe(paifang: Paifang) -> None:
    for command in ("models", "routes", "plugins"):
        status, out, _ = paifang(command)
        header, *lines = out.splitlines()
        assert status == 0
        assert {line.count("\t") for line in lines} == {header.count("\t")}
        assert json.loads(paifang(command, "--json")[1])[command]


@pytest.mark.parametrize("command", ["routes", "explain seed"])
def test_what_a_start_would_begin_with_is_called_so(paifang: Paifang, command: str) -> None:
    status, out, err = paifang(*command.split())
    assert (status, err) == (0, "no gateway runs: this is what one would begin with\n")
    assert "no gateway runs" not in out
    assert json.loads(paifang(*command.split(), "--json")[1])["running"] is False


def test_usage_of_an_empty_store(paifang: Paifang) -> None:
    header = "requests,input_tokens,cached_input_tokens,output_tokens,reasoning_tokens,estimated,debit_usd,cost_usd"
    assert paifang("usage", "--by", "key,day", "--csv")[1] == f"key,day,{header}\n"
    answer = json.loads(paifang("usage", "--month", "2026-11", "--timezone", "Asia/Singapore", "--json")[1])
    assert (answer["since"], answer["until"]) == ("2026-10-31T16:00:00Z", "2026-11-30T16:00:00Z")


def test_the_ledger_of_a_new_store_agrees(paifang: Paifang) -> None:
    assert paifang("ledger", "verify")[:2] == (0, "the ledger agrees with itself\n")
    assert paifang("db", "upgrade")[0] == 0


def test_explain_prints_the_chain_and_the_routes(paifang: Paifang) -> None:
    status, out, _ = paifang("explain", "doubao", "--key", "ci")
    lines = out.splitlines()
    assert status == 0
    assert lines[0] == "auth [virtual_keys]: key ci: families doubao; models all"
    assert lines[1] == "request: the alias doubao of seed, family doubao"
    assert "1\tsim\tseed\tsimulator\tsim\tm\tUSD 0.70 in, 2.80 out per 1M tokens" in lines
    assert lines[-1] == "rests: seed/real: provider relay has no credential"


def test_explain_shows_what_would_be_sent(paifang: Paifang, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELAY_KEY", "sk-secret-secret")
    (tmp_path / "body.json").write_text('{"messages": [{"role": "user", "content": "Hi"}]}')
    status, out, _ = paifang("explain", "seed", "--body", "body.json")
    assert status == 0
    assert "POST http://127.0.0.1:9/v1/chat/completions" in out
    assert "authorization: Bearer *****" in out
    assert "sk-secret" not in out


def test_explain_shows_what_is_left_lowered_and_left_out(
    paifang: Paifang, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELAY_KEY", "sk-secret-secret")
    text = WITH_STATIC_KEY.replace("openai_chat", "ark_messages").replace("families: [doubao]", "budget: {daily_usd: 0.001}")
    write(tmp_path, text + "plugins: [virtual_keys, {budget: {when_short: clamp}}, routing, metering]\n")
    (tmp_path / "body.json").write_text('{"messages": [{"role": "user", "content": "Hi"}], "seed": 7}')
    status, out, err = paifang("explain", "seed", "--key", "ci", "--body", "body.json")
    lines = out.splitlines()
    assert status == 0, err
    table = lines.index("param\tscope\tlimit\tleft\tunit\tresets_at")
    assert lines[table + 1].startswith("key.daily\tkey:ci\t0.001\t0.001\tUSD\t")
    cap = lines[table + 2].removeprefix("max_tokens is lowered to ").removesuffix(", which is affordable")
    assert f'  "max_tokens": {cap},' in lines or f'  "max_tokens": {cap}' in lines
    assert "left out, as the first route can't do it: seed" in lines
    assert paifang("explain", "seed", "--key", "ci")[1].count("left out") == 0


def test_explain_of_a_refused_request_is_bad_news(paifang: Paifang) -> None:
    status, _, err = paifang("explain", "other", "--key", "ci")
    assert status == 1
    assert err.splitlines()[-1].startswith("refused with 403 model_not_allowed at scope")


def test_plugins_add_commands(paifang: Paifang, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from proxy import hookimpl\n"
        "def greet(name: str) -> None:\n    print('hello', name)\n"
        "@hookimpl\ndef register_commands(register):\n    register('greet', greet)\n"
    )
    write(tmp_path, SIMULATED + "plugins: [virtual_keys, ./mine.py]\n")
    assert paifang("greet", "you")[:2] == (0, "hello you\n")
    assert "greet" in paifang("--help")[1]
    write(tmp_path, SIMULATED + "plugins: [virtual_keys, ./mine.py, bogus]\n")
    assert "gateway.yaml has problems, so commands of its plugins are missing" in paifang("greet", "you")[2]


def test_the_unexpected_is_one_line_with_a_remedy(paifang: Paifang, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("no\nsuch luck")

    monkeypatch.setattr("proxy.boot.load", fail)
    status, _, err = paifang("check")
    assert status == 2
    assert err == "paifang failed unexpectedly (RuntimeError: no such luck); PAIFANG_DEBUG=1 shows where, please report it\n"
